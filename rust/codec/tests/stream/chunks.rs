//! One session, its clip cut in any way: the bits of the whole clip.

use mimi_codec::{Codes, Device, Padding};

use crate::fixture::*;

/// Pushes a clip in the pieces that `next` gives the lengths of, and ends it.
fn encode(stream: &mut EncoderStream, pcm: &[f32], frame: usize, mut next: impl FnMut() -> usize) -> Codes {
    let mut codes = Codes { codebooks: stream.codebooks(), data: Vec::new() };
    let mut taken = 0;
    while taken < pcm.len() {
        let piece = next().min(pcm.len() - taken);
        let new = stream.push(&[Some(&pcm[taken..taken + piece])]).unwrap().remove(0);
        taken += piece;
        codes.data.extend(new.data);
        assert_eq!(stream.pending(), [taken % frame]);
        assert_eq!(stream.frames(), [(taken / frame) as u64]);
        assert_eq!(codes.frames(), taken / frame);
    }
    codes.data.extend(stream.flush(None).unwrap().remove(0).data);
    assert_eq!((stream.pending(), stream.frames()), (vec![0], vec![pcm.len().div_ceil(frame) as u64]));
    codes
}

fn decode(stream: &mut DecoderStream, codes: &Codes, mut next: impl FnMut() -> usize) -> Vec<f32> {
    let (mut pcm, mut taken) = (Vec::new(), 0);
    while taken < codes.frames() {
        let to = codes.frames().min(taken + next());
        pcm.extend(stream.push(&[Some(frames(codes, taken..to))]).unwrap().remove(0));
        taken = to;
        assert_eq!(stream.frames(), [taken as u64]);
    }
    pcm
}

/// Lengths for pieces of a clip: none, one, about a frame, some frames, more than the model takes at once.
fn piece(random: &mut Random, frame: usize) -> usize {
    match random.below(8) {
        0 => 0,
        1 => 1,
        2 => frame - 1,
        3 => frame,
        4 => frame + 1,
        5 => random.below(3 * frame),
        6 => random.below(14 * frame),
        _ => 60 * frame + random.below(frame),
    }
}

/// All ways to cut `clip`, a number of random ones among them.
fn check(model: &Mimi, pcm: &[f32], random_cuts: u64) {
    let frame = model.frame_size();
    for codebooks in [model.num_codebooks(), 1] {
        let whole = model.encode(pcm, codebooks).unwrap();
        assert_eq!(whole.frames(), pcm.len().div_ceil(frame));
        let mut stream = EncoderStream::new(model, 1, codebooks).unwrap();
        for seed in 0..random_cuts {
            let random = &mut Random::new(seed);
            assert_eq!(encode(&mut stream, pcm, frame, || piece(random, frame)), whole, "cut {seed}");
            stream.reset(None).unwrap();
        }
        assert_eq!(encode(&mut stream, pcm, frame, || frame), whole);

        let decoded = bits(&model.decode(&whole).unwrap());
        assert_eq!(decoded.len(), whole.frames() * frame);
        let mut stream = DecoderStream::new(model, 1).unwrap();
        for seed in 0..random_cuts {
            let random = &mut Random::new(seed);
            assert_eq!(bits(&decode(&mut stream, &whole, || random.below(16))), decoded, "cut {seed}");
            stream.reset(None).unwrap();
        }
        assert_eq!(bits(&decode(&mut stream, &whole, || 1)), decoded);
        assert_eq!(bits(&decode_at_once(model, &whole)), decoded);
    }
}

#[test]
fn tiny_models() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let frame = config.frame_size();
        let random = &mut Random::new(4);
        for samples in [0, 1, frame, 12 * frame + 1, 32 * frame, 64 * frame - 1, 149 * frame + 3] {
            check(&model, &random.clip(samples), 20);
        }
    }
}

#[test]
fn every_length_of_a_short_clip() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let clip = Random::new(5).clip(3 * config.frame_size());
        for samples in 0..clip.len() {
            check(&model, &clip[..samples], 1);
        }
    }
}

#[test]
fn sample_by_sample() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let clip = Random::new(6).clip(4 * config.frame_size() + 7);
        let whole = model.encode(&clip, 1).unwrap();
        let mut stream = EncoderStream::new(&model, 1, 1).unwrap();
        assert_eq!(encode(&mut stream, &clip, config.frame_size(), || 1), whole);
    }
}

#[test]
fn the_demo_on_any_number_of_threads() {
    let (one, two) = (demo("cpu", 1), demo("cpu", 2));
    let pcm = speech(40_000);
    check(&one, &pcm, 2);
    let codes = one.encode(&pcm, 16).unwrap();
    assert_eq!(two.encode(&pcm, 16).unwrap(), codes);
    assert_eq!(bits(&two.decode(&codes).unwrap()), bits(&one.decode(&codes).unwrap()));
}

#[test]
fn the_demo_with_smaller_weights() {
    let (full, pcm) = (demo("cpu", 1), speech(40_000));
    let codes = full.encode(&pcm, 16).unwrap();
    let exact = full.decode(&codes).unwrap();
    for (dtype, size) in [("bfloat16", 0.8), ("int8", 0.7)] {
        let model = demo_as(dtype);
        // On a GPU int8 keeps entries twice, in float32, which is more than this small model saves.
        if dtype != "int8" || kernels() == Device::Cpu {
            assert!((model.weight_bytes() as f64) < size * full.weight_bytes() as f64, "{dtype}");
        }
        check(&model, &pcm, 2);
        // Audible it must not be: noise of a hundredth of the energy is 20 dB below the signal.
        let decoded = model.decode(&codes).unwrap();
        let noise: f32 = decoded.iter().zip(&exact).map(|(got, exact)| (got - exact).powi(2)).sum();
        let signal: f32 = exact.iter().map(|exact| exact.powi(2)).sum();
        assert!(noise < 0.01 * signal, "{dtype}: {noise} of {signal}");
    }
}

#[test]
fn fewer_codebooks_are_the_first_of_all() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let clip = Random::new(7).clip(15 * config.frame_size() + 1);
        let all = model.encode(&clip, model.num_codebooks()).unwrap();
        for count in 1..model.num_codebooks() {
            let fewer = model.encode(&clip, count).unwrap();
            let first: Vec<u32> = all.data.chunks(all.codebooks).flat_map(|frame| frame[..count].to_vec()).collect();
            assert_eq!(fewer.data, first);
        }
    }
}

#[test]
fn moshi_s_padding_is_zeros_to_a_whole_frame() {
    for config in tiny_configs() {
        let model = tiny(&config);
        let frame = config.frame_size();
        for samples in [1, frame - 1, frame, 13 * frame + 2] {
            let clip = Random::new(8).clip(samples);
            let mut filled = clip.clone();
            filled.resize(samples.next_multiple_of(frame), 0.0);
            let codes = |clip: &[f32], padding| padded_codes(&model, clip, 2, padding);
            assert_eq!(codes(&clip, Padding::Moshi), codes(&filled, Padding::Transformers));
        }
    }
}
