//! Calls in which an operation fails, each in turn: the stream is then as it was, and goes on.
#![allow(clippy::unwrap_used)]

use crate::error::Result;
use crate::fixture::{DecoderStream, EncoderStream, Mimi, Random, bits, checkpoint, kernels, load, tiny_configs};
use crate::ops::faults::with_fault;
use crate::{Codes, Device};

/// Tiny models on the kernels and on candle's operations.
fn models() -> impl Iterator<Item = Mimi> {
    tiny_configs().into_iter().flat_map(|config| {
        let directory = checkpoint(&config);
        ["cpu", "cpu-candle"].map(|device| load(directory.path(), device, 1))
    })
}

/// Places in which a call can fail, of which a GPU has few: a step is two copies and a launch, and a reset is a number.
fn fewest(on_the_cpu: usize) -> usize {
    if kernels() == Device::Cpu { on_the_cpu } else { on_the_cpu.div_ceil(3) }
}

/// Frames of three sessions: a block, one in which a session rests, and some of different lengths.
const LENGTHS: [[usize; 3]; 3] = [[1, 1, 1], [0, 3, 3], [2, 1, 5]];

/// Repeats a call with a fault in its first place, its second, ... until it comes to its end; gives the number of faults
/// and what the call gave.
fn until_done<S, T>(stream: &mut S, call: impl Fn(&mut S) -> Result<T>, save: impl Fn(&S) -> Vec<u8>) -> (usize, T) {
    let before = save(stream);
    for nth in 0.. {
        if let Some(given) = with_fault(nth, || call(stream)) {
            return (nth, given);
        }
        assert!(save(stream) == before, "changed by fault {nth}");
    }
    unreachable!("more faults than numbers")
}

#[test]
fn encoder_stream() {
    for model in models() {
        let (random, frame) = (&mut Random::new(50), model.frame_size());
        let save = |stream: &EncoderStream| stream.save().unwrap();
        for lengths in LENGTHS {
            let mut stream = EncoderStream::new(&model, 3, 2).unwrap();
            // At the start of a clip, and later; `frame - 1` samples are pending then.
            for clip in [frame * 2 - 1, 2, frame - 2].map(|samples| random.clip(samples)) {
                let clips = lengths.map(|frames| [clip.clone(), random.clip(frames * frame)].concat());
                let clips: Vec<Option<&[f32]>> = clips.iter().map(|clip| Some(clip.as_slice())).collect();
                let mut expected = stream.copy().unwrap();
                let (faults, codes) = until_done(&mut stream, |stream| stream.push(&clips), save);
                assert!(faults >= fewest(10), "{faults} faults");
                assert_eq!(codes, expected.push(&clips).unwrap());
                assert!(save(&stream) == save(&expected));
            }
            let mut expected = stream.copy().unwrap();
            let (faults, rest) = until_done(&mut stream, |stream| stream.flush(None), save);
            assert!(faults >= fewest(10), "{faults} faults");
            assert_eq!(rest, expected.flush(None).unwrap());
            assert!(save(&stream) == save(&expected));

            let mask = [true, false, true];
            let (faults, ()) = until_done(&mut stream, |stream| stream.reset(Some(&mask)), save);
            assert!(faults >= fewest(3), "{faults} faults");
            assert_eq!(stream.frames(), [0, expected.frames()[1], 0]);
        }
    }
}

#[test]
fn decoder_stream() {
    for model in models() {
        let random = &mut Random::new(51);
        let save = |stream: &DecoderStream| stream.save().unwrap();
        for lengths in LENGTHS {
            let mut stream = DecoderStream::new(&model, 3).unwrap();
            for _ in 0..2 {
                let codes: Vec<Option<Codes>> =
                    lengths.map(|frames| (frames > 0).then(|| random.codes(&model, 2, frames))).into();
                let mut expected = stream.copy().unwrap();
                let (faults, pcm) = until_done(&mut stream, |stream| stream.push(&codes), save);
                assert!(faults >= fewest(10), "{faults} faults");
                for (pcm, expected) in pcm.iter().zip(expected.push(&codes).unwrap()) {
                    assert_eq!(bits(pcm), bits(&expected));
                }
                assert!(save(&stream) == save(&expected));
            }
            let (faults, ()) = until_done(&mut stream, |stream| stream.reset(None), save);
            assert!(faults >= fewest(3), "{faults} faults");
            assert_eq!(stream.frames(), [0; 3]);
        }
    }
}

#[test]
fn calls_that_come_round_the_rings_of_attention() {
    // Blocks of 1, 32 and 32 frames, of two or three steps each; the rings hold 64 steps. Every hundredth fault: the
    // blocks have the same operations.
    for model in models() {
        let codes = [Some(Random::new(52).codes(&model, 2, 66)), Some(Random::new(53).codes(&model, 2, 1))];
        let mut stream = DecoderStream::new(&model, 2).unwrap();
        stream.push(&codes).unwrap();
        let mut expected = stream.copy().unwrap();
        let expected = expected.push(&codes).unwrap();
        let before = stream.save().unwrap();
        for nth in (0..).step_by(100) {
            match with_fault(nth, || stream.push(&codes)) {
                None => assert!(stream.save().unwrap() == before, "changed by fault {nth}"),
                Some(pcm) => {
                    assert!(nth >= 100, "{nth} faults");
                    assert_eq!(bits(&pcm[0]), bits(&expected[0]));
                    break;
                }
            }
        }
    }
}
