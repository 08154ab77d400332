//! VibeVoice's tokenizers: ConvNeXt blocks between strided convolutions, with continuous latents and no transformer.
//!
//! The acoustic tokenizer has both halves. The semantic one is an encoder alone, as are both of VibeVoice-ASR's.

use serde_json::{Map, Value, json};

use super::fields::{Fields, MAX_COUNT, MAX_SIZE, require, wrong};
use super::seanet::{plain_conv, plain_conv_transpose};
use super::{Description, Family, nested_config, says, spellings};
use crate::error::Result;
use crate::plan::{Activation, Chain, Conv, Linear, Node, Norm, NormKind, Plan, Residual, Rest};
use crate::weights::{Files, Found, Layout};

/// The acoustic tokenizer.
pub(super) static FAMILY: Family = Family {
    kind: "vibevoice",
    layouts: &[Layout {
        name: "transformers",
        markers: &["encoder.stem.conv.conv.", "decoder.stem.conv.conv."],
        own: &["encoder.stem.conv.conv.", "decoder.stem.conv.conv."],
        spell: spellings::transformers,
        ignored: |_| false,
    }],
    model_types: &["vibevoice_acoustic_tokenizer"],
    half: false,
    describe,
};

/// An encoder alone.
pub(super) static ENCODER_FAMILY: Family = Family {
    kind: "vibevoice-encoder",
    layouts: &[Layout {
        name: "transformers",
        markers: &["stem.conv.conv."],
        own: &["stem.conv.conv."],
        spell: spellings::transformers,
        ignored: |_| false,
    }],
    model_types: &["vibevoice_acoustic_tokenizer_encoder"],
    half: true,
    describe: describe_encoder,
};

/// Samples per second, which the configuration does not say.
const SAMPLE_RATE: usize = 24_000;

/// The sizes of a tokenizer.
#[derive(Clone, Debug, PartialEq)]
struct Config {
    hidden_size: usize,
    kernel_size: usize,
    rms_norm_eps: f64,
    num_filters: usize,
    downsampling_ratios: Vec<usize>,
    depths: Vec<usize>,
    hidden_act: String,
    ffn_expansion: usize,
    vae_std: f64,
}

fn describe(files: &Files, found: &Found) -> Result<Description> {
    let config = Config::of(files, found, &FAMILY, &["audio_config", "acoustic_tokenizer_config"], 64)?;
    let (encoder, decoder) = (config.encoder("encoder."), config.decoder("decoder."));
    config.description(Some(encoder), Some(decoder), FAMILY.model_types[0], "VibeVoiceAcousticTokenizerModel")
}

fn describe_encoder(files: &Files, found: &Found) -> Result<Description> {
    let semantic = found.prefix.contains("semantic");
    let keys: &[&str] = if semantic {
        &["semantic_model_config", "semantic_tokenizer_encoder_config"]
    } else {
        &["acoustic_tokenizer_encoder_config", "audio_config"]
    };
    let width = if semantic { 128 } else { 64 };
    let config = Config::of(files, found, &ENCODER_FAMILY, keys, width)?;
    let class = "VibeVoiceAcousticTokenizerEncoderModel";
    config.description(Some(config.encoder("")), None, ENCODER_FAMILY.model_types[0], class)
}

impl Config {
    /// The configuration beside files: the whole one, or the part of a host's under one of `keys`.
    fn of(files: &Files, found: &Found, family: &Family, keys: &[&str], width: usize) -> Result<Self> {
        let empty = json!({});
        let root = files.config().unwrap_or(&empty);
        let all: Vec<&str> = FAMILY.model_types.iter().chain(ENCODER_FAMILY.model_types).copied().collect();
        let own = says(root, &all) == Some(true);
        let of_key = || keys.iter().find_map(|key| root.get(key).filter(|value| value.is_object()));
        let nested = || of_key().or_else(|| nested_config(root, &found.prefix, family.model_types, keys));
        let value = if own { root } else { nested().unwrap_or(root) };
        let Value::Object(map) = value else { return Err(wrong("config.json", "an object", value)) };
        Self::read(map, width)
    }

    fn read(map: &Map<String, Value>, width: usize) -> Result<Self> {
        let fields = Fields(map);
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
        let (eps, std) = (self.rms_norm_eps, self.vae_std);
        require(eps.is_finite() && eps >= 0.0, "rms_norm_eps", "a number >= 0", eps)?;
        require(std.is_finite() && std >= 0.0, "vae_std", "a number >= 0", std)
    }

    /// Channels after so many stages of the encoder, and before as many of the decoder's last ones.
    fn channels(&self, stage: usize) -> usize {
        self.num_filters.saturating_mul(1 << stage)
    }

    fn conv(&self, name: String, c_in: usize, c_out: usize) -> Node {
        Node::Conv(plain_conv(name, c_in, c_out, self.kernel_size))
    }

    fn encoder(&self, prefix: &str) -> Chain {
        let mut chain = vec![self.conv(format!("{prefix}stem.conv.conv"), 1, self.num_filters)];
        self.stage(&mut chain, &format!("{prefix}stem"), self.num_filters, self.depths[0]);
        for (index, &ratio) in self.downsampling_ratios.iter().enumerate() {
            let name = format!("{prefix}conv_layers.{index}");
            let (c_in, c_out) = (self.channels(index), self.channels(index + 1));
            let conv = plain_conv(format!("{name}.conv.conv"), c_in, c_out, ratio.saturating_mul(2));
            chain.push(Node::Conv(Conv { stride: ratio, ..conv }));
            self.stage(&mut chain, &name, c_out, self.depths[index + 1]);
        }
        let widest = self.channels(self.downsampling_ratios.len());
        chain.push(self.conv(format!("{prefix}head.conv"), widest, self.hidden_size));
        chain
    }

    fn decoder(&self, prefix: &str) -> Chain {
        let stages = self.downsampling_ratios.len();
        let widest = self.channels(stages);
        let mut chain = vec![self.conv(format!("{prefix}stem.conv.conv"), self.hidden_size, widest)];
        self.stage(&mut chain, &format!("{prefix}stem"), widest, self.depths[stages]);
        for (index, &ratio) in self.downsampling_ratios.iter().rev().enumerate() {
            let name = format!("{prefix}conv_layers.{index}");
            let stage = stages - index;
            let (c_in, c_out) = (self.channels(stage), self.channels(stage - 1));
            chain.push(Node::ConvTranspose(plain_conv_transpose(format!("{name}.convtr.convtr"), c_in, c_out, ratio)));
            self.stage(&mut chain, &name, c_out, self.depths[stage - 1]);
        }
        chain.push(self.conv(format!("{prefix}head.conv"), self.num_filters, 1));
        chain
    }

    /// Blocks of a convolution channel by channel and of a feed-forward, each normed before and scaled after.
    fn stage(&self, chain: &mut Chain, name: &str, channels: usize, depth: usize) {
        for index in 0..depth {
            let name = format!("{name}.stage.{index}");
            let inner = channels.saturating_mul(self.ffn_expansion);
            let norm = |field: &str| {
                let (name, kind) = (format!("{name}.{field}"), NormKind::RootMeanSquare);
                Node::Norm(Norm { name, kind, channels, epsilon: self.rms_norm_eps })
            };
            let mixer = plain_conv(format!("{name}.mixer.conv"), channels, channels, self.kernel_size);
            let mixer = Conv { groups: channels, scale: Some(format!("{name}.gamma")), ..mixer };
            let narrow = Linear::new(format!("{name}.ffn.linear2"), inner, channels, true);
            let activation = match self.hidden_act.as_str() {
                "gelu" => Activation::GeluErf,
                "silu" => Activation::Silu,
                _ => Activation::GeluTanh,
            };
            let feed_forward = vec![
                norm("ffn_norm"),
                Node::Linear(Linear::new(format!("{name}.ffn.linear1"), channels, inner, true)),
                Node::Activation(activation),
                Node::Linear(Linear { scale: Some(format!("{name}.ffn_gamma")), ..narrow }),
            ];
            for branch in [vec![norm("norm"), Node::Conv(mixer)], feed_forward] {
                chain.push(Node::Residual(Residual { branch, shortcut: Vec::new() }));
            }
        }
    }

    fn description(
        &self,
        encoder: Option<Chain>,
        decoder: Option<Chain>,
        model_type: &str,
        class: &str,
    ) -> Result<Description> {
        let mut plan = Plan {
            sample_rate: SAMPLE_RATE,
            frame_rate: 0.0,
            encoder,
            decoder,
            quantizer: None,
            embedding: None,
            num_codebooks: 0,
            rest: Rest::LeftOut,
        };
        plan.frame_rate = SAMPLE_RATE as f64 / plan.frame_size().max(1) as f64;
        plan.check_sizes(|name| match name {
            _ if name.contains("mixer") || name.contains("stem") || name.contains("head") => "kernel_size",
            _ if name.contains("conv_layers") => "num_filters",
            _ => "hidden_size",
        })?;
        let config = json!({
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
        });
        Ok(Description { plan, config })
    }
}
