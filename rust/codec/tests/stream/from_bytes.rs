//! Models from bytes in memory: those of the files.

use std::fs;

use mimi_codec::{Error, LoadOptions};

use crate::fixture::*;
use crate::temp_dir::TempDir;

#[test]
fn the_same_as_from_files() {
    let config = &tiny_configs()[0];
    let directory = checkpoint(config);
    let weights = fs::read(directory.join("model.safetensors")).unwrap();
    let text = fs::read(directory.join("config.json")).unwrap();
    let options = LoadOptions { device: kernels(), ..LoadOptions::default() };
    let model = Mimi::from_bytes(&weights, Some(&text), &options).unwrap();
    drop((weights, text));
    let of_files = load(directory.path(), "cpu", 1);
    assert_eq!(model.config_json(), of_files.config_json());
    let clip = Random::new(60).clip(100);
    let codes = model.encode(&clip, 3).unwrap();
    assert_eq!(codes, of_files.encode(&clip, 3).unwrap());
    assert_eq!(bits(&model.decode(&codes).unwrap()), bits(&of_files.decode(&codes).unwrap()));
    // Also the fingerprint of the weights is the same: a stream of one goes on with the state of the other.
    let mut stream = EncoderStream::new(&model, 1, 3).unwrap();
    stream.push(&[Some(&clip)]).unwrap();
    EncoderStream::new(&of_files, 1, 3).unwrap().load(&stream.save().unwrap()).unwrap();
}

#[test]
fn bytes_that_are_no_model() {
    let directory = checkpoint(&tiny_configs()[0]);
    let weights = fs::read(directory.join("model.safetensors")).unwrap();
    let message = |weights: &[u8], config: Option<&str>| match Mimi::from_bytes(
        weights,
        config.map(str::as_bytes),
        &LoadOptions::default(),
    )
    .err()
    {
        Some(error @ Error::File { .. }) => error.to_string(),
        other => panic!("expected a file error, got {other:?}"),
    };
    assert!(message(&weights[..weights.len() - 1], None).starts_with("weights in memory: expected"));
    assert!(message(&[], None).contains("only 0 bytes"));
    assert!(message(&weights, Some("{")).starts_with("configuration in memory: this is not valid JSON"));
}

#[test]
fn there_is_no_file_to_save_from() {
    let (directory, copy) = (checkpoint(&tiny_configs()[2]), TempDir::new());
    let weights = fs::read(directory.join("model.safetensors")).unwrap();
    let text = fs::read(directory.join("config.json")).unwrap();
    let model = Mimi::from_bytes(&weights, Some(&text), &LoadOptions::default()).unwrap();
    let error = model.save(&copy.join("copy")).unwrap_err().to_string();
    assert!(error.contains("from memory"), "{error}");
    assert!(!copy.join("copy").exists());
}
