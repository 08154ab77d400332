//! Code2Wav, the decoder of Qwen3-Omni: codes of Mimi's codebooks to samples.
//!
//! Its transposed convolutions are trimmed on both sides, so it looks ahead: 555 samples in the released model.

use serde_json::{Value, json};

use super::layers::Trim;
use super::sizes::Sizes;
use crate::codecs::fields::{Fields, wrong};
use crate::codecs::{CodecKind, Description, Family, nested_config, says, spellings};
use crate::error::Result;
use crate::plan::{Embedding, MeanEmbedding, Plan, Rest};
use crate::weights::{Files, Found, Layout};

pub(in crate::codecs) static FAMILY: Family = Family {
    kind: CodecKind::Code2Wav,
    layouts: &[Layout {
        name: "transformers",
        markers: &["code_embedding.weight"],
        own: &["code_embedding.weight"],
        spell: spellings::transformers,
        ignored: |name| name == "code_offset" || name.ends_with(".inv_freq"),
    }],
    model_types: MODEL_TYPES,
    half: false,
    describe,
};

const MODEL_TYPES: &[&str] = &["qwen3_omni_moe_code2wav"];
/// Samples per second, which its configuration does not say.
const SAMPLE_RATE: usize = 24_000;

fn describe(files: &Files<'_>, found: &Found) -> Result<Description> {
    let empty = json!({});
    let root = files.config().unwrap_or(&empty);
    let own = says(root, MODEL_TYPES) == Some(true);
    let nested = (!own).then(|| nested_config(root, &found.prefix, MODEL_TYPES, &["code2wav_config"])).flatten();
    let value = nested.unwrap_or(root);
    let Value::Object(map) = value else { return Err(wrong("config.json", "an object", value)) };
    let sizes = Sizes::read(Fields(map), 1024, 3072)?;
    let plan = plan(&sizes);
    plan.check_sizes(Sizes::field)?;
    let mut config = sizes.to_map();
    config.insert("model_type".into(), MODEL_TYPES[0].into());
    config.insert("architectures".into(), json!(["Qwen3OmniMoeCode2Wav"]));
    // Its class takes no other width of a head than this, and has no field for it.
    if sizes.head_dim * sizes.num_attention_heads != sizes.hidden_size {
        config.insert("head_dim".into(), sizes.head_dim.into());
    }
    Ok(Description { plan, config: Value::Object(config) })
}

fn plan(sizes: &Sizes) -> Plan {
    let mut decoder = sizes.transformer("pre_transformer").to_vec();
    decoder.extend(sizes.wave("", sizes.hidden_size, Trim::Both));
    let table = MeanEmbedding {
        name: "code_embedding".into(),
        codebooks: sizes.num_quantizers,
        entries: sizes.codebook_size,
        dim: sizes.hidden_size,
    };
    let mut plan = Plan {
        sample_rate: SAMPLE_RATE,
        frame_rate: 0.0,
        encoder: None,
        decoder: Some(decoder),
        quantizer: None,
        embedding: Some(Embedding::Mean(table)),
        num_codebooks: sizes.num_quantizers,
        rest: Rest::Filled,
    };
    plan.frame_rate = SAMPLE_RATE as f64 / plan.frame_size().max(1) as f64;
    plan
}
