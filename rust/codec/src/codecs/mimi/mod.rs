//! Kyutai's Mimi: convolution stack (25 Hz), transformer, resampling (12.5 Hz) and a split residual vector quantizer.

mod config;
mod json;
mod validate;

pub use super::fields::RopeParameters;
pub use config::MimiConfig;

use super::seanet::{Layers, Seanet, downsample, upsample};
use super::{CodecKind, Description, Family, nested_config, says, spellings};
use crate::error::{Error, Result};
use crate::plan::{
    Activation, Attention, Chain, Linear, Plan, Product, Quantizer, ResidualQuantizer, Rest, TensorSpec,
};
use crate::weights::{Files, Found, Layout};

pub(super) static FAMILY: Family = Family {
    kind: CodecKind::Mimi,
    layouts: &[
        Layout {
            name: "transformers",
            markers: spellings::TRANSFORMERS_MARKERS,
            own: QUANTIZER_MARKERS,
            spell: spellings::transformers,
            ignored: |_| false,
        },
        Layout {
            name: "transformers-5",
            markers: spellings::TRANSFORMERS5_MARKERS,
            own: QUANTIZER_MARKERS,
            spell: spellings::transformers5,
            ignored: |_| false,
        },
        Layout {
            name: "kyutai",
            markers: spellings::KYUTAI_MARKERS,
            own: &["quantizer.rvq_first."],
            spell: spellings::kyutai,
            ignored: |_| false,
        },
    ],
    model_types: MODEL_TYPES,
    half: false,
    describe,
};

/// Kyutai's repositories hold the codec beside a language model, and name its file in their configuration.
pub(super) const FILE_KEY: &str = "mimi_name";
const MODEL_TYPES: &[&str] = &["mimi", "mimi_encoder", "mimi_decoder"];
const QUANTIZER_MARKERS: &[&str] = &["quantizer.semantic_residual_vector_quantizer."];
/// The number of Kyutai's layout.
const KYUTAI: usize = 2;

/// The whole `config.json`, or the part of a larger model's that is the codec's. Without one, and for Kyutai's files, whose
/// `config.json` is of another kind, it is the released configuration.
fn describe(files: &Files<'_>, found: &Found) -> Result<Description> {
    let config = match files.config() {
        None => MimiConfig::default(),
        Some(root) => {
            let nested = || {
                nested_config(
                    root,
                    &found.prefix,
                    MODEL_TYPES,
                    &["codec_config", "audio_encoder_config", "mimi_config"],
                )
            };
            match says(root, MODEL_TYPES) {
                Some(true) => MimiConfig::from_value(root)?,
                says => match nested() {
                    Some(nested) => MimiConfig::from_value(nested)?,
                    None if found.layout == KYUTAI => MimiConfig::default(),
                    None if says.is_none() && found.prefix.is_empty() => MimiConfig::from_value(root)?,
                    None => {
                        let got = root.get("model_type").cloned().unwrap_or_default();
                        let message = format!(
                            "expected \"mimi\" at the top level or in a part such as `codec_config`, got {got}"
                        );
                        return Err(Error::config("model_type", message));
                    }
                },
            }
        }
    };
    Ok(Description { plan: config.plan(), config: config.to_value() })
}

impl MimiConfig {
    /// All tensors of the codec, by their names in `kyutai/mimi`, in the order of the flow of data.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        self.plan().tensors()
    }

    /// The products that a frame asks of the encoder's layers and of the decoder's, without the quantizer.
    pub fn products(&self) -> [Vec<Product>; 2] {
        self.plan().products()
    }

    pub(super) fn seanet(&self) -> Seanet<'_> {
        Seanet {
            hidden: self.hidden_size,
            filters: self.num_filters,
            ratios: &self.upsampling_ratios,
            kernel: self.kernel_size,
            last_kernel: self.last_kernel_size,
            residuals: self.num_residual_layers,
            residual_kernel: self.residual_kernel_size,
            dilation_growth: self.dilation_growth_rate,
            compress: self.compress,
            shortcut: self.use_conv_shortcut,
        }
    }

    fn layers(&self) -> Layers {
        Layers {
            count: self.num_hidden_layers,
            hidden: self.hidden_size,
            attention: Attention {
                heads: self.num_attention_heads,
                kv_heads: self.num_key_value_heads,
                head_dim: self.head_dim(),
                window: self.sliding_window,
            },
            bias: self.attention_bias,
            intermediate: self.intermediate_size,
            activation: if self.hidden_act == "gelu" { Activation::GeluErf } else { Activation::GeluTanh },
            epsilon: self.norm_eps,
            theta: self.rope_theta(),
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        let (hidden, stride) = (self.hidden_size, self.latent_stride());
        let mut decoder = vec![upsample("upsample", hidden, stride, self.upsample_groups)];
        decoder.push(self.layers().transformer("decoder_transformer"));
        decoder.extend(self.seanet().decoder("decoder.layers"));
        Plan {
            sample_rate: self.sampling_rate,
            frame_rate: self.frame_rate(),
            encoder: Some(self.encoder("")),
            decoder: Some(decoder),
            quantizer: Some(self.quantizer("")),
            embedding: None,
            num_codebooks: self.num_quantizers,
            rest: Rest::Filled,
        }
    }

    /// From samples to latents, with `prefix` before all names.
    pub(super) fn encoder(&self, prefix: &str) -> Chain {
        let hidden = self.hidden_size;
        let mut encoder = self.seanet().encoder(&format!("{prefix}encoder.layers"));
        encoder.push(self.layers().transformer(&format!("{prefix}encoder_transformer")));
        encoder.push(downsample(&format!("{prefix}downsample"), hidden, hidden, self.latent_stride()));
        encoder
    }

    /// Between latents and codes, with `prefix` before all names.
    pub(super) fn quantizer(&self, prefix: &str) -> Quantizer {
        Quantizer {
            num_semantic: self.num_semantic_quantizers,
            residual: vec![
                self.residual_quantizer(&format!("{prefix}quantizer.semantic"), self.num_semantic_quantizers),
                self.residual_quantizer(&format!("{prefix}quantizer.acoustic"), self.num_acoustic_quantizers()),
            ],
        }
    }

    fn residual_quantizer(&self, name: &str, count: usize) -> ResidualQuantizer {
        let name = format!("{name}_residual_vector_quantizer");
        let dim = self.vector_quantization_hidden_dimension;
        let projection = |field: &str, c_in, c_out| {
            let linear = Linear::new(format!("{name}.{field}"), c_in, c_out, false);
            self.has_quantizer_projection().then_some(Linear { pointwise: true, ..linear })
        };
        ResidualQuantizer {
            input: projection("input_proj", self.hidden_size, dim),
            output: projection("output_proj", dim, self.hidden_size),
            codebooks: (0..count).map(|index| format!("{name}.layers.{index}.codebook")).collect(),
            sums: "embed_sum",
            flags: true,
            entries: self.codebook_size,
            dim: self.codebook_dim,
        }
    }
}

#[cfg(test)]
mod tests;
