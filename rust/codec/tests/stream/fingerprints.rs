//! Saved streams go on with the weights that they began with, and with no others.

use mimi_codec::{Error, Kind, LoadOptions, Part, Parts};

use crate::fixture::*;
use crate::saved::{decoder, encoder};

fn load_with(path: &std::path::Path, options: LoadOptions) -> Mimi {
    Mimi::load(path, &options).unwrap()
}

/// Whether a call was refused, for that reason.
fn refused(result: mimi_codec::Result<()>, reason: &str) -> bool {
    match result {
        Ok(()) => false,
        Err(Error::Stream(message)) if message.contains(reason) => true,
        Err(other) => panic!("expected {reason:?}, got {other}"),
    }
}

#[test]
fn a_value_of_a_weight() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let (encoder_state, decoder_state) = (encoder(&model).save().unwrap(), decoder(&model).save().unwrap());
        let (semantic, acoustic) = ("semantic_residual_vector_quantizer", "acoustic_residual_vector_quantizer");
        let (first, second) = if config.num_semantic_quantizers > 1 { (semantic, 1) } else { (acoustic, 0) };
        let first_two = [format!("quantizer.{semantic}.layers.0."), format!("quantizer.{first}.layers.{second}.")];
        for changed in config.tensors().into_iter().filter(|spec| spec.kind != Kind::Flag) {
            let other = checkpoint_with(&config, |spec, values| {
                if spec.name == changed.name {
                    let middle = values.len() / 2;
                    values[middle] += 0.25;
                }
            });
            let other = load(other.path(), "cpu", 1);
            let name = &changed.name;
            // The encoder's streams have two codebooks; the decoder takes what it gets.
            let codebook = first_two.iter().any(|codebook| name.starts_with(codebook));
            let acoustic_input = name.contains(acoustic) && name.contains("input_proj");
            let of_encoder = changed.part == Part::Encoder
                || codebook
                || name.contains("input_proj") && !(acoustic_input && config.num_semantic_quantizers > 1);
            let of_decoder = changed.part != Part::Encoder && !name.contains("input_proj");
            assert_eq!(refused(encoder(&other).load(&encoder_state), "other weights"), of_encoder, "{name}");
            assert_eq!(refused(decoder(&other).load(&decoder_state), "other weights"), of_decoder, "{name}");
        }
    }
}

#[test]
fn halves_and_fewer_codebooks() {
    let config = &tiny_configs()[0];
    let directory = checkpoint(config);
    let part =
        |parts, num_codebooks| load_with(directory.path(), LoadOptions { parts, num_codebooks, ..Default::default() });
    let both = part(Parts::Both, None);
    let fewer = config.num_semantic_quantizers;
    for count in [None, Some(fewer), Some(fewer + 1)] {
        let half = part(Parts::Encoder, count);
        encoder(&half).load(&encoder(&both).save().unwrap()).unwrap();
        encoder(&both).load(&encoder(&half).save().unwrap()).unwrap();
        let half = part(Parts::Decoder, count);
        decoder(&half).load(&decoder(&both).save().unwrap()).unwrap();
        decoder(&both).load(&decoder(&half).save().unwrap()).unwrap();
    }
}

#[test]
fn types_of_weights() {
    let (float, small) = (demo_as("float32"), demo_as("bfloat16"));
    let state = EncoderStream::new(&float, 1, 2).unwrap().save().unwrap();
    let words = "dtype \"float32\" where \"bfloat16\" belongs";
    assert!(refused(EncoderStream::new(&small, 1, 2).unwrap().load(&state), words));
    let state = DecoderStream::new(&float, 1).unwrap().save().unwrap();
    assert!(refused(DecoderStream::new(&small, 1).unwrap().load(&state), words));
}
