//! Compact files: the same bits as from tensors with the same dtype, in less room, on any processor.

use std::fs;
use std::path::PathBuf;

use mimi_codec::{Device, Dtype, Error, LoadOptions, Parts, check_packed};

use crate::fixture::*;
use crate::packed::{DTYPES, field, options, outcome, packed};
use crate::temp_dir::TempDir;

/// A compact file in the directory of what a model of float32 has loaded.
fn compact(directory: &TempDir, dtype: Dtype) -> PathBuf {
    let path = directory.join("compact");
    Mimi::load(directory.path(), &options(Dtype::Auto)).unwrap().save_compact(&path, dtype).unwrap();
    path
}

#[test]
fn the_same_bits_as_from_tensors() {
    for config in tiny_configs() {
        for dtype in DTYPES {
            let directory = checkpoint(&config);
            let model = Mimi::load(directory.path(), &options(dtype)).unwrap();
            let path = compact(&directory, dtype);
            check_packed(&path).unwrap();
            let other = Mimi::load(&path, &options(Dtype::Auto)).unwrap();
            assert_eq!((other.options().dtype, other.layout()), (dtype, "compact"));
            assert_eq!(outcome(&other), outcome(&model), "{dtype}");
            assert_eq!((other.config_json(), other.weight_bytes()), (model.config_json(), model.weight_bytes()));
            let in_memory = Mimi::from_bytes(&fs::read(&path).unwrap(), None, &LoadOptions::default()).unwrap();
            assert_eq!(outcome(&in_memory), outcome(&model), "{dtype}");
        }
    }
}

#[test]
fn it_is_the_same_file_whatever_it_is_made_from() {
    let directory = checkpoint(&tiny_configs()[0]);
    for dtype in DTYPES {
        let path = compact(&directory, dtype);
        let (_, packed) = packed(&directory, &options(dtype));
        let bytes = fs::read(&path).unwrap();
        for source in [&path, &packed] {
            let again = directory.join("again");
            Mimi::load(source, &LoadOptions::default()).unwrap().save_compact(&again, Dtype::Auto).unwrap();
            assert!(fs::read(&again).unwrap() == bytes, "{dtype} from {source:?}");
        }
        fs::remove_file(packed).unwrap();
    }
}

#[test]
fn it_has_no_more_than_was_loaded() {
    let directory = checkpoint(&tiny_configs()[0]);
    let encoder = LoadOptions { parts: Parts::Encoder, num_codebooks: Some(3), ..options(Dtype::Int8) };
    let model = Mimi::load(directory.path(), &encoder).unwrap();
    let (whole, small) = (compact(&directory, Dtype::Int8), directory.join("small"));
    model.save_compact(&small, Dtype::Auto).unwrap();
    assert!(fs::metadata(&small).unwrap().len() < fs::metadata(&whole).unwrap().len());
    let clip = Random::new(120).clip(9 * model.frame_size());
    let codes = model.encode(&clip, 3).unwrap();
    let of_encoder = LoadOptions { parts: Parts::Encoder, ..LoadOptions::default() };
    let again = Mimi::load(&small, &of_encoder).unwrap();
    assert_eq!((again.num_codebooks(), again.encode(&clip, 3).unwrap()), (3, codes.clone()));
    // Of the whole one, a half can be had; what it codes and decodes is the same.
    assert_eq!(Mimi::load(&whole, &encoder).unwrap().encode(&clip, 3).unwrap(), codes);
    let both = Mimi::load(&whole, &options(Dtype::Auto)).unwrap();
    assert_eq!(both.encode(&clip, 3).unwrap(), codes);
    let decoder = LoadOptions { parts: Parts::Decoder, ..LoadOptions::default() };
    let decoder = Mimi::load(&whole, &decoder).unwrap();
    assert_eq!(bits(&decoder.decode(&codes).unwrap()), bits(&both.decode(&codes).unwrap()));
    assert!(decoder.weight_bytes() < both.weight_bytes() && again.weight_bytes() < both.weight_bytes());
}

#[test]
fn streams_move_between_it_and_tensors() {
    let directory = checkpoint(&tiny_configs()[0]);
    let model = Mimi::load(directory.path(), &options(Dtype::Int8)).unwrap();
    let other = Mimi::load(&compact(&directory, Dtype::Int8), &LoadOptions::default()).unwrap();
    let clip = Random::new(121).clip(20 * model.frame_size());
    let (first, rest) = clip.split_at(7 * model.frame_size() + 5);
    let whole = EncoderStream::new(&model, 1, 3).unwrap().push(&[Some(&clip)]).unwrap().remove(0);
    let mut stream = EncoderStream::new(&model, 1, 3).unwrap();
    let mut codes = stream.push(&[Some(first)]).unwrap().remove(0);
    let mut next = EncoderStream::new(&other, 1, 3).unwrap();
    next.load(&stream.save().unwrap()).unwrap();
    codes.data.extend(next.push(&[Some(rest)]).unwrap().remove(0).data);
    assert_eq!(codes, whole);
}

#[test]
fn what_it_is_not_for() {
    let directory = checkpoint(&tiny_configs()[1]);
    let path = compact(&directory, Dtype::Int8);
    assert_eq!(field(&path, &options(Dtype::Float32)), "dtype");
    let model = Mimi::load(&path, &LoadOptions::default()).unwrap();
    let error = model.save_compact(&directory.join("other"), Dtype::Bfloat16).unwrap_err();
    assert!(matches!(&error, Error::Config { field, .. } if field == "dtype"), "{error}");
    assert!(matches!(model.save(&directory.join("tensors")), Err(Error::File { .. })));
    let gpu = LoadOptions { device: Device::Cuda(0), ..LoadOptions::default() };
    assert!(matches!(Mimi::load(&path, &gpu).err(), Some(Error::Device(_))));
    let of_bytes = Mimi::from_bytes(&fs::read(&path).unwrap(), None, &LoadOptions::default()).unwrap();
    let error = of_bytes.save_compact(&directory.join("other"), Dtype::Auto).unwrap_err().to_string();
    assert!(error.contains("loaded from a file, got one from memory"), "{error}");
    assert!(!directory.join("other").exists() && !directory.join("tensors").exists());
}

#[test]
fn damage_is_found_when_it_is_loaded() {
    let directory = checkpoint(&tiny_configs()[2]);
    let path = compact(&directory, Dtype::Int8);
    let bytes = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for at in (header..bytes.len()).step_by(397) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        // Zeros that fill up an array are not read, but by a check of all.
        if let Err(error) = Mimi::from_bytes(&flipped, None, &LoadOptions::default()) {
            assert!(error.to_string().contains("it is damaged"), "byte {at}: {error}");
        } else {
            fs::write(&path, &flipped).unwrap();
            let error = check_packed(&path).unwrap_err().to_string();
            let array = error.split('`').nth(1).unwrap();
            let numbers = array.ends_with("panels") || array.ends_with("scales");
            assert!(!numbers || bytes[at] == 0, "byte {at}, in {array}, was loaded");
        }
    }
}
