//! What is saved is what was opened, in the flat layout.

use std::fs;

use crate::parts::Parts;
use safetensors::{Dtype, SafeTensors};

use super::fixture::*;

#[test]
fn saving_any_layout_gives_the_flat_one() {
    let config = small_config();
    let tensors = random_tensors(&config);
    for stored in [tensors.clone(), transformers5(&tensors), kyutai(&tensors, config.head_dim(), false)] {
        for dtype in [Dtype::F32, Dtype::BF16] {
            let directory = checkpoint(&Tensors::new());
            write_tensors(&directory.join("model.safetensors"), &with_prefix(&stored, "mimi."), dtype);
            let target = directory.join("made/on/demand");
            open(directory.path()).unwrap().save(&target).unwrap();

            let saved = open(&target).unwrap();
            assert_eq!((saved.layout(), saved.prefix(), saved.config()), ("transformers", "", config.clone()));
            saved.check(Parts::Both, None).unwrap();
            for (name, (_, values)) in &tensors {
                assert_eq!(&saved.read(name).unwrap(), values, "{name}");
            }
            let bytes = fs::read(target.join("model.safetensors")).unwrap();
            let file = SafeTensors::deserialize(&bytes).unwrap();
            assert_eq!(file.len(), tensors.len() + config.num_quantizers);
            assert_eq!(file.tensor("upsample.conv.weight").unwrap().dtype(), dtype);
            assert_eq!(fs::read_dir(&target).unwrap().count(), 2);
        }
    }
}

#[test]
fn a_half_stays_a_half() {
    let mut tensors = random_tensors(&small_config());
    tensors.retain(|name, _| !name.starts_with("encoder") && !name.starts_with("downsample"));
    let directory = checkpoint(&tensors);
    let target = directory.join("saved");
    open(directory.path()).unwrap().save(&target).unwrap();
    let saved = open(&target).unwrap();
    assert_eq!(saved.parts(), Parts::Decoder);
    saved.check(Parts::Decoder, None).unwrap();
    let config = fs::read_to_string(target.join("config.json")).unwrap();
    assert!(config.contains("\"encoder_config\": null") && config.contains("\"dtype\": \"float32\""));
}

#[test]
fn saving_over_the_source_keeps_it_readable() {
    let tensors = random_tensors(&small_config());
    let directory = checkpoint(&tensors);
    let opened = open(directory.path()).unwrap();
    opened.save(directory.path()).unwrap();
    opened.save(directory.path()).unwrap();
    let again = open(directory.path()).unwrap();
    assert_eq!(again.read("upsample.conv.weight").unwrap(), tensors["upsample.conv.weight"].1);
}

#[test]
fn a_failed_save_leaves_what_was_there() {
    let mut tensors = random_tensors(&small_config());
    let directory = checkpoint(&tensors);
    let before = fs::read(directory.join("model.safetensors")).unwrap();
    tensors.insert("upsample.conv.weight".into(), (vec![1], vec![0.0]));
    let broken = checkpoint(&tensors);
    let opened = open(broken.path()).unwrap();
    assert!(opened.save(directory.path()).is_err());
    assert!(opened.save(&directory.join("model.safetensors")).is_err());
    let cut = open(directory.path()).unwrap();
    fs::OpenOptions::new().write(true).open(directory.join("model.safetensors")).unwrap().set_len(9000).unwrap();
    assert!(cut.save(&directory.join("elsewhere")).is_err());
    assert_eq!(fs::read_dir(directory.join("elsewhere")).unwrap().count(), 0);
    assert_eq!(fs::read(directory.join("model.safetensors")).unwrap(), before[..9000]);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}
