//! VibeVoice's tokenizers: ConvNeXt blocks between strided convolutions, with continuous latents and no transformer.
//!
//! The acoustic tokenizer has both halves. The semantic one is an encoder alone, as are both of VibeVoice-ASR's.

mod config;

use serde_json::{Value, json};

use super::fields::wrong;
use super::seanet::{plain_conv, plain_conv_transpose};
use super::{CodecKind, Description, Family, nested_config, says, spellings};
use crate::error::Result;
use crate::plan::{Activation, Chain, Conv, Linear, Node, Norm, NormKind, Plan, Residual, Rest, TensorSpec};
use crate::weights::{Files, Found, Layout, Spelled};
use config::Config;

/// The acoustic tokenizer.
pub(super) static FAMILY: Family = Family {
    kind: CodecKind::VibeVoice,
    layouts: &[
        Layout {
            name: "transformers",
            markers: &["encoder.stem.conv.conv.", "decoder.stem.conv.conv."],
            own: &["encoder.stem.conv.conv.", "decoder.stem.conv.conv."],
            spell: spellings::transformers,
            ignored: |_| false,
        },
        Layout {
            name: "microsoft",
            markers: &["decoder.upsample_layers.0.0.conv."],
            own: &["decoder.upsample_layers.0.0.conv."],
            spell: microsoft,
            ignored: |_| false,
        },
    ],
    model_types: &["vibevoice_acoustic_tokenizer"],
    half: false,
    describe,
};

/// An encoder alone.
pub(super) static ENCODER_FAMILY: Family = Family {
    kind: CodecKind::VibeVoiceEncoder,
    layouts: &[
        Layout {
            name: "transformers",
            markers: &["stem.conv.conv."],
            own: &["stem.conv.conv."],
            spell: spellings::transformers,
            ignored: |_| false,
        },
        Layout {
            name: "microsoft",
            markers: &["downsample_layers.0.0.conv."],
            own: &["downsample_layers.0.0.conv."],
            spell: microsoft,
            ignored: |_| false,
        },
    ],
    model_types: &["vibevoice_acoustic_tokenizer_encoder"],
    half: true,
    describe: describe_encoder,
};

/// Samples per second, which the configuration does not say.
const SAMPLE_RATE: usize = 24_000;

/// The names in Microsoft's files, where the stem is the first of the stages, and convolutions lie in wrappers.
fn microsoft(spec: &TensorSpec) -> Spelled {
    let name = &spec.name;
    let (half, rest) = match name.split_once('.') {
        Some((half @ ("encoder" | "decoder"), rest)) => (format!("{half}."), rest),
        _ => (String::new(), name.as_str()),
    };
    let sampling = if half == "decoder." { "upsample_layers" } else { "downsample_layers" };
    let (stage, rest) = match rest.strip_prefix("stem.") {
        Some(rest) => (0, rest),
        None => {
            let numbered = rest.strip_prefix("conv_layers.").and_then(|rest| rest.split_once('.'));
            match numbered.and_then(|(number, rest)| Some((number.parse::<usize>().ok()? + 1, rest))) {
                Some(found) => found,
                // The head has one wrapper more.
                None => return Spelled::Whole(vec![format!("{half}{}", rest.replacen("conv.", "conv.conv.", 1))]),
            }
        }
    };
    let spelled = match rest.strip_prefix("stage.") {
        Some(block) => format!("stages.{stage}.{}", block.replacen("mixer.conv.", "mixer.conv.conv.conv.", 1)),
        None => format!("{sampling}.{stage}.0.{rest}"),
    };
    Spelled::Whole(vec![format!("{half}{spelled}")])
}

fn describe(files: &Files<'_>, found: &Found) -> Result<Description> {
    let config = Config::of(files, found, &FAMILY, &["audio_config", "acoustic_tokenizer_config"], 64)?;
    let (encoder, decoder) = (config.encoder("encoder."), config.decoder("decoder."));
    config.description(Some(encoder), Some(decoder), FAMILY.model_types[0], "VibeVoiceAcousticTokenizerModel")
}

fn describe_encoder(files: &Files<'_>, found: &Found) -> Result<Description> {
    let semantic = found.prefix.contains("semantic");
    let keys: &[&str] = if semantic {
        &["semantic_model_config", "semantic_tokenizer_encoder_config", "semantic_tokenizer_config"]
    } else {
        &["acoustic_tokenizer_encoder_config", "audio_config", "acoustic_tokenizer_config"]
    };
    let width = if semantic { 128 } else { 64 };
    let config = Config::of(files, found, &ENCODER_FAMILY, keys, width)?;
    let class = "VibeVoiceAcousticTokenizerEncoderModel";
    config.description(Some(config.encoder("")), None, ENCODER_FAMILY.model_types[0], class)
}

impl Config {
    /// The configuration beside files: the whole one, or the part of a host's under one of `keys`.
    fn of(files: &Files<'_>, found: &Found, family: &Family, keys: &[&str], width: usize) -> Result<Self> {
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
        let config = self.to_value(model_type, class);
        Ok(Description { plan, config })
    }
}
