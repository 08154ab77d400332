//! Files and tensors that are not right: the error names them, nothing panics, nothing large is allocated.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::LoadOptions;
use crate::parts::Parts;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::fixture::*;

fn open_and_check(path: &Path) -> Result<Codec> {
    let checkpoint = open(path)?;
    checkpoint.check(Parts::Both, None)?;
    Ok(checkpoint)
}

/// The error of a checkpoint whose tensors are changed so.
fn error_after(change: impl Fn(&mut Tensors)) -> Error {
    let mut tensors = random_tensors(&small_config());
    change(&mut tensors);
    open_and_check(checkpoint(&tensors).path()).unwrap_err()
}

/// The message of a checkpoint whose weights are these bytes.
fn message_of(bytes: &[u8]) -> String {
    let directory = TempDir::new();
    let path = directory.join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    match open_and_check(directory.path()).unwrap_err() {
        Error::File { path: named, message } => {
            assert_eq!(named, path);
            // The same bytes in memory are refused for the same reason.
            let in_memory = Model::from_bytes(bytes, None, &LoadOptions::default()).err().unwrap();
            assert!(matches!(in_memory, Error::File { message: said, .. } if said == message), "{message}");
            message
        }
        error => panic!("expected a file error, got {error}"),
    }
}

fn with_header(length: u64, header: &str, data: usize) -> Vec<u8> {
    [&length.to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn corrupt_files() {
    let header = |header: &str, data| with_header(header.len() as u64, header, data);
    for (bytes, expected) in [
        (vec![], "0 bytes"),
        (vec![1, 2, 3], "3 bytes"),
        (with_header(u64::MAX, "{}", 0), "truncated or corrupt"),
        (with_header(90_000_000, "{}", 0), "truncated or corrupt"),
        (header("not json", 0), "header"),
        (header("\u{0}\u{0}\u{0}", 0), "header"),
        (header("{}", 0), "tensors of a codec"),
        (header("{}", 5), "expected 10 bytes, got 15"),
        (header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4), "truncated"),
        (header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4), "header"),
        (header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8), "header"),
        (header(r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8), "header"),
        (header(r#"{"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}}"#, 8), "header"),
        (header(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#, 8), "header"),
        (header(r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,18446744073709551615]}}"#, 8), "header"),
        (header(&"[".repeat(100_000), 0), "header"),
        (b"PK\x03\x04\x00\x00\x08\x08 and so on".to_vec(), "PyTorch pickle"),
        (b"version https://git-lfs.github.com/spec/v1".to_vec(), "Git LFS pointer"),
    ] {
        let message = message_of(&bytes);
        assert!(message.contains(expected), "expected {expected:?} in {message:?}");
    }
}

#[test]
fn every_truncation_is_noticed() {
    let directory = checkpoint(&random_tensors(&small_config()));
    let bytes = fs::read(directory.join("model.safetensors")).unwrap();
    for length in (0..bytes.len()).step_by(257) {
        message_of(&bytes[..length]);
    }
}

#[test]
fn a_file_cut_after_it_was_opened_is_an_error() {
    let directory = checkpoint(&random_tensors(&small_config()));
    let opened = open_and_check(directory.path()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(directory.join("model.safetensors")).unwrap();
    file.set_len(100).unwrap();
    let error = opened.read("upsample.conv.weight").unwrap_err();
    assert!(error.to_string().contains("upsample.conv.weight"), "{error}");
}

#[test]
fn missing_files() {
    let directory = TempDir::new();
    let message = |name: &str| open(&directory.join(name)).unwrap_err().to_string();
    assert!(message("absent").contains("absent"));
    assert!(message("").contains("model.safetensors.index.json"));
    fs::write(directory.join("pytorch_model.bin"), b"\x80\x02").unwrap();
    assert!(message("").contains("pickle"));
    fs::create_dir(directory.join("model.safetensors.index.json")).unwrap();
    assert!(message("").contains("pickle"));
    fs::write(directory.join("config.json"), "{").unwrap();
    assert!(message("").contains("config.json"));
}

#[test]
fn missing_tensors() {
    let error = error_after(|tensors| drop(tensors.remove("decoder.layers.2.conv.bias")));
    assert!(
        matches!(&error, Error::MissingTensor { name, expected } if name == "decoder.layers.2.conv.bias" && *expected == [8]),
        "{error}"
    );
    let head_dim = small_config().head_dim();
    let error = error_after(|tensors| {
        *tensors = with_prefix(&kyutai(tensors, head_dim, false), "mimi.");
        tensors.remove("mimi.decoder.model.2.convtr.convtr.bias");
    });
    assert!(
        matches!(&error, Error::MissingTensor { name, .. } if name == "mimi.decoder.model.2.convtr.convtr.bias"),
        "{error}"
    );
}

#[test]
fn misshapen_tensors() {
    let error = error_after(|tensors| {
        tensors.insert("downsample.conv.weight".into(), (vec![16, 16, 2], vec![0.0; 512]));
    });
    assert_eq!(error.to_string(), "tensor `downsample.conv.weight`: expected shape [16, 16, 4], got [16, 16, 2]");
    let head_dim = small_config().head_dim();
    let fused = "encoder_transformer.transformer.layers.1.self_attn.in_proj_weight";
    let error = error_after(|tensors| {
        *tensors = kyutai(tensors, head_dim, false);
        tensors.insert(fused.into(), (vec![47, 16], vec![0.0; 47 * 16]));
    });
    assert_eq!(error.to_string(), format!("tensor `{fused}`: expected shape [48, 16], got [47, 16]"));
}

#[test]
fn what_is_not_needed_may_be_misshapen() {
    let mut tensors = random_tensors(&small_config());
    let codebook = "quantizer.acoustic_residual_vector_quantizer.layers.2.codebook.embed_sum";
    for name in ["upsample.conv.weight", codebook] {
        tensors.insert(name.into(), (vec![1], vec![0.0]));
    }
    let directory = checkpoint(&tensors);
    let opened = open(directory.path()).unwrap();
    opened.check(Parts::Encoder, Some(4)).unwrap();
    assert!(opened.check(Parts::Decoder, Some(4)).is_err());
    assert!(opened.check(Parts::Encoder, None).is_err());
}

#[test]
fn surplus_tensors() {
    let error = error_after(|tensors| {
        for index in 2..9 {
            tensors.insert(format!("encoder_transformer.layers.{index}.mlp.fc1.weight"), (vec![1], vec![0.0]));
        }
        tensors.insert(
            "quantizer.semantic_residual_vector_quantizer.layers.0.codebook.initialized".into(),
            (vec![1], vec![1.0]),
        );
    });
    assert!(matches!(&error, Error::SurplusTensors { names } if names.len() == 7), "{error}");
    assert!(error.to_string().contains("encoder_transformer.layers.2.mlp.fc1.weight"), "{error}");
}

#[test]
fn unsupported_storage() {
    let directory = checkpoint(&Tensors::new());
    write_tensors(&directory.join("model.safetensors"), &random_tensors(&small_config()), Dtype::F64);
    let error = open_and_check(directory.path()).unwrap_err();
    assert_eq!(error.to_string(), "tensor `encoder.layers.0.conv.weight`: expected dtype F32, BF16 or F16, got F64");

    for suffix in ["weight_g", "parametrizations.weight.original0"] {
        let error = error_after(|tensors| {
            let weight = tensors.remove("encoder.layers.0.conv.weight").unwrap();
            tensors.insert(format!("encoder.layers.0.conv.{suffix}"), weight);
        });
        assert!(error.to_string().contains("weight norm"), "{error}");
    }
}

#[test]
fn flags_and_other_models_tensors_may_have_any_type() {
    let tensors = with_prefix(&random_tensors(&small_config()), "codec_model.");
    let flag = "codec_model.quantizer.semantic_residual_vector_quantizer.layers.0.codebook.initialized";
    let bytes: Vec<(String, Vec<usize>, Dtype, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, (shape, values))| {
            (name, shape, Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .chain([(flag.into(), vec![1], Dtype::BOOL, vec![1]), ("other.weight".into(), vec![2], Dtype::U8, vec![1, 2])])
        .collect();
    let views =
        bytes.iter().map(|(name, shape, dtype, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    let directory = checkpoint(&Tensors::new());
    fs::write(directory.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    open_and_check(directory.path()).unwrap();
}

#[test]
fn values_that_are_not_finite() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut tensors = random_tensors(&small_config());
        tensors.get_mut("upsample.conv.weight").unwrap().1[5] = value;
        let directory = checkpoint(&tensors);
        let error = open_and_check(directory.path()).unwrap().read("upsample.conv.weight").unwrap_err();
        assert!(
            matches!(&error, Error::TensorValue { name, index: 5, .. } if name == "upsample.conv.weight"),
            "{error}"
        );
    }
}

#[test]
fn two_codecs_and_none() {
    let error = error_after(|tensors| {
        let mut both = with_prefix(tensors, "a.");
        both.extend(with_prefix(tensors, "b."));
        *tensors = both;
    });
    assert!(error.to_string().contains("\"a\" (mimi), \"b\" (mimi)"), "{error}");
    let error = error_after(|tensors| *tensors = Tensors::from([("lm_head.weight".into(), (vec![1], vec![0.0]))]));
    assert!(error.to_string().contains("found none of them"), "{error}");
}

#[test]
fn unknown_names_cannot_be_read() {
    let directory = checkpoint(&random_tensors(&small_config()));
    let opened = open_and_check(directory.path()).unwrap();
    assert!(matches!(opened.read("nonsense"), Err(Error::MissingTensor { .. })));
    assert!(matches!(
        opened.read_codebook("quantizer.semantic_residual_vector_quantizer.layers.2.codebook", 10),
        Err(Error::MissingTensor { .. })
    ));
}

#[test]
fn damaged_headers_do_not_panic() {
    let directory = checkpoint(&random_tensors(&small_config()));
    let path = directory.join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut state = 7_usize;
    for _ in 0..500 {
        let mut bytes = whole.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes[(state >> 33) % header] = (state >> 25) as u8;
        }
        fs::write(&path, bytes).unwrap();
        if let Ok(checkpoint) = open_and_check(directory.path()) {
            let _ = checkpoint.read("upsample.conv.weight");
        }
    }
}
