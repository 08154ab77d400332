//! Delays: what transposed convolutions cut off at a clip's start comes late, and what stands before it is silence.

use super::{checkpoint, late, qwen};
use crate::fixture::{Random, load};
use crate::{Codes, Direction, Input, Model, Output, Stream};

fn codes(model: &Model, frames: usize) -> Codes {
    let (random, codebooks) = (&mut Random::new(80), model.num_codebooks());
    Codes { codebooks, data: (0..frames * codebooks).map(|_| random.below(model.codebook_size()) as u32).collect() }
}

#[test]
fn a_delay_is_what_each_trimmed_start_comes_to() {
    for (config, frame, delay) in [(qwen(), 12, 3 * 2 + 2), (late(), 8, 8 + 4 + 2)] {
        let model = load(checkpoint("code2wav", &config).path(), "cpu", 1);
        assert_eq!((model.frame_size(), model.delay()), (frame, delay));
    }
}

#[test]
fn frames_that_settle_nothing_give_nothing() {
    let directory = checkpoint("code2wav", &late());
    for device in ["cpu", "cpu-candle"] {
        let model = load(directory.path(), device, 1);
        let codes = codes(&model, 4);
        assert!(model.delay() > model.frame_size());
        let mut stream = Stream::new(&model, Direction::FromCodes, 2).unwrap();
        let mut counts = Vec::new();
        for frame in codes.data.chunks(codes.codebooks) {
            let one = Codes { codebooks: codes.codebooks, data: frame.to_vec() };
            let given = stream.push(&[Some(Input::Codes(&one)), None]).unwrap();
            let [Output::Pcm(given), Output::Pcm(resting)] = &given[..] else { panic!("samples") };
            assert!(resting.is_empty());
            counts.push(given.len());
        }
        assert_eq!(counts, [0, 2, 8, 8], "{device}");
        let first = Codes { codebooks: codes.codebooks, data: codes.data[..codes.codebooks].to_vec() };
        assert!(model.decode(&first).unwrap().is_empty());
    }
}
