//! The same tensors from every layout, prefix, storage type and arrangement of files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::parts::Parts;
use safetensors::Dtype;
use serde_json::json;

use super::fixture::*;

/// Checks the checkpoint and compares every tensor.
fn assert_holds(checkpoint: &Codec, tensors: &Tensors) {
    checkpoint.check(Parts::Both, None).unwrap();
    for (name, (_, values)) in tensors {
        assert_eq!(&checkpoint.read(name).unwrap(), values, "{name}");
    }
}

#[test]
fn all_layouts_give_the_same_tensors() {
    let config = small_config();
    let tensors = random_tensors(&config);
    for (layout, stored) in [
        ("transformers", tensors.clone()),
        ("transformers-5", transformers5(&tensors)),
        ("kyutai", kyutai(&tensors, config.head_dim(), false)),
        ("kyutai", kyutai(&tensors, config.head_dim(), true)),
    ] {
        for prefix in ["", "codec_model.", "audio_encoder.", "mimi.", "model.codec_model."] {
            let mut stored = with_prefix(&stored, prefix);
            if !prefix.is_empty() {
                stored.insert("lm_head.weight".into(), (vec![2], vec![0.0, f32::NAN]));
                stored.insert("decoder.layers.0.fc1.weight".into(), (vec![1], vec![0.0]));
            }
            let directory = checkpoint(&stored);
            let opened = open(directory.path()).unwrap();
            assert_eq!((opened.layout(), opened.prefix(), opened.parts()), (layout, prefix, Parts::Both));
            assert_eq!(opened.config(), config);
            assert_holds(&opened, &tensors);
        }
    }
}

#[test]
fn half_precision_is_widened() {
    let tensors = random_tensors(&small_config());
    for dtype in [Dtype::BF16, Dtype::F16] {
        let directory = checkpoint(&tensors);
        write_tensors(&directory.join("model.safetensors"), &tensors, dtype);
        assert_holds(&open(directory.path()).unwrap(), &tensors);
    }
}

/// Splits the tensors over two shards, the unrelated ones in a third that does not exist.
fn write_shards(directory: &Path, tensors: &Tensors) {
    let (mut halves, mut weight_map) = ([Tensors::new(), Tensors::new()], BTreeMap::new());
    for (number, (name, tensor)) in tensors.iter().enumerate() {
        halves[number % 2].insert(name.clone(), tensor.clone());
        weight_map.insert(name.clone(), format!("part-{}.safetensors", number % 2));
    }
    weight_map.insert("lm_head.weight".into(), "absent.safetensors".into());
    for (number, half) in halves.iter().enumerate() {
        write_tensors(&directory.join(format!("part-{number}.safetensors")), half, Dtype::F32);
    }
    let index = json!({"metadata": {}, "weight_map": weight_map});
    fs::write(directory.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn shards_are_opened_only_if_they_hold_the_codec() {
    let tensors = random_tensors(&small_config());
    let directory = TempDir::new();
    let config = json!({"model_type": "csm", "codec_config": serde_json::from_str::<serde_json::Value>(&small_config().to_json()).unwrap()});
    fs::write(directory.join("config.json"), config.to_string()).unwrap();
    write_shards(directory.path(), &with_prefix(&tensors, "codec_model."));
    assert_holds(&open(directory.path()).unwrap(), &tensors);
    assert_holds(&open(&directory.join("model.safetensors.index.json")).unwrap(), &tensors);

    fs::remove_file(directory.join("part-1.safetensors")).unwrap();
    let error = open(directory.path()).unwrap().check(Parts::Both, None).unwrap_err();
    assert!(matches!(&error, Error::File { path, .. } if path.ends_with("part-1.safetensors")), "{error}");
}

#[test]
fn an_index_may_not_lead_elsewhere() {
    let directory = TempDir::new();
    for file in [json!("../model.safetensors"), json!("/etc/passwd"), json!(3)] {
        let index = json!({"weight_map": {"encoder.layers.0.conv.weight": file}});
        fs::write(directory.join("model.safetensors.index.json"), index.to_string()).unwrap();
        let error = open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("encoder.layers.0.conv.weight"), "{error}");
    }
}

#[test]
fn weights_are_found_in_directories_and_as_files() {
    let tensors = random_tensors(&small_config());
    let directory = checkpoint(&tensors);
    let model = directory.join("model.safetensors");
    assert_holds(&open(&model).unwrap(), &tensors);
    fs::rename(&model, directory.join("other.safetensors")).unwrap();
    assert_holds(&open(directory.path()).unwrap(), &tensors);
    fs::copy(directory.join("other.safetensors"), directory.join("another.safetensors")).unwrap();
    let error = open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("found 2"), "{error}");
}

#[test]
fn kyutais_repositories_name_the_codec_and_have_the_released_configuration() {
    let config = small_config();
    let directory = TempDir::new();
    let root = json!({"dim": 4096, "mimi_name": "tokenizer.safetensors"});
    fs::write(directory.join("config.json"), root.to_string()).unwrap();
    write_tensors(
        &directory.join("model.safetensors"),
        &Tensors::from([("lm.weight".into(), (vec![1], vec![0.0]))]),
        Dtype::F32,
    );
    let stored = kyutai(&random_tensors(&config), config.head_dim(), false);
    write_tensors(&directory.join("tokenizer.safetensors"), &stored, Dtype::F32);
    let opened = open(directory.path()).unwrap();
    assert_eq!(opened.config().hidden_size, 512, "the released configuration");
    let error = opened.check(Parts::Both, None).unwrap_err();
    assert!(matches!(&error, Error::TensorShape { name, .. } if name == "encoder.model.0.conv.conv.weight"), "{error}");
}

#[test]
fn halves_and_fewer_codebooks_are_enough() {
    let config = small_config();
    let mut tensors = random_tensors(&config);
    tensors.retain(|name, _| !name.starts_with("decoder") && !name.starts_with("upsample"));
    tensors.retain(|name, _| !name.contains("acoustic_residual_vector_quantizer.layers.2"));
    for stored in [tensors.clone(), kyutai(&tensors, config.head_dim(), false), transformers5(&tensors)] {
        let directory = checkpoint(&stored);
        let opened = open(directory.path()).unwrap();
        assert_eq!(opened.parts(), Parts::Encoder);
        opened.check(Parts::Encoder, Some(4)).unwrap();
        opened.check(Parts::Encoder, Some(2)).unwrap();
        assert!(matches!(opened.check(Parts::Encoder, None), Err(Error::MissingTensor { .. })));
        assert!(matches!(opened.check(Parts::Both, Some(4)), Err(Error::MissingTensor { .. })));
        for codebooks in [0, 1, 6] {
            let error = opened.check(Parts::Encoder, Some(codebooks)).unwrap_err();
            assert!(matches!(&error, Error::Config { field, .. } if field == "num_codebooks"), "{error}");
        }
    }
}

#[test]
fn codebooks_are_sums_over_usage() {
    let config = small_config();
    let mut tensors = random_tensors(&config);
    let codebook = "quantizer.semantic_residual_vector_quantizer.layers.1.codebook";
    tensors.get_mut(&format!("{codebook}.cluster_usage")).unwrap().1[3] = 0.0;
    let directory = checkpoint(&tensors);
    let entries = open(directory.path()).unwrap().read_codebook(codebook, 10).unwrap();
    let (sums, usage) =
        (&tensors[&format!("{codebook}.embed_sum")].1, &tensors[&format!("{codebook}.cluster_usage")].1);
    let expected: Vec<f32> =
        (0..entries.len()).map(|at| sums[at] / usage[at / config.codebook_dim].max(1e-5)).collect();
    assert_eq!(entries, expected);
}

#[test]
fn the_demo_model_opens() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/mimi_codec/demo"));
    let demo = open(path).unwrap();
    assert_eq!((demo.layout(), demo.config().num_quantizers, demo.config().codebook_size), ("transformers", 16, 1024));
    demo.check(Parts::Both, None).unwrap();
    let last = "quantizer.acoustic_residual_vector_quantizer.layers.14.codebook";
    assert_eq!(demo.read("encoder.layers.0.conv.weight").unwrap().len(), 8 * 7);
    assert_eq!(demo.read_codebook(last, 64).unwrap().len(), 1024 * 64);
}
