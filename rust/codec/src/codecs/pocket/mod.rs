//! The audio tokenizer of Pocket TTS: Mimi's layers at 200 Hz with continuous latents in place of the quantizer.
//!
//! Transformers' `PocketTTSAudioTokenizerModel` has the same sizes on both sides, Kyutai's `pocket-tts` keeps them apart.

mod config;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::seanet::{Layers, Seanet, downsample, upsample};
use super::{CodecKind, Description, Family, nested_config, says, spellings};
use crate::error::Result;
use crate::plan::{Activation, Attention, Conv, Edge, Node, Plan, Rest, TensorSpec};
use crate::weights::{Files, Found, Layout, Spelled};
use config::{Config, Half};

pub(super) static FAMILY: Family = Family {
    kind: CodecKind::PocketTts,
    layouts: &[
        Layout {
            name: "transformers",
            markers: spellings::TRANSFORMERS5_MARKERS,
            own: &["latent_proj."],
            spell: spellings::transformers5,
            ignored: |_| false,
        },
        Layout {
            name: "kyutai",
            markers: spellings::KYUTAI_MARKERS,
            own: &["quantizer.output_proj."],
            spell: kyutai,
            ignored: |name| {
                let parts = ["encoder", "decoder", "downsample.", "upsample.", "quantizer."];
                let training = ["vq", "_codebook", "logvar", "wavlm"];
                !parts.iter().any(|part| name.starts_with(part)) || training.iter().any(|word| name.contains(word))
            },
        },
    ],
    model_types: MODEL_TYPES,
    half: false,
    describe,
};

const MODEL_TYPES: &[&str] =
    &["pocket_tts_audio_tokenizer", "pocket_tts_audio_tokenizer_encoder", "pocket_tts_audio_tokenizer_decoder"];
/// The number of Kyutai's layout.
const KYUTAI: usize = 1;

/// Kyutai has the projection of the latents where Mimi has its quantizer.
fn kyutai(spec: &TensorSpec) -> Spelled {
    match spec.name.as_str() {
        "latent_proj.weight" => Spelled::Whole(vec!["quantizer.output_proj.weight".into()]),
        _ => spellings::kyutai(spec),
    }
}

fn describe(files: &Files<'_>, found: &Found) -> Result<Description> {
    let config = match files.config() {
        Some(root) if root.get("mimi").is_some_and(Value::is_object) => Config::from_kyutai(&root["mimi"])?,
        Some(root) if says(root, MODEL_TYPES) == Some(true) => Config::from_transformers(root)?,
        Some(root) => {
            match nested_config(root, &found.prefix, MODEL_TYPES, &["audio_tokenizer_config", "codec_config"]) {
                Some(nested) => Config::from_transformers(nested)?,
                None if found.layout == KYUTAI => Config::from_shapes(files, &found.prefix)?,
                None => Config::from_transformers(root)?,
            }
        }
        None if found.layout == KYUTAI => Config::from_shapes(files, &found.prefix)?,
        None => Config::from_transformers(&json!({}))?,
    };
    Ok(Description { plan: config.plan(), config: config.to_value() })
}

impl Config {
    fn seanet<'a>(&'a self, half: &Half) -> Seanet<'a> {
        Seanet {
            hidden: half.hidden_size,
            filters: half.num_filters,
            ratios: &self.upsampling_ratios,
            kernel: half.kernel_size,
            last_kernel: self.last_kernel_size,
            residuals: self.num_residual_layers,
            residual_kernel: self.residual_kernel_size,
            dilation_growth: self.dilation_growth_rate,
            compress: self.compress,
            shortcut: self.use_conv_shortcut,
        }
    }

    fn transformer(&self, half: &Half, name: &str) -> Node {
        let layers = Layers {
            count: half.num_hidden_layers,
            hidden: half.hidden_size,
            attention: Attention {
                heads: half.num_attention_heads,
                kv_heads: half.num_key_value_heads,
                head_dim: half.head_dim,
                window: half.sliding_window,
            },
            bias: self.attention_bias,
            intermediate: half.intermediate_size,
            activation: if self.hidden_act == "gelu" { Activation::GeluErf } else { Activation::GeluTanh },
            epsilon: self.norm_eps,
            theta: self.rope_theta,
        };
        layers.transformer(name)
    }

    fn plan(&self) -> Plan {
        let (encoder, decoder) = (&self.encoder, &self.decoder);
        let mut to_latents = self.seanet(encoder).encoder("encoder.layers");
        to_latents.push(self.transformer(encoder, "encoder_transformer"));
        to_latents.push(downsample("downsample", encoder.hidden_size, encoder.latent_dim, self.latent_stride));
        let projection = Conv {
            name: "latent_proj".into(),
            c_in: decoder.latent_dim,
            c_out: decoder.hidden_size,
            kernel: 1,
            stride: 1,
            dilation: 1,
            groups: 1,
            bias: false,
            scale: None,
            edge: Edge::Zero,
        };
        let mut to_samples = vec![Node::Conv(projection)];
        to_samples.push(upsample("upsample", decoder.hidden_size, self.latent_stride, self.upsample_groups));
        to_samples.push(self.transformer(decoder, "decoder_transformer"));
        to_samples.extend(self.seanet(decoder).decoder("decoder.layers"));
        let mut plan = Plan {
            sample_rate: self.sampling_rate,
            frame_rate: 0.0,
            encoder: Some(to_latents),
            decoder: Some(to_samples),
            quantizer: None,
            embedding: None,
            num_codebooks: 0,
            rest: Rest::Filled,
        };
        plan.frame_rate = self.sampling_rate as f64 / plan.frame_size().max(1) as f64;
        plan
    }
}
