//! Packed weights: the same bits as from tensors, whatever is packed and however much of it is loaded.

use std::fs;
use std::path::{Path, PathBuf};

use mimi_codec::{Device, Dtype, Error, LoadOptions, Parts, check_packed};

use crate::fixture::*;
use crate::temp_dir::TempDir;

/// Options with which weights are kept so; packed weights are for the processor.
pub(crate) fn options(dtype: Dtype) -> LoadOptions {
    LoadOptions { dtype, device: Device::Cpu, ..LoadOptions::default() }
}

/// A model of tensors, and the same packed into a file of the directory.
pub(crate) fn packed(directory: &TempDir, options: &LoadOptions) -> (Mimi, PathBuf) {
    let (model, path) = (Mimi::load(directory.path(), options).unwrap(), directory.join("packed.safetensors"));
    model.save_packed(&path).unwrap();
    (model, path)
}

pub(crate) const DTYPES: [Dtype; 3] = [Dtype::Float32, Dtype::Bfloat16, Dtype::Int8];

/// The codes, latents and samples that a model makes of the same clip as every other.
pub(crate) fn outcome(model: &Mimi) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let clip = Random::new(110).clip(20 * model.frame_size());
    let codes = model.encode(&clip, model.num_codebooks()).unwrap();
    let samples = bits(&model.decode(&codes).unwrap());
    (codes.data, bits(&model.encode_latents(&clip).unwrap().data), samples)
}

#[test]
fn the_same_bits_as_from_tensors() {
    for config in tiny_configs() {
        for dtype in DTYPES {
            let directory = checkpoint(&config);
            let (model, path) = packed(&directory, &options(dtype));
            check_packed(&path).unwrap();
            let other = Mimi::load(&path, &options(dtype)).unwrap();
            assert_eq!(outcome(&other), outcome(&model), "{dtype}");
            assert_eq!(other.config_json(), model.config_json());
            assert_eq!((other.weight_bytes(), other.kind()), (model.weight_bytes(), model.kind()));
            assert_eq!((other.layout(), other.backend_name()), ("packed", model.backend_name()));
        }
    }
}

#[test]
fn streams_move_between_packed_weights_and_tensors() {
    let directory = checkpoint(&tiny_configs()[0]);
    let (model, path) = packed(&directory, &options(Dtype::Int8));
    let other = Mimi::load(&path, &options(Dtype::Int8)).unwrap();
    let clip = Random::new(111).clip(30 * model.frame_size());
    let (first, rest) = clip.split_at(11 * model.frame_size() + 1);
    let whole = EncoderStream::new(&model, 1, 3).unwrap().push(&[Some(&clip)]).unwrap().remove(0);
    for (from, to) in [(&model, &other), (&other, &model)] {
        let mut stream = EncoderStream::new(from, 1, 3).unwrap();
        let mut codes = stream.push(&[Some(first)]).unwrap().remove(0);
        let mut next = EncoderStream::new(to, 1, 3).unwrap();
        next.load(&stream.save().unwrap()).unwrap();
        codes.data.extend(next.push(&[Some(rest)]).unwrap().remove(0).data);
        assert_eq!(codes, whole);
    }
}

#[test]
fn a_half_and_fewer_codebooks_are_had_from_more() {
    let directory = checkpoint(&tiny_configs()[0]);
    let (model, path) = packed(&directory, &options(Dtype::Float32));
    let clip = Random::new(112).clip(9 * model.frame_size());
    let codes = model.encode(&clip, 3).unwrap();
    let part = |parts| LoadOptions { parts, num_codebooks: Some(3), ..options(Dtype::Float32) };
    let encoder = Mimi::load(&path, &part(Parts::Encoder)).unwrap();
    assert_eq!(encoder.encode(&clip, 3).unwrap(), codes);
    assert!(!encoder.has_decoder() && encoder.weight_bytes() < model.weight_bytes() / 2 + model.weight_bytes() / 4);
    let decoder = Mimi::load(&path, &part(Parts::Decoder)).unwrap();
    assert_eq!(bits(&decoder.decode(&codes).unwrap()), bits(&model.decode(&codes).unwrap()));
    // What is packed of it has no more than that.
    let smaller = directory.join("smaller.safetensors");
    encoder.save_packed(&smaller).unwrap();
    check_packed(&smaller).unwrap();
    let again = Mimi::load(&smaller, &LoadOptions { parts: Parts::Encoder, ..options(Dtype::Float32) }).unwrap();
    assert_eq!((again.num_codebooks(), again.encode(&clip, 3).unwrap()), (3, codes));
    assert!(fs::metadata(&smaller).unwrap().len() < fs::metadata(&path).unwrap().len());
}

/// The field of the configuration that an error is of.
pub(crate) fn field(path: &Path, options: &LoadOptions) -> String {
    match Mimi::load(path, options).err() {
        Some(Error::Config { field, .. }) => field,
        other => panic!("expected an error of an option, got {other:?}"),
    }
}

#[test]
fn options_that_it_is_not_packed_for() {
    let directory = checkpoint(&tiny_configs()[0]);
    let of_encoder = LoadOptions { parts: Parts::Encoder, num_codebooks: Some(3), ..options(Dtype::Bfloat16) };
    let (_, path) = packed(&directory, &of_encoder);
    let path = path.as_path();
    assert_eq!(field(path, &LoadOptions { dtype: Dtype::Float32, ..of_encoder.clone() }), "dtype");
    assert_eq!(field(path, &LoadOptions { parts: Parts::Both, ..of_encoder.clone() }), "parts");
    assert_eq!(field(path, &LoadOptions { parts: Parts::Decoder, ..of_encoder.clone() }), "parts");
    assert_eq!(field(path, &LoadOptions { num_codebooks: Some(4), ..of_encoder.clone() }), "num_codebooks");
    assert_eq!(field(path, &LoadOptions { module: Some("mimi".into()), ..of_encoder.clone() }), "module");
    Mimi::load(path, &LoadOptions { device: Device::Auto, ..of_encoder }).unwrap();
}

#[cfg(feature = "composed")]
#[test]
fn other_devices_arrange_weights_themselves() {
    let directory = checkpoint(&tiny_configs()[2]);
    let (_, path) = packed(&directory, &options(Dtype::Float32));
    let composed = LoadOptions { device: Device::CandleCpu, ..LoadOptions::default() };
    assert!(matches!(Mimi::load(&path, &composed).err(), Some(Error::Device(_))));
    let model = Mimi::load(directory.path(), &composed).unwrap();
    assert!(matches!(model.save_packed(&directory.join("other")).err(), Some(Error::Device(_))));
    assert!(!directory.join("other").exists());
}

#[test]
fn found_in_a_directory_and_in_memory() {
    let (directory, alone) = (checkpoint(&tiny_configs()[1]), TempDir::new());
    let model = Mimi::load(directory.path(), &options(Dtype::Int8)).unwrap();
    model.save_packed(&alone.join("any-name.safetensors")).unwrap();
    let found = Mimi::load(alone.path(), &options(Dtype::Int8)).unwrap();
    assert_eq!(outcome(&found), outcome(&model));
    let bytes = fs::read(alone.join("any-name.safetensors")).unwrap();
    let of_bytes = Mimi::from_bytes(&bytes, None, &options(Dtype::Int8)).unwrap();
    drop(bytes);
    assert_eq!(outcome(&of_bytes), outcome(&model));
}

#[test]
fn packed_again_it_is_the_same_file() {
    let directory = checkpoint(&tiny_configs()[0]);
    let (_, path) = packed(&directory, &options(Dtype::Bfloat16));
    let other = Mimi::load(&path, &options(Dtype::Bfloat16)).unwrap();
    other.save_packed(&directory.join("again")).unwrap();
    assert_eq!(fs::read(directory.join("again")).unwrap(), fs::read(&path).unwrap());
    // Tensors cannot be had from it.
    let error = other.save(&directory.join("tensors")).unwrap_err();
    assert!(matches!(error, Error::File { .. }) && error.to_string().contains("packed"), "{error}");
    assert!(!directory.join("tensors").exists());
}

#[test]
fn a_file_is_written_whole_and_not_to_be_written_again() {
    let directory = checkpoint(&tiny_configs()[2]);
    let (model, path) = packed(&directory, &options(Dtype::Float32));
    #[cfg(unix)]
    assert!(fs::metadata(&path).unwrap().permissions().readonly());
    let error = model.save_packed(directory.path()).unwrap_err().to_string();
    assert!(error.contains("a directory"), "{error}");
    assert!(model.save_packed(&directory.join("none/such")).is_err());
    let left = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 3, "the two files of the checkpoint and the packed one");
}

#[cfg(unix)]
#[test]
fn those_who_mapped_a_file_keep_it_when_another_takes_its_place() {
    let (directory, others) = (checkpoint(&tiny_configs()[0]), checkpoint(&tiny_configs()[1]));
    let (_, path) = packed(&directory, &options(Dtype::Float32));
    let old = Mimi::load(&path, &options(Dtype::Float32)).unwrap();
    let expected = outcome(&old);
    let new = Mimi::load(others.path(), &options(Dtype::Float32)).unwrap();
    new.save_packed(&path).unwrap();
    assert_eq!(outcome(&old), expected);
    assert_eq!(outcome(&Mimi::load(&path, &options(Dtype::Float32)).unwrap()), outcome(&new));
}
