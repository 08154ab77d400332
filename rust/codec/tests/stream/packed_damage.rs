//! Packed files that are not right, when they are loaded and while they are in use: errors, and no end of the process.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use mimi_codec::{Dtype, Error, check_packed};
use serde_json::Value;

use crate::fixture::*;
use crate::packed::{DTYPES, options, outcome, packed};
use crate::temp_dir::TempDir;

/// The smallest packed file there is, and its bytes.
fn small() -> (TempDir, Vec<u8>) {
    let directory = checkpoint(&tiny_configs()[2]);
    let (_, path) = packed(&directory, &options(Dtype::Float32));
    let bytes = fs::read(path).unwrap();
    (directory, bytes)
}

fn header_length(bytes: &[u8]) -> usize {
    u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize
}

/// The error of loading these bytes as a file, and in memory.
fn error(directory: &TempDir, bytes: &[u8]) -> Option<Error> {
    let path = directory.join("damaged");
    fs::write(&path, bytes).unwrap();
    let in_memory = Mimi::from_bytes(bytes, None, &options(Dtype::Float32)).err();
    let mapped = Mimi::load(&path, &options(Dtype::Float32)).err();
    assert_eq!(in_memory.is_some(), mapped.is_some(), "{in_memory:?}, {mapped:?}");
    mapped
}

fn message(directory: &TempDir, bytes: &[u8]) -> String {
    match error(directory, bytes) {
        Some(error @ Error::File { .. }) => error.to_string(),
        other => panic!("expected an error of the file, got {other:?}"),
    }
}

/// The same file with another description, sealed as it should be, and as many more spaces after the header.
fn described(bytes: &[u8], change: impl Fn(&mut Value), spaces: usize) -> Vec<u8> {
    let length = header_length(bytes);
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let entry = &mut header["__metadata__"]["mimi_packed"];
    let mut description: Value = serde_json::from_str(&entry.as_str().unwrap()[9..]).unwrap();
    change(&mut description);
    let text = description.to_string();
    *entry = format!("{:08x} {text}", crc32fast::hash(text.as_bytes())).into();
    let mut header = header.to_string().into_bytes();
    header.resize((8 + header.len()).next_multiple_of(64) - 8 + spaces, b' ');
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend(header);
    changed.extend(&bytes[8 + length..]);
    changed
}

#[test]
fn any_length_but_its_own_is_refused() {
    let (directory, bytes) = small();
    for length in (0..bytes.len()).step_by(41).chain([bytes.len() - 1]) {
        // Without its header it says nothing of itself.
        assert!(error(&directory, &bytes[..length]).is_some(), "{length} of {} bytes", bytes.len());
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(error(&directory, &longer).is_some());
    assert!(error(&directory, &bytes).is_none());
}

#[test]
fn any_other_byte_of_the_header_is_refused() {
    let (directory, bytes) = small();
    for at in 0..8 + header_length(&bytes) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 7);
        let outcome = Mimi::from_bytes(&flipped, None, &options(Dtype::Float32));
        assert!(outcome.is_err(), "byte {at}: {:?}", flipped[at] as char);
    }
    drop(directory);
}

#[test]
fn other_versions_processors_and_codecs() {
    let (directory, bytes) = small();
    let with = |field: &str, value: Value| message(&directory, &described(&bytes, |d| d[field] = value.clone(), 0));
    assert!(error(&directory, &described(&bytes, |_| {}, 0)).is_none());
    let version = with("version", 1.into());
    assert!(version.contains("of version 2, got 1: pack them again"), "{version}");
    let layout = with("layout", "sve2".into());
    assert!(layout.contains("avx2, neon or portable, got some for sve2: pack them again"), "{layout}");
    assert!(with("codec", "opus".into()).contains("got \"opus\""));
    assert!(with("fingerprints", 1.into()).contains("is damaged"));
    let unknown = error(&directory, &described(&bytes, |d| d["parts"] = "middle".into(), 0));
    assert!(matches!(unknown, Some(Error::Config { .. })), "{unknown:?}");
}

#[test]
fn weights_of_another_processor_are_arranged_again() {
    let directory = checkpoint(&tiny_configs()[0]);
    let path = directory.join("portable");
    for dtype in DTYPES {
        let model = Mimi::load(directory.path(), &options(dtype)).unwrap();
        model.save_compact(&path, dtype).unwrap();
        // The plain kernels would pack it so, but for floats that are stored in half.
        let bytes = described(&fs::read(&path).unwrap(), |d| d["compact"] = false.into(), 0);
        fs::write(&path, &bytes).unwrap();
        let other = Mimi::load(&path, &options(dtype)).unwrap();
        assert_eq!((other.layout(), outcome(&other)), ("packed", outcome(&model)), "{dtype}");
        let mut damaged = bytes.clone();
        damaged[8 + header_length(&bytes)] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert!(check_packed(&path).is_err() && Mimi::load(&path, &options(dtype)).is_err(), "{dtype}");
    }
}

#[test]
fn arrays_must_be_those_of_the_configuration_in_their_places() {
    let (directory, bytes) = small();
    // A wider layer than the arrays are for, and one that is not there.
    let wide = message(&directory, &described(&bytes, |d| d["config"]["num_filters"] = 4.into(), 0));
    assert!(wide.contains("expected array `encoder.layers.") && wide.contains("bytes of F32"), "{wide}");
    let deep = message(&directory, &described(&bytes, |d| d["config"]["num_residual_layers"] = 1.into(), 0));
    assert!(deep.contains("got none"), "{deep}");
    // Mapped numbers must be aligned; in memory they are copied.
    let path = directory.join("shifted");
    fs::write(&path, described(&bytes, |_| {}, 1)).unwrap();
    let shifted = Mimi::load(&path, &options(Dtype::Float32)).err();
    assert!(shifted.is_some_and(|error| error.to_string().contains("not aligned")));
}

#[test]
fn damaged_numbers_are_found_by_their_checksums() {
    let (directory, bytes) = small();
    let path = directory.join("damaged");
    for at in (8 + header_length(&bytes)..bytes.len()).step_by(997) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        fs::write(&path, flipped).unwrap();
        let error = check_packed(&path).unwrap_err();
        assert!(matches!(error, Error::File { .. }) && error.to_string().contains("checksum"), "byte {at}: {error}");
    }
    let error = check_packed(&directory.join("model.safetensors")).unwrap_err().to_string();
    assert!(error.contains("of another kind"), "{error}");
}

/// Opens a file to be changed, as its owner can.
fn writable(path: &Path) -> fs::File {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test, which nobody else has")]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).unwrap();
    OpenOptions::new().write(true).open(path).unwrap()
}

#[cfg(unix)]
#[test]
fn a_file_that_is_changed_while_it_is_in_use_is_an_error() {
    let shorten = |file: &mut fs::File| file.set_len(100).unwrap();
    let empty = |file: &mut fs::File| file.set_len(0).unwrap();
    let write = |file: &mut fs::File| {
        file.seek(SeekFrom::End(-1)).unwrap();
        file.write_all(&[1]).unwrap();
    };
    for change in [&shorten as &dyn Fn(&mut fs::File), &empty, &write] {
        let directory = checkpoint(&tiny_configs()[0]);
        let (_, path) = packed(&directory, &options(Dtype::Float32));
        let model = Mimi::load(&path, &options(Dtype::Float32)).unwrap();
        let clip = Random::new(113).clip(3 * model.frame_size());
        let mut stream = EncoderStream::new(&model, 1, 2).unwrap();
        stream.push(&[Some(&clip)]).unwrap();
        let before = stream.save().unwrap();
        let latents = model.encode_latents(&clip).unwrap();
        let codes = Random::new(114).codes(&model, 2, 3);
        change(&mut writable(&path));
        for error in [
            model.encode(&clip, 2).unwrap_err(),
            model.decode(&codes).unwrap_err(),
            model.encode_latents(&clip).unwrap_err(),
            model.latents_to_codes(&latents, 2).unwrap_err(),
            model.codes_to_latents(&codes).unwrap_err(),
            model.save_packed(&directory.join("again")).unwrap_err(),
            stream.push(&[Some(&clip)]).unwrap_err(),
        ] {
            assert!(matches!(error, Error::File { .. }), "{error}");
            assert!(error.to_string().contains("written to since: load it again"), "{error}");
        }
        assert_eq!(stream.save().unwrap(), before, "a call that fails leaves a stream as it was");
        // Another file in its place is nothing to those who mapped it, but what they have is changed.
        fs::remove_file(&path).unwrap();
        assert!(model.encode(&clip, 2).is_err());
    }
}
