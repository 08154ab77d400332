//! The sizes of VibeVoice's tokenizers, as Transformers' configuration and Microsoft's have them.

use serde_json::{Map, Value, json};

use crate::codecs::fields::{Fields, MAX_COUNT, MAX_SIZE, check_not_negative, require};
use crate::error::Result;

/// The sizes of a tokenizer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) hidden_size: usize,
    pub(super) kernel_size: usize,
    pub(super) rms_norm_eps: f64,
    pub(super) num_filters: usize,
    pub(super) downsampling_ratios: Vec<usize>,
    pub(super) depths: Vec<usize>,
    pub(super) hidden_act: String,
    pub(super) ffn_expansion: usize,
    pub(super) vae_std: f64,
}

impl Config {
    /// The fields of Transformers' configuration, or of Microsoft's; `width` is the usual one of latents.
    pub(super) fn read(map: &Map<String, Value>, width: usize) -> Result<Self> {
        let fields = Fields(map);
        if map.contains_key("encoder_ratios") {
            return Self::read_microsoft(fields, width);
        }
        let channels = fields.size("channels", 1)?;
        require(channels == 1, "channels", "1", channels)?;
        let config = Self {
            hidden_size: fields.size("hidden_size", width)?,
            kernel_size: fields.size("kernel_size", 7)?,
            rms_norm_eps: fields.number("rms_norm_eps", 1e-5)?,
            num_filters: fields.size("num_filters", 32)?,
            downsampling_ratios: fields.sizes("downsampling_ratios", vec![2, 2, 4, 5, 5, 8])?,
            depths: fields.sizes("depths", vec![3, 3, 3, 3, 3, 3, 8])?,
            hidden_act: fields.text("hidden_act", "gelu")?,
            ffn_expansion: fields.size("ffn_expansion", 4)?,
            vae_std: fields.number("vae_std", 0.625)?,
        };
        config.check()?;
        Ok(config)
    }

    /// Microsoft's fields: ratios in the decoder's order, depths as text, and settings of which one value was ever used.
    fn read_microsoft(fields: Fields<'_>, width: usize) -> Result<Self> {
        for (key, only) in [
            ("pad_mode", "constant"),
            ("mixer_layer", "depthwise_conv"),
            ("layernorm", "RMSNorm"),
            ("conv_norm", "none"),
        ] {
            let got = fields.text(key, only)?;
            require(got == only, key, &format!("{only:?}"), got)?;
        }
        for key in ["causal", "conv_bias", "disable_last_norm", "layernorm_elementwise_affine"] {
            require(fields.flag(key, true)?, key, "true", false)?;
        }
        let channels = fields.size("channels", 1)?;
        require(channels == 1, "channels", "1", channels)?;
        let mut ratios = fields.sizes("encoder_ratios", vec![8, 5, 5, 4, 2, 2])?;
        let decoder = fields.sizes("decoder_ratios", ratios.clone())?;
        require(decoder == ratios, "decoder_ratios", &format!("{ratios:?}, as the encoder's"), format!("{decoder:?}"))?;
        ratios.reverse();
        let num_filters = fields.size("encoder_n_filters", 32)?;
        let decoder = fields.size("decoder_n_filters", num_filters)?;
        require(decoder == num_filters, "decoder_n_filters", &format!("{num_filters}, as the encoder's"), decoder)?;
        let depths = fields.text("encoder_depths", "3-3-3-3-3-3-8")?;
        let read: Option<Vec<usize>> = depths.split('-').map(|depth| depth.parse().ok()).collect();
        require(read.is_some(), "encoder_depths", "numbers such as \"3-3-8\"", &depths)?;
        let given = fields.optional("decoder_depths", |fields, key, _: String| fields.text(key, ""))?;
        require(given.is_none(), "decoder_depths", "null", given.unwrap_or_default())?;
        let config = Self {
            hidden_size: fields.size("vae_dim", width)?,
            kernel_size: 7,
            rms_norm_eps: fields.number("layernorm_eps", 1e-5)?,
            num_filters,
            downsampling_ratios: ratios,
            depths: read.unwrap_or_default(),
            hidden_act: "gelu".into(),
            ffn_expansion: 4,
            // The noise has a scale of its own, in which this is 0.8.
            vae_std: fields.number("fix_std", 0.5)? / 0.8,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("kernel_size", self.kernel_size),
            ("num_filters", self.num_filters),
            ("ffn_expansion", self.ffn_expansion),
        ];
        let ratios = self.downsampling_ratios.iter().map(|&ratio| ("downsampling_ratios", ratio));
        for (field, size) in sizes.into_iter().chain(ratios) {
            require((1..=MAX_SIZE).contains(&size), field, &format!("a value between 1 and {MAX_SIZE}"), size)?;
        }
        let stages = self.downsampling_ratios.len();
        require(stages <= 20, "downsampling_ratios", "at most 20 ratios", stages)?;
        let depths = self.depths.len();
        require(depths == stages + 1, "depths", &format!("{} depths, one more than ratios", stages + 1), depths)?;
        for &depth in &self.depths {
            require(depth <= MAX_COUNT, "depths", &format!("at most {MAX_COUNT}"), depth)?;
        }
        let widest = self.channels(stages).saturating_mul(self.ffn_expansion);
        require(widest <= MAX_SIZE, "num_filters", &format!("at most {MAX_SIZE} channels"), widest)?;
        let frame = self.downsampling_ratios.iter().fold(1_usize, |product, &ratio| product.saturating_mul(ratio));
        require(frame <= MAX_SIZE, "downsampling_ratios", &format!("frames of at most {MAX_SIZE} samples"), frame)?;
        let act = &self.hidden_act;
        let known = matches!(act.as_str(), "gelu" | "gelu_pytorch_tanh" | "gelu_new" | "silu");
        require(known, "hidden_act", "a GELU or \"silu\"", act)?;
        check_not_negative("rms_norm_eps", self.rms_norm_eps)?;
        check_not_negative("vae_std", self.vae_std)
    }

    /// Channels after so many stages of the encoder, and before as many of the decoder's last ones.
    pub(super) fn channels(&self, stage: usize) -> usize {
        self.num_filters.saturating_mul(1 << stage)
    }

    /// Transformers' fields.
    pub(super) fn to_value(&self, model_type: &str, class: &str) -> Value {
        json!({
            "model_type": model_type,
            "architectures": [class],
            "channels": 1,
            "hidden_size": self.hidden_size,
            "kernel_size": self.kernel_size,
            "rms_norm_eps": self.rms_norm_eps,
            "layer_scale_init_value": 1e-6,
            "num_filters": self.num_filters,
            "downsampling_ratios": self.downsampling_ratios,
            "depths": self.depths,
            "hidden_act": self.hidden_act,
            "ffn_expansion": self.ffn_expansion,
            "vae_std": self.vae_std,
        })
    }
}
