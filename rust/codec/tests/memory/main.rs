//! A stream in its steady state makes no large allocation: the memory of its signals goes round.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use allocation_counter::measure;
use mimi_codec::{Direction, Input, LoadOptions, Model, Output, Stream};

/// The size from which the C library asks the system for memory, and gives it back at once.
const LARGE: u64 = 128 * 1024;

/// Frames after which all memory that goes round is there.
const WARM_UP: usize = 3;

fn demo() -> Model {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/mimi_codec/demo"));
    Model::load(path, &LoadOptions::default()).unwrap()
}

fn frame(mimi: &Model, index: usize) -> Vec<f32> {
    (0..mimi.frame_size()).map(|i| ((index * 100 + i) as f32 * 0.05).sin() * 0.3).collect()
}

#[test]
fn streams_of_one_and_of_several_sessions() {
    let mimi = demo();
    for sessions in [1, 3] {
        let mut encoder = Stream::new(&mimi, Direction::ToCodes(8), sessions).unwrap();
        let mut decoder = Stream::new(&mimi, Direction::FromCodes, sessions).unwrap();
        for index in 0..20 {
            let pcm = frame(&mimi, index);
            let mut codes = Vec::new();
            let encoding = measure(|| codes = encoder.push(&vec![Some(Input::Pcm(&pcm)); sessions]).unwrap());
            let codes: Vec<_> = codes.into_iter().map(|codes: Output| codes.into_codes().unwrap()).collect();
            let codes: Vec<_> = codes.iter().map(|codes| Some(Input::Codes(codes))).collect();
            let decoding = measure(|| drop(decoder.push(&codes).unwrap()));
            if index >= WARM_UP {
                // All that is held at once on top of what was there before; so no single piece is larger.
                for (name, info) in [("encoding", encoding), ("decoding", decoding)] {
                    assert!(info.bytes_max < LARGE, "{sessions} sessions, {name} frame {index}: {info:?}");
                }
            }
        }
    }
}

#[test]
fn a_stream_keeps_what_it_held_at_first() {
    let mimi = demo();
    let mut encoder = Stream::new(&mimi, Direction::ToCodes(8), 1).unwrap();
    let mut push = |index| drop(encoder.push(&[Some(Input::Pcm(&frame(&mimi, index)))]).unwrap());
    (0..WARM_UP).for_each(&mut push);
    let info = measure(|| (WARM_UP..200).for_each(push));
    assert_eq!(info.bytes_current, 0, "{info:?}");
}
