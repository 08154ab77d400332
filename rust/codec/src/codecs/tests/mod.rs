//! The codecs of Qwen and VibeVoice: tiny random ones, their configurations, files and streams.
#![allow(clippy::unwrap_used)]

mod fields;
mod files;
mod late;
mod streams;

use std::fs;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::Opened;
use crate::fixture::Random;
use crate::plan::TensorSpec;
use crate::temp_dir::TempDir;

/// Tensors by name: shape and values.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// A tensor by which each kind is known.
const MARKERS: [(&str, &[&str]); 4] = [
    ("code2wav", &["code_embedding.weight"]),
    ("qwen3-tts", &["decoder.pre_conv.conv.weight"]),
    ("vibevoice", &["encoder.stem.conv.conv.weight", "decoder.stem.conv.conv.weight"]),
    ("vibevoice-encoder", &["stem.conv.conv.weight"]),
];

fn qwen() -> Value {
    json!({
        "model_type": "qwen3_omni_moe_code2wav", "codebook_size": 9, "num_quantizers": 3, "hidden_size": 12,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 10,
        "sliding_window": 4, "attention_bias": true, "upsample_rates": [3, 2], "upsampling_ratios": [2],
        "decoder_dim": 8,
    })
}

/// Code2Wav whose delay is longer than a frame, so that a clip's first frames give nothing.
fn late() -> Value {
    let mut config = qwen();
    config["upsampling_ratios"] = json!([1]);
    config["upsample_rates"] = json!([2, 2, 2]);
    config
}

fn tts() -> Value {
    let mut decoder = qwen();
    for (field, value) in
        [("codebook_size", 16), ("codebook_dim", 10), ("latent_dim", 14), ("head_dim", 6), ("hidden_size", 8)]
    {
        decoder[field] = json!(value);
    }
    json!({
        "model_type": "qwen3_tts_tokenizer_12hz",
        "encoder_config": {
            "model_type": "mimi", "hidden_size": 8, "num_filters": 2, "upsampling_ratios": [3, 2], "codebook_size": 16,
            "codebook_dim": 6, "vector_quantization_hidden_dimension": 6, "num_quantizers": 5, "upsample_groups": 8,
            "num_hidden_layers": 1, "intermediate_size": 9, "num_attention_heads": 2, "num_key_value_heads": 2,
            "sliding_window": 5,
        },
        "decoder_config": decoder,
        "encoder_valid_num_quantizers": 3,
    })
}

fn voice() -> Value {
    json!({
        "model_type": "vibevoice_acoustic_tokenizer", "hidden_size": 5, "kernel_size": 3, "num_filters": 2,
        "downsampling_ratios": [2, 3], "depths": [1, 0, 2], "ffn_expansion": 2,
    })
}

fn voice_encoder() -> Value {
    let mut config = voice();
    config["model_type"] = json!("vibevoice_acoustic_tokenizer_encoder");
    config
}

/// All of them, with their kinds.
fn all() -> [(&'static str, Value); 5] {
    [
        ("code2wav", qwen()),
        ("code2wav", late()),
        ("qwen3-tts", tts()),
        ("vibevoice", voice()),
        ("vibevoice-encoder", voice_encoder()),
    ]
}

/// What files of a configuration are, of which only the names count.
fn open_marked(kind: &str, config: &Value) -> crate::Result<Opened<'static>> {
    let directory = TempDir::new();
    let names = MARKERS.iter().find(|(marked, _)| *marked == kind).unwrap().1;
    let tensors: Tensors = names.iter().map(|&name| (name.to_string(), vec![1], vec![0.0])).collect();
    write(directory.path(), config, &[("model.safetensors", &tensors)]);
    Opened::open(directory.path(), None)
}

/// Random tensors of a codec, of a scale that keeps signals near 1.
fn tensors(kind: &str, config: &Value, seed: u64) -> Tensors {
    let random = &mut Random::new(seed);
    let opened = open_marked(kind, config).unwrap();
    assert_eq!(opened.family.kind.as_str(), kind);
    let values = |spec: &TensorSpec, random: &mut Random| {
        let is = |part: &str| spec.name.contains(part);
        let fan_in: usize = spec.shape.iter().skip(1).product();
        let (middle, spread) = match () {
            () if is("initialized") => (1.0, 0.0),
            () if is("cluster_usage") => (1.5, 1.0),
            () if is("layer_scale") || is("gamma") => (0.5, 0.2),
            () if is("norm") && is("weight") => (1.0, 0.3),
            () if spec.shape.len() == 1 => (0.0, 0.2),
            () if is("embed") => (0.0, 2.0),
            // Residual blocks add up, and samples are to stay below 1.
            () if is(".conv2.") || is("decoder.3.") || is("decoder.4.conv") => {
                (0.0, 0.4 * (3.0 / fan_in as f32).sqrt())
            }
            () => (0.0, (3.0 / fan_in as f32).sqrt()),
        };
        (0..spec.shape.iter().product()).map(|_| middle + spread * random.float()).collect()
    };
    let specs = opened.description.plan.tensors();
    specs.into_iter().map(|spec| (spec.name.clone(), spec.shape.clone(), values(&spec, random))).collect()
}

fn with_prefix(prefix: &str, tensors: &Tensors) -> Tensors {
    tensors.iter().map(|(name, shape, values)| (format!("{prefix}{name}"), shape.clone(), values.clone())).collect()
}

/// Writes a configuration and files of tensors.
fn write(directory: &Path, config: &Value, files: &[(&str, &Tensors)]) {
    fs::write(directory.join("config.json"), config.to_string()).unwrap();
    for (file, tensors) in files {
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
            .collect();
        let views = tensors
            .iter()
            .zip(&bytes)
            .map(|((name, shape, _), bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
        fs::write(directory.join(file), safetensors::serialize(views, None).unwrap()).unwrap();
    }
}

/// A directory with a random codec.
fn checkpoint(kind: &str, config: &Value) -> TempDir {
    let directory = TempDir::new();
    write(directory.path(), config, &[("model.safetensors", &tensors(kind, config, 1))]);
    directory
}
