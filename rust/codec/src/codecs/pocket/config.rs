//! The sizes of the codec, as Transformers' configuration and Kyutai's have them, and as the shapes of tensors tell them.
//!
//! Kyutai's package says them in its own words, in the section `mimi` of its configuration.

use serde_json::{Map, Value, json};

use super::MODEL_TYPES;
use crate::codecs::fields::{
    Fields, MAX_COUNT, MAX_SIZE, check_heads, check_not_negative, check_theta, require, wrong,
};
use crate::error::{Error, Result};
use crate::weights::Files;

/// The sizes of the codec.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) sampling_rate: usize,
    pub(super) upsampling_ratios: Vec<usize>,
    pub(super) latent_stride: usize,
    pub(super) num_residual_layers: usize,
    pub(super) last_kernel_size: usize,
    pub(super) residual_kernel_size: usize,
    pub(super) dilation_growth_rate: usize,
    pub(super) compress: usize,
    pub(super) use_conv_shortcut: bool,
    pub(super) upsample_groups: usize,
    pub(super) hidden_act: String,
    pub(super) norm_eps: f64,
    pub(super) rope_theta: f64,
    pub(super) attention_bias: bool,
    pub(super) encoder: Half,
    pub(super) decoder: Half,
}

/// What encoder and decoder need not share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Half {
    pub(super) latent_dim: usize,
    pub(super) hidden_size: usize,
    pub(super) num_filters: usize,
    pub(super) kernel_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_key_value_heads: usize,
    pub(super) head_dim: usize,
    pub(super) sliding_window: usize,
}

impl Config {
    /// The fields of Transformers' `PocketTTSAudioTokenizerConfig`, absent ones at their defaults.
    pub(super) fn from_transformers(value: &Value) -> Result<Self> {
        let Value::Object(map) = value else {
            return Err(wrong("config.json", "an object", value));
        };
        // What `Config::to_value` adds where the halves differ.
        if let Some(section) = map.get("mimi") {
            return Self::from_kyutai(section);
        }
        let fields = Fields(map);
        require(fields.flag("use_causal_conv", true)?, "use_causal_conv", "true", false)?;
        require(fields.number("trim_right_ratio", 1.0)? == 1.0, "trim_right_ratio", "1", "another number")?;
        let hidden_size = fields.size("hidden_size", 512)?;
        let heads = fields.size("num_attention_heads", 8)?;
        let rope = fields.rope()?;
        require(rope.rope_type == "default", "rope_parameters", "rope_type \"default\"", &rope.rope_type)?;
        let half = Half {
            latent_dim: fields.size("latent_dim", 32)?,
            hidden_size,
            num_filters: fields.size("num_filters", 64)?,
            kernel_size: fields.size("kernel_size", 7)?,
            num_hidden_layers: fields.size("num_hidden_layers", 2)?,
            intermediate_size: fields.size("intermediate_size", 2048)?,
            num_attention_heads: heads,
            num_key_value_heads: fields.size("num_key_value_heads", heads)?,
            head_dim: fields.optional("head_dim", Fields::size)?.unwrap_or(hidden_size / heads.max(1)),
            sliding_window: fields.size("sliding_window", 250)?,
        };
        let config = Self {
            sampling_rate: fields.size("sampling_rate", 24_000)?,
            upsampling_ratios: fields.sizes_if_any("upsampling_ratios", vec![6, 5, 4])?,
            latent_stride: fields.size("latent_stride", 16)?,
            num_residual_layers: fields.size("num_residual_layers", 1)?,
            last_kernel_size: fields.size("last_kernel_size", 3)?,
            residual_kernel_size: fields.size("residual_kernel_size", 3)?,
            dilation_growth_rate: fields.size("dilation_growth_rate", 2)?,
            compress: fields.size("compress", 2)?,
            use_conv_shortcut: fields.flag("use_conv_shortcut", false)?,
            upsample_groups: fields.size("upsample_groups", 512)?,
            hidden_act: fields.text("hidden_act", "gelu_pytorch_tanh")?,
            norm_eps: fields.number("norm_eps", 1e-5)?,
            rope_theta: rope.rope_theta,
            attention_bias: fields.flag("attention_bias", false)?,
            encoder: half.clone(),
            decoder: half,
        };
        let (channels, pad) = (fields.size("audio_channels", 1)?, fields.text("pad_mode", "constant")?);
        require(channels == 1, "audio_channels", "1", channels)?;
        require(pad == "constant", "pad_mode", "\"constant\"", pad)?;
        config.validated()
    }

    /// The section `mimi` of a configuration of the `pocket-tts` package.
    pub(super) fn from_kyutai(value: &Value) -> Result<Self> {
        let section = |map: &Map<String, Value>, key: &str| match map.get(key) {
            Some(Value::Object(section)) => Ok(section.clone()),
            other => Err(wrong(key, "an object", other.unwrap_or(&Value::Null))),
        };
        let Value::Object(map) = value else {
            return Err(wrong("mimi", "an object", value));
        };
        let quantizer = section(map, "quantizer")?;
        let latent_dim = Fields(&quantizer).size("dimension", 32)?;
        let half = |seanet: &Map<String, Value>, transformer: &Map<String, Value>, latent_dim| -> Result<Half> {
            let (seanet, transformer) = (Fields(seanet), Fields(transformer));
            let hidden_size = transformer.size("d_model", 512)?;
            let heads = transformer.size("num_heads", 8)?;
            Ok(Half {
                latent_dim,
                hidden_size,
                num_filters: seanet.size("n_filters", 64)?,
                kernel_size: seanet.size("kernel_size", 7)?,
                num_hidden_layers: transformer.size("num_layers", 2)?,
                intermediate_size: transformer.size("dim_feedforward", 2048)?,
                num_attention_heads: heads,
                num_key_value_heads: heads,
                head_dim: hidden_size / heads.max(1),
                sliding_window: transformer.size("context", 250)?,
            })
        };
        let (seanet, transformer) = (section(map, "seanet")?, section(map, "transformer")?);
        let or = |key: &str, usual: &Map<String, Value>| {
            map.get(key).filter(|value| !value.is_null()).map_or(Ok(usual.clone()), |_| section(map, key))
        };
        let (decoder_seanet, decoder_transformer) =
            (or("decoder_seanet", &seanet)?, or("decoder_transformer", &transformer)?);
        // Kyutai's code takes the width of the layers where the configuration says nothing.
        let inner_dim = Fields(map).optional("inner_dim", Fields::size)?;
        let inner_dim = inner_dim.map_or_else(|| Fields(&seanet).size("dimension", latent_dim), Ok)?;
        let encoder: Half = half(&seanet, &transformer, inner_dim)?;
        let decoder: Half = half(&decoder_seanet, &decoder_transformer, latent_dim)?;
        let fields = Fields(&seanet);
        let ratios = fields.sizes_if_any("ratios", vec![6, 5, 4])?;
        let pad = fields.text("pad_mode", "constant")?;
        require(pad == "constant", "pad_mode", "\"constant\"", pad)?;
        let sampling_rate = Fields(map).size("sample_rate", 24_000)?;
        let hop = ratios.iter().fold(1_usize, |product, &ratio| product.saturating_mul(ratio)).max(1);
        let frame_rate = Fields(map).number("frame_rate", 12.5)?;
        require(frame_rate.is_finite() && frame_rate > 0.0, "frame_rate", "a positive number", frame_rate)?;
        Self {
            sampling_rate,
            latent_stride: (sampling_rate as f64 / hop as f64 / frame_rate) as usize,
            upsampling_ratios: ratios,
            num_residual_layers: fields.size("n_residual_layers", 1)?,
            last_kernel_size: fields.size("last_kernel_size", 3)?,
            residual_kernel_size: fields.size("residual_kernel_size", 3)?,
            dilation_growth_rate: fields.size("dilation_base", 2)?,
            compress: fields.size("compress", 2)?,
            use_conv_shortcut: false,
            upsample_groups: decoder.hidden_size,
            hidden_act: "gelu_pytorch_tanh".into(),
            norm_eps: 1e-5,
            rope_theta: Fields(&transformer).number("max_period", 10_000.0)?,
            attention_bias: false,
            encoder,
            decoder,
        }
        .validated()
    }

    /// From the shapes of Kyutai's tensors, where no configuration lies beside them.
    ///
    /// # Errors
    /// [`Error::Config`] for a width at which no released model says how many heads there are and how far they look.
    pub(super) fn from_shapes(files: &Files<'_>, prefix: &str) -> Result<Self> {
        let shape = |name: &str| -> Result<Option<Vec<usize>>> {
            Ok(files.shape(&format!("{prefix}{name}"))?.map(<[usize]>::to_vec))
        };
        let size = |name: &str, axis: usize| -> Result<Option<usize>> {
            Ok(shape(name)?.and_then(|shape| shape.get(axis).copied()))
        };
        let half = |side: &str, latent_dim: usize| -> Result<Half> {
            let transformer = format!("{side}_transformer.transformer.layers");
            let mut layers = 0;
            while layers < MAX_COUNT && size(&format!("{transformer}.{layers}.norm1.weight"), 0)?.is_some() {
                layers += 1;
            }
            let hidden_size = size(&format!("{transformer}.0.norm1.weight"), 0)?.unwrap_or(512);
            let (heads, sliding_window) = match hidden_size {
                512 => (8, 250),
                128 => (4, 50),
                other => {
                    let message =
                        format!("expected a config.json with a section `mimi` for a width of {other}, got none");
                    return Err(Error::config("mimi", message));
                }
            };
            let intermediate_size = size(&format!("{transformer}.0.linear1.weight"), 0)?.unwrap_or(2048);
            // The last layers of a decoder narrow what the first ones of an encoder widen.
            let (num_filters, kernel_size) = match side {
                "encoder" => (size("encoder.model.0.conv.weight", 0)?, size("encoder.model.0.conv.weight", 2)?),
                _ => (size("decoder.model.11.conv.weight", 1)?, size("decoder.model.0.conv.weight", 2)?),
            };
            Ok(Half {
                latent_dim,
                hidden_size,
                num_filters: num_filters.unwrap_or(64),
                kernel_size: kernel_size.unwrap_or(7),
                num_hidden_layers: layers,
                intermediate_size,
                num_attention_heads: heads,
                num_key_value_heads: heads,
                head_dim: hidden_size / heads,
                sliding_window,
            })
        };
        let latent_dim = size("quantizer.output_proj.weight", 1)?.unwrap_or(32);
        let inner_dim = size("downsample.conv.conv.weight", 0)?.unwrap_or(latent_dim);
        let usual = Self::from_transformers(&json!({}))?;
        let (encoder, decoder) = (half("encoder", inner_dim)?, half("decoder", latent_dim)?);
        Self { upsample_groups: decoder.hidden_size, encoder, decoder, ..usual }.validated()
    }

    fn validated(self) -> Result<Self> {
        let halves = [&self.encoder, &self.decoder];
        let of_halves = halves.into_iter().flat_map(|half| {
            [
                ("latent_dim", half.latent_dim),
                ("hidden_size", half.hidden_size),
                ("num_filters", half.num_filters),
                ("kernel_size", half.kernel_size),
                ("intermediate_size", half.intermediate_size),
                ("num_attention_heads", half.num_attention_heads),
                ("num_key_value_heads", half.num_key_value_heads),
                ("head_dim", half.head_dim),
                ("sliding_window", half.sliding_window),
            ]
        });
        let sizes = [
            ("sampling_rate", self.sampling_rate),
            ("latent_stride", self.latent_stride),
            ("last_kernel_size", self.last_kernel_size),
            ("residual_kernel_size", self.residual_kernel_size),
            ("dilation_growth_rate", self.dilation_growth_rate),
            ("compress", self.compress),
            ("upsample_groups", self.upsample_groups),
        ];
        let ratios = self.upsampling_ratios.iter().map(|&ratio| ("upsampling_ratios", ratio));
        for (field, size) in of_halves.chain(sizes).chain(ratios) {
            require((1..=MAX_SIZE).contains(&size), field, &format!("a value between 1 and {MAX_SIZE}"), size)?;
        }
        let count = self.upsampling_ratios.len();
        require((1..=20).contains(&count), "upsampling_ratios", "between 1 and 20 ratios", count)?;
        let residuals = self.num_residual_layers;
        require(residuals <= MAX_COUNT, "num_residual_layers", &format!("at most {MAX_COUNT}"), residuals)?;
        let act = &self.hidden_act;
        require(matches!(act.as_str(), "gelu" | "gelu_pytorch_tanh" | "gelu_new"), "hidden_act", "a GELU", act)?;
        check_not_negative("norm_eps", self.norm_eps)?;
        check_theta(self.rope_theta)?;
        for half in halves {
            let layers = half.num_hidden_layers;
            require(layers <= MAX_COUNT, "num_hidden_layers", &format!("at most {MAX_COUNT}"), layers)?;
            check_heads(half.num_attention_heads, half.num_key_value_heads, half.head_dim)?;
            require(self.compress <= half.num_filters, "compress", "at most num_filters", self.compress)?;
            let widest = self.seanet(half).channels(count);
            require(widest <= MAX_SIZE, "num_filters", &format!("at most {MAX_SIZE} channels"), widest)?;
        }
        let (hidden, groups) = (self.decoder.hidden_size, self.upsample_groups);
        require(hidden.is_multiple_of(groups), "upsample_groups", &format!("a divisor of {hidden}"), groups)?;
        let plan = self.plan();
        let frame = plan.frame_size();
        require(frame <= MAX_SIZE, "latent_stride", &format!("frames of at most {MAX_SIZE} samples"), frame)?;
        plan.check_sizes(|name| match name {
            "attention" => "sliding_window",
            _ if name.contains("sample.") => "latent_stride",
            _ if name.contains("coder.layers.") => "num_filters",
            _ => "hidden_size",
        })?;
        Ok(self)
    }

    /// Transformers' fields, which are those of the encoder; where the decoder's are others also Kyutai's section.
    pub(super) fn to_value(&self) -> Value {
        let half = &self.encoder;
        let mut value = json!({
            "model_type": MODEL_TYPES[0],
            "architectures": ["PocketTTSAudioTokenizerModel"],
            "sampling_rate": self.sampling_rate,
            "audio_channels": 1,
            "hidden_size": half.hidden_size,
            "num_filters": half.num_filters,
            "num_residual_layers": self.num_residual_layers,
            "upsampling_ratios": self.upsampling_ratios,
            "kernel_size": half.kernel_size,
            "last_kernel_size": self.last_kernel_size,
            "residual_kernel_size": self.residual_kernel_size,
            "dilation_growth_rate": self.dilation_growth_rate,
            "compress": self.compress,
            "use_conv_shortcut": self.use_conv_shortcut,
            "upsample_groups": self.upsample_groups,
            "num_hidden_layers": half.num_hidden_layers,
            "intermediate_size": half.intermediate_size,
            "num_attention_heads": half.num_attention_heads,
            "num_key_value_heads": half.num_key_value_heads,
            "head_dim": half.head_dim,
            "hidden_act": self.hidden_act,
            "norm_eps": self.norm_eps,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "sliding_window": half.sliding_window,
            "attention_bias": self.attention_bias,
            "latent_stride": self.latent_stride,
            "latent_dim": half.latent_dim,
        });
        if self.encoder != self.decoder {
            value["mimi"] = self.kyutai_section();
        }
        value
    }

    fn kyutai_section(&self) -> Value {
        let seanet = |half: &Half| {
            json!({
                "dimension": half.hidden_size, "channels": 1, "n_filters": half.num_filters,
                "n_residual_layers": self.num_residual_layers, "ratios": self.upsampling_ratios,
                "kernel_size": half.kernel_size, "residual_kernel_size": self.residual_kernel_size,
                "last_kernel_size": self.last_kernel_size, "dilation_base": self.dilation_growth_rate,
                "pad_mode": "constant", "compress": self.compress,
            })
        };
        let transformer = |half: &Half| {
            json!({
                "d_model": half.hidden_size, "num_heads": half.num_attention_heads,
                "num_layers": half.num_hidden_layers, "context": half.sliding_window,
                "dim_feedforward": half.intermediate_size, "input_dimension": half.hidden_size,
                "output_dimensions": [half.hidden_size], "max_period": self.rope_theta,
            })
        };
        let hop: usize = self.upsampling_ratios.iter().product();
        json!({
            "sample_rate": self.sampling_rate, "channels": 1,
            "frame_rate": self.sampling_rate as f64 / (hop * self.latent_stride) as f64,
            "inner_dim": self.encoder.latent_dim, "outer_dim": self.decoder.hidden_size,
            "seanet": seanet(&self.encoder), "transformer": transformer(&self.encoder),
            "decoder_seanet": seanet(&self.decoder), "decoder_transformer": transformer(&self.decoder),
            "quantizer": {"dimension": self.decoder.latent_dim, "output_dimension": self.decoder.hidden_size},
        })
    }
}
