//! Codecs in their own files, and in those of hosts, of which only the shards that hold the codec need be there.

use std::fs;

use serde_json::{Value, json};

use super::{TempDir, Tensors, all, checkpoint, qwen, tensors, voice, voice_encoder, with_prefix, write};
use crate::error::Error;
use crate::fixture::{Random, bits};
use crate::{Codes, LoadOptions, Model};

fn load_module(directory: &TempDir, module: Option<&str>) -> crate::Result<Model> {
    Model::load(directory.path(), &LoadOptions { module: module.map(Into::into), ..Default::default() })
}

/// Samples or latents that say which weights a model has.
fn said(model: &Model) -> Vec<u32> {
    let random = &mut Random::new(60);
    if model.has_encoder() {
        return bits(&model.encode_latents(&random.clip(200)).unwrap().data);
    }
    let count = model.num_codebooks();
    let data = (0..20 * count).map(|_| random.below(model.codebook_size()) as u32).collect();
    bits(&model.decode(&Codes { codebooks: count, data }).unwrap())
}

/// A host's checkpoint: its own tensors in one shard, which is not there, and each codec's divided among the next two.
fn host(config: &Value, codecs: &[(&str, &Tensors)]) -> TempDir {
    let directory = TempDir::new();
    let mut map =
        json!({"thinker.embed.weight": "model-00000.safetensors", "lm_head.weight": "model-00000.safetensors"});
    for (number, (prefix, codec)) in codecs.iter().enumerate() {
        let named = with_prefix(prefix, codec);
        let (first, second) = named.split_at(named.len() / 2);
        for (half, part) in [first, second].into_iter().enumerate() {
            let file = format!("model-0000{}.safetensors", 1 + 2 * number + half);
            part.iter().for_each(|(name, ..)| map[name] = json!(file));
            write(directory.path(), config, &[(&file, &part.to_vec())]);
        }
    }
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    fs::write(directory.join("model.safetensors.index.json"), index.to_string()).unwrap();
    directory
}

#[test]
fn saved_and_loaded() {
    for (kind, config) in all() {
        let (directory, copy) = (checkpoint(kind, &config), TempDir::new());
        let model = load_module(&directory, None).unwrap();
        assert_eq!((model.kind().as_str(), model.module()), (kind, ""));
        model.save(copy.path()).unwrap();
        let again = load_module(&copy, None).unwrap();
        assert_eq!((again.kind().as_str(), again.config_json()), (kind, model.config_json()));
        assert_eq!(said(&again), said(&model), "{kind}");
    }
}

#[test]
fn among_a_host_s_shards() {
    for (kind, own, prefix, key, model_type) in [
        ("code2wav", qwen(), "code2wav.", "code2wav_config", "qwen3_omni_moe"),
        ("vibevoice", voice(), "model.audio_tower.", "audio_config", "vibevoice"),
        ("vibevoice", voice(), "model.audio_tower.", "acoustic_tokenizer_config", "vibevoice"),
        (
            "vibevoice-encoder",
            voice_encoder(),
            "model.semantic_tokenizer_encoder.",
            "semantic_model_config",
            "vibevoice",
        ),
        (
            "vibevoice-encoder",
            voice_encoder(),
            "acoustic_tokenizer_encoder.",
            "acoustic_tokenizer_encoder_config",
            "vibevoice_asr",
        ),
        (
            "vibevoice-encoder",
            voice_encoder(),
            "semantic_tokenizer_encoder.",
            "semantic_tokenizer_encoder_config",
            "vibevoice_asr",
        ),
    ] {
        let values = tensors(kind, &own, 1);
        let mut config = json!({"model_type": model_type, "hidden_size": 4096});
        config[key] = own.clone();
        // As it is said in the host, and where the section does not say what it is.
        for typed in [true, false] {
            if !typed {
                config[key].as_object_mut().unwrap().remove("model_type");
            }
            let model = load_module(&host(&config, &[(prefix, &values)]), None).unwrap();
            assert_eq!((model.kind().as_str(), model.module()), (kind, prefix.trim_end_matches('.')));
            assert_eq!(said(&model), said(&load_module(&checkpoint(kind, &own), None).unwrap()), "{prefix}");
        }
    }
}

#[test]
fn a_shard_of_the_codec_that_is_not_there() {
    let directory = host(&qwen(), &[("code2wav.", &tensors("code2wav", &qwen(), 1))]);
    fs::remove_file(directory.join("model-00002.safetensors")).unwrap();
    match load_module(&directory, None).map(|model| model.kind().as_str()) {
        Err(error @ Error::File { .. }) => assert!(error.to_string().contains("model-00002.safetensors"), "{error}"),
        other => panic!("expected an error of a file, got {other:?}"),
    }
}

#[test]
fn the_module_that_is_named() {
    let (acoustic, semantic) = (tensors("vibevoice", &voice(), 1), tensors("vibevoice-encoder", &voice_encoder(), 2));
    let config = json!({"model_type": "vibevoice", "audio_config": voice(), "semantic_model_config": voice_encoder()});
    let speaker = host(&config, &[("model.audio_tower.", &acoustic), ("model.semantic_tokenizer_encoder.", &semantic)]);
    let kind = |module| load_module(&speaker, module).map(|model| model.kind().as_str());
    // A whole codec before an encoder alone.
    assert_eq!(kind(None).unwrap(), "vibevoice");
    for module in ["audio_tower", "model.audio_tower"] {
        assert_eq!(kind(Some(module)).unwrap(), "vibevoice");
    }
    for module in ["semantic_tokenizer_encoder", "model.semantic_tokenizer_encoder"] {
        assert_eq!(kind(Some(module)).unwrap(), "vibevoice-encoder");
    }
    // Not a part of a module's name, nor the half of a codec.
    for module in ["tower", "encoder", "audio_tower.encoder", "", "model"] {
        match kind(Some(module)) {
            Err(Error::Config { field, message }) => {
                assert_eq!(field, "module");
                assert!(message.contains("\"model.audio_tower\" (vibevoice)"), "{message}");
            }
            other => panic!("expected an error of the module {module:?}, got {other:?}"),
        }
    }
}

#[test]
fn of_two_encoders_one_must_be_named() {
    let (one, other) =
        (tensors("vibevoice-encoder", &voice_encoder(), 1), tensors("vibevoice-encoder", &voice_encoder(), 2));
    let config = json!({
        "model_type": "vibevoice_asr",
        "acoustic_tokenizer_encoder_config": voice_encoder(),
        "semantic_tokenizer_encoder_config": voice_encoder(),
    });
    let named = ["acoustic_tokenizer_encoder", "semantic_tokenizer_encoder"];
    let prefixes = named.map(|name| format!("{name}."));
    let listener = host(&config, &[(&prefixes[0], &one), (&prefixes[1], &other)]);
    match load_module(&listener, None).map(|model| model.kind().as_str()) {
        Err(error @ Error::File { .. }) => {
            assert!(named.iter().all(|name| error.to_string().contains(name)), "{error}");
        }
        other => panic!("expected a choice to be asked for, got {other:?}"),
    }
    let [first, second] = named.map(|name| said(&load_module(&listener, Some(name)).unwrap()));
    assert_ne!(first, second);
}
