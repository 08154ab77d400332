//! The 12 Hz tokenizer of Qwen3-TTS: a Mimi encoder of which some codebooks are kept, and a decoder with its own.

use serde_json::{Map, Value, json};

use super::layers::Trim;
use super::sizes::Sizes;
use crate::codecs::fields::{Fields, MAX_SIZE, require, wrong};
use crate::codecs::mimi::MimiConfig;
use crate::codecs::seanet::plain_conv;
use crate::codecs::{CodecKind, Description, Family, spellings};
use crate::error::Result;
use crate::plan::{Chain, Embedding, Linear, Node, Plan, Quantizer, ResidualQuantizer, Rest};
use crate::weights::{Files, Found, Layout};

pub(in crate::codecs) static FAMILY: Family = Family {
    kind: CodecKind::Qwen3Tts,
    layouts: &[Layout {
        name: "qwen-tts",
        markers: &["decoder.pre_conv.conv."],
        own: &["decoder.pre_conv.conv."],
        spell: spellings::transformers,
        ignored: |name| name.ends_with(".inv_freq"),
    }],
    model_types: MODEL_TYPES,
    half: false,
    describe,
};

const MODEL_TYPES: &[&str] = &["qwen3_tts_tokenizer_12hz"];
/// The kernel of the convolution before the decoder's transformer.
const KERNEL: usize = 3;

/// The sizes of both halves.
struct Config {
    sample_rate: usize,
    /// The encoder's codebooks that are kept, and all that the decoder has.
    codebooks: usize,
    encoder: MimiConfig,
    decoder: Decoder,
}

/// The sizes of the decoder.
struct Decoder {
    sizes: Sizes,
    /// Width of the sum of a frame's entries.
    codebook_dim: usize,
    /// Width around the transformer.
    latent_dim: usize,
}

fn describe(files: &Files<'_>, _: &Found) -> Result<Description> {
    let empty = json!({});
    let root = files.config().unwrap_or(&empty);
    let config = Config::read(root)?;
    let plan = config.plan();
    plan.check_sizes(Sizes::field)?;
    let (encoder, decoder) = (MimiConfig::plan(&config.encoder).frame_size(), plan.decoder_frame_size());
    require(encoder == decoder, "upsample_rates", &format!("frames of {encoder} samples, as the encoder's"), decoder)?;
    Ok(Description { config: config.to_value(decoder), plan })
}

impl Config {
    fn read(root: &Value) -> Result<Self> {
        let Value::Object(map) = root else { return Err(wrong("config.json", "an object", root)) };
        let fields = Fields(map);
        let half = |key: &str| match map.get(key) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(half)) => Ok(half.clone()),
            Some(other) => Err(wrong(key, "an object", other)),
        };
        let encoder = MimiConfig::from_value(&Value::Object(half("encoder_config")?))?;
        let half = half("decoder_config")?;
        let decoder = Fields(&half);
        let decoder = Decoder {
            sizes: Sizes::read(decoder, 512, 1024)?,
            codebook_dim: decoder.size("codebook_dim", 512)?,
            latent_dim: decoder.size("latent_dim", 1024)?,
        };
        for (field, size) in [("codebook_dim", decoder.codebook_dim), ("latent_dim", decoder.latent_dim)] {
            require((1..=MAX_SIZE).contains(&size), field, &format!("a value between 1 and {MAX_SIZE}"), size)?;
        }
        require(decoder.codebook_dim.is_multiple_of(2), "codebook_dim", "an even number", decoder.codebook_dim)?;
        let sizes = &decoder.sizes;
        require(sizes.num_quantizers > 1, "num_quantizers", "at least 2", sizes.num_quantizers)?;
        let size = sizes.codebook_size;
        let both = encoder.codebook_size;
        require(size == both, "codebook_size", &format!("{both}, as the encoder has"), size)?;
        let codebooks = fields.size("encoder_valid_num_quantizers", sizes.num_quantizers)?;
        let count = sizes.num_quantizers;
        require(
            codebooks == count,
            "encoder_valid_num_quantizers",
            &format!("{count}, as the decoder has"),
            codebooks,
        )?;
        let all = encoder.num_quantizers;
        require(codebooks <= all, "encoder_valid_num_quantizers", &format!("at most {all}"), codebooks)?;
        let sample_rate = encoder.sampling_rate;
        for key in ["input_sample_rate", "output_sample_rate"] {
            let rate = fields.size(key, sample_rate)?;
            require(rate == sample_rate, key, &format!("{sample_rate}, as the encoder has"), rate)?;
        }
        Ok(Self { sample_rate, codebooks, encoder, decoder })
    }

    fn plan(&self) -> Plan {
        let prefix = "encoder.";
        Plan {
            sample_rate: self.sample_rate,
            frame_rate: self.encoder.frame_rate(),
            encoder: Some(self.encoder.encoder(prefix)),
            decoder: Some(self.decoder.chain("decoder.")),
            quantizer: Some(self.encoder.quantizer(prefix)),
            embedding: Some(Embedding::Residual(self.decoder.quantizer("decoder."))),
            num_codebooks: self.codebooks,
            rest: Rest::Filled,
        }
    }

    /// The whole configuration; `frame_size` are the samples of a frame.
    fn to_value(&self, frame_size: usize) -> Value {
        let mut decoder = self.decoder.sizes.to_map();
        for (field, size) in [
            ("codebook_dim", self.decoder.codebook_dim),
            ("latent_dim", self.decoder.latent_dim),
            ("head_dim", self.decoder.sizes.head_dim),
        ] {
            decoder.insert(field.into(), size.into());
        }
        json!({
            "model_type": MODEL_TYPES[0],
            "architectures": ["Qwen3TTSTokenizerV2Model"],
            "encoder_config": self.encoder.to_value(),
            "decoder_config": decoder,
            "encoder_valid_num_quantizers": self.codebooks,
            "input_sample_rate": self.sample_rate,
            "output_sample_rate": self.sample_rate,
            "encode_downsample_rate": frame_size,
            "decode_upsample_rate": frame_size,
        })
    }
}

impl Decoder {
    fn chain(&self, prefix: &str) -> Chain {
        let (hidden, width) = (self.sizes.hidden_size, self.latent_dim);
        let linear = |field: &str, c_in, c_out| {
            Node::Linear(Linear::new(format!("{prefix}pre_transformer.{field}"), c_in, c_out, true))
        };
        let mut chain = vec![
            Node::Conv(plain_conv(format!("{prefix}pre_conv.conv"), self.codebook_dim, width, KERNEL)),
            linear("input_proj", width, hidden),
        ];
        chain.extend(self.sizes.transformer(&format!("{prefix}pre_transformer")));
        chain.push(linear("output_proj", hidden, width));
        chain.extend(self.sizes.wave(prefix, width, Trim::Right));
        chain
    }

    fn quantizer(&self, prefix: &str) -> Quantizer {
        let residual = |name: &str, count: usize| {
            let name = format!("{prefix}quantizer.{name}");
            let dim = self.codebook_dim / 2;
            let projection = |field: &str, c_in, c_out| {
                let linear = Linear::new(format!("{name}.{field}"), c_in, c_out, false);
                Some(Linear { pointwise: true, ..linear })
            };
            ResidualQuantizer {
                input: projection("input_proj", self.codebook_dim, dim),
                output: projection("output_proj", dim, self.codebook_dim),
                codebooks: (0..count).map(|index| format!("{name}.vq.layers.{index}._codebook")).collect(),
                sums: "embedding_sum",
                flags: false,
                entries: self.sizes.codebook_size,
                dim,
            }
        };
        let rest = self.sizes.num_quantizers - 1;
        Quantizer { num_semantic: 1, residual: vec![residual("rvq_first", 1), residual("rvq_rest", rest)] }
    }
}
