//! Codecs among the files of the models that carry them.

use std::fs;
use std::path::Path;

use safetensors::Dtype;
use serde_json::{Value, json};

use super::fixture::*;
use crate::error::Error;
use crate::parts::Parts;

/// Tensors of a language model. Some of its layers are called like a codec's.
fn language_model() -> Tensors {
    let names =
        ["lfm.embed_tokens.weight", "encoder.layers.0.conv.pointwise_conv1.weight", "decoder.layers.0.fc1.weight"];
    names.into_iter().map(|name| (name.to_string(), (vec![2], vec![0.5, f32::NAN]))).collect()
}

fn small_config_value() -> Value {
    serde_json::from_str(&small_config().to_json()).unwrap()
}

fn write_config(directory: &Path, config: &Value) {
    fs::write(directory.join("config.json"), config.to_string()).unwrap();
}

fn assert_holds(path: &Path, layout: &str, prefix: &str, tensors: &Tensors) {
    let opened = open(path).unwrap();
    assert_eq!((opened.layout(), opened.prefix()), (layout, prefix));
    assert_eq!(opened.config(), small_config());
    opened.check(Parts::Both, None).unwrap();
    for (name, (_, values)) in tensors {
        assert_eq!(&opened.read(name).unwrap(), values, "{name}");
    }
}

#[test]
fn under_the_prefixes_of_hosts() {
    let config = small_config();
    let tensors = random_tensors(&config);
    let stored = [
        ("transformers", tensors.clone()),
        ("transformers-5", transformers5(&tensors)),
        ("kyutai", kyutai(&tensors, config.head_dim(), false)),
    ];
    for (prefix, key) in [
        ("audio_tokenizer.", "audio_tokenizer_config"),
        ("model.audio_tokenizer.mimi.", "mimi_config"),
        ("speech_tokenizer.model.", "codec_config"),
        ("tts.codec_model.", "codec_config"),
        ("module.mimi.", "anything"),
    ] {
        for (layout, stored) in &stored {
            let mut all = language_model();
            all.extend(with_prefix(stored, prefix));
            let directory = checkpoint(&all);
            write_config(directory.path(), &json!({"model_type": "a_host", key: small_config_value()}));
            assert_holds(directory.path(), layout, prefix, &tensors);
        }
    }
}

/// LFM2-Audio: `model.safetensors` is the language model, and the codec is Kyutai's file, which nothing names.
fn beside_a_language_model(codec: &str) -> (TempDir, Tensors) {
    let config = small_config();
    let tensors = random_tensors(&config);
    let directory = checkpoint(&language_model());
    write_config(directory.path(), &json!({"codebooks": 8, "lfm": {}, "codec_config": small_config_value()}));
    write_tensors(&directory.join(codec), &kyutai(&tensors, config.head_dim(), false), Dtype::F32);
    (directory, tensors)
}

#[test]
fn in_a_file_of_its_own() {
    let (directory, tensors) = beside_a_language_model("tokenizer-e351c8d8-checkpoint125.safetensors");
    fs::write(directory.join("another.safetensors"), b"not one").unwrap();
    assert_holds(directory.path(), "kyutai", "", &tensors);
    let index = json!({"weight_map": {"lm_head.weight": "absent.safetensors"}});
    fs::rename(directory.join("model.safetensors"), directory.join("part-0.safetensors")).unwrap();
    assert_holds(directory.path(), "kyutai", "", &tensors);
    fs::write(directory.join("model.safetensors.index.json"), index.to_string()).unwrap();
    assert_holds(directory.path(), "kyutai", "", &tensors);
}

#[test]
fn in_a_folder_of_its_own() {
    let directory = checkpoint(&language_model());
    write_config(directory.path(), &json!({"model_type": "qwen3_tts"}));
    let folder = directory.join("speech_tokenizer");
    fs::create_dir(&folder).unwrap();
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(&error, Error::File { path, .. } if *path == folder), "{error}");
    let tensors = random_tensors(&small_config());
    write_tensors(&folder.join("model.safetensors"), &tensors, Dtype::F32);
    write_config(&folder, &small_config_value());
    assert_holds(directory.path(), "transformers", "", &tensors);
    // a codec of the model's own comes first
    let mut all = language_model();
    let own = random_tensors(&small_config());
    all.extend(with_prefix(&own, "codec_model."));
    write_tensors(&directory.join("model.safetensors"), &all, Dtype::F32);
    write_config(directory.path(), &json!({"model_type": "qwen3_tts", "codec_config": small_config_value()}));
    assert_holds(directory.path(), "transformers", "codec_model.", &own);
}

#[test]
fn with_the_released_configuration() {
    let (directory, _) = beside_a_language_model("tokenizer-e351c8d8-checkpoint125.safetensors");
    write_config(directory.path(), &json!({"codebooks": 8, "encoder": {}, "preprocessor": {}}));
    let opened = open(directory.path()).unwrap();
    assert_eq!((opened.layout(), opened.config().hidden_size), ("kyutai", 512));
}

#[test]
fn in_a_host_that_has_one_beside_it_too() {
    let (directory, _) = beside_a_language_model("mimi.safetensors");
    let mut all = language_model();
    let own = random_tensors(&small_config());
    all.extend(with_prefix(&own, "codec_model."));
    write_tensors(&directory.join("model.safetensors"), &all, Dtype::F32);
    assert_holds(directory.path(), "transformers", "codec_model.", &own);
}

#[test]
fn of_several_files_none_is_chosen() {
    let (directory, _) = beside_a_language_model("one.safetensors");
    fs::copy(directory.join("one.safetensors"), directory.join("two.safetensors")).unwrap();
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(&error, Error::File { path, .. } if path == directory.path()), "{error}");
    assert!(error.to_string().contains("found 2: one.safetensors, two.safetensors"), "{error}");
}

#[test]
fn what_is_damaged_is_not_passed_over() {
    let (directory, _) = beside_a_language_model("mimi.safetensors");
    for name in ["model.safetensors", "config.json"] {
        let path = directory.join(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let error = open(directory.path()).unwrap_err();
        assert!(matches!(&error, Error::File { path: at, .. } if *at == path), "{error}");
        fs::write(&path, whole).unwrap();
    }
    // A directory that says it holds a Mimi is asked for that one, whatever lies beside it.
    write_config(directory.path(), &small_config_value());
    let error = open(directory.path()).unwrap().check(Parts::Both, None).unwrap_err();
    assert!(matches!(&error, Error::MissingTensor { .. }), "{error}");
}
