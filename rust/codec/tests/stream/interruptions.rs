//! Calls that are asked to stop between their blocks: nothing has changed then.

use std::sync::atomic::{AtomicUsize, Ordering};

use mimi_codec::{Codes, Direction, Error, Input, Output, Padding};

use crate::fixture::*;

/// Says stop when it is asked for the `nth` time.
fn stop_at(nth: usize) -> impl Fn() -> bool + Sync {
    let asked = AtomicUsize::new(0);
    move || asked.fetch_add(1, Ordering::Relaxed) == nth
}

/// Repeats a call that is stopped at its first block, its second, ... until it gets to its end; gives how often it was
/// stopped, and what it gave.
fn until_done<S, T>(
    stream: &mut S,
    call: impl Fn(&mut S, usize) -> mimi_codec::Result<T>,
    save: impl Fn(&S) -> Vec<u8>,
) -> (usize, T) {
    let before = save(stream);
    let mut stops = 0;
    loop {
        match call(stream, stops) {
            Ok(given) => return (stops, given),
            Err(Error::Interrupted) => assert!(save(stream) == before, "changed by stop {stops}"),
            Err(other) => panic!("expected an interruption, got {other}"),
        }
        stops += 1;
    }
}

/// Frames for each session, and how many blocks they go through the model in at least: one for each length at which a
/// session drops out.
const LENGTHS: [([usize; 3], usize); 6] =
    [([1, 1, 0], 1), ([9, 9, 9], 1), ([3, 5, 0], 2), ([1, 7, 3], 3), ([200, 1, 77], 5), ([0, 0, 0], 0)];

fn models() -> impl Iterator<Item = Mimi> {
    tiny_configs().into_iter().map(|config| tiny(&config))
}

#[test]
fn encoder_stream() {
    for model in models() {
        let (random, frame) = (&mut Random::new(40), model.frame_size());
        for (lengths, blocks) in LENGTHS {
            let clips: Vec<Vec<f32>> = lengths.iter().map(|&frames| random.clip((2 + frames) * frame + 1)).collect();
            let mut stream = EncoderStream::new(&model, 3, 2).unwrap();
            let cut = 2 * frame - 1;
            let first = stream.push(&clips.iter().map(|clip| Some(&clip[..cut])).collect::<Vec<_>>()).unwrap();
            // One more frame of each is whole with what was pending.
            let second = clips.iter().map(|clip| Some(&clip[cut..2 * frame])).collect::<Vec<_>>();
            let second = stream.push(&second).unwrap();
            let rest: Vec<Option<&[f32]>> = clips.iter().map(|clip| Some(&clip[2 * frame..])).collect();
            let (stops, third) =
                until_done(&mut stream, |stream, nth| stream.push_until(&rest, &stop_at(nth)), |s| s.save().unwrap());
            assert!(stops >= blocks, "{stops} blocks of {lengths:?} frames");
            let last = stream.flush(None).unwrap();
            for (session, clip) in clips.iter().enumerate() {
                let parts = [&first, &second, &third, &last].map(|codes| codes[session].data.clone());
                let whole = model.encode(clip, 2).unwrap();
                assert_eq!(parts.concat(), whole.data, "{lengths:?} frames");
            }
        }
    }
}

#[test]
fn decoder_stream() {
    for model in models() {
        let random = &mut Random::new(41);
        for (lengths, blocks) in LENGTHS {
            let clips: Vec<Codes> = lengths.iter().map(|&frames| random.codes(&model, 2, 1 + frames)).collect();
            let mut stream = DecoderStream::new(&model, 3).unwrap();
            let first: Vec<_> = clips.iter().map(|codes| Some(frames(codes, 0..1))).collect();
            let first = stream.push(&first).unwrap();
            let rest: Vec<_> = clips.iter().map(|codes| Some(frames(codes, 1..codes.frames()))).collect();
            let (stops, second) =
                until_done(&mut stream, |stream, nth| stream.push_until(&rest, &stop_at(nth)), |s| s.save().unwrap());
            assert!(stops >= blocks, "{stops} blocks of {lengths:?} frames");
            for (session, codes) in clips.iter().enumerate() {
                let given = [&first[session][..], &second[session]].concat();
                assert_eq!(bits(&given), bits(&model.decode(codes).unwrap()), "{lengths:?} frames");
            }
        }
    }
}

#[test]
fn whole_clips() {
    for model in models() {
        let clip = Random::new(42).clip(200 * model.frame_size());
        let codes = model.encode(&clip, 2).unwrap();
        let latents = model.codes_to_latents(&codes).unwrap();
        for nth in 0..3 {
            let stopped = |direction, input| model.clip(direction, input, Padding::Moshi, &stop_at(nth)).err();
            let interrupted = [
                stopped(Direction::ToCodes(2), Input::Pcm(&clip)),
                stopped(Direction::ToLatents, Input::Pcm(&clip)),
                stopped(Direction::FromCodes, Input::Codes(&codes)),
                stopped(Direction::FromLatents, Input::Latents(&latents)),
                model.latents_to_codes_until(&latents, 2, &stop_at(nth)).err(),
                model.codes_to_latents_until(&codes, &stop_at(nth)).err(),
            ];
            assert!(interrupted.iter().all(|error| matches!(error, Some(Error::Interrupted))), "{interrupted:?}");
        }
        let done = |direction, input| model.clip(direction, input, Padding::Moshi, &stop_at(200)).unwrap();
        assert_eq!(done(Direction::ToCodes(2), Input::Pcm(&clip)), Output::Codes(codes.clone()));
        done(Direction::FromCodes, Input::Codes(&codes));
    }
}
