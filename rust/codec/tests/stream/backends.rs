//! `cpu` against `cpu-candle`, the plain candle operations that define the codec.

use mimi_codec::Padding;

use crate::batches;
use crate::fixture::*;

/// Asserts that two signals differ by at most a hundred-thousandth of the largest value: a few roundings in each of
/// some dozens of layers, one after the other.
pub(crate) fn assert_near(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert!(largest.is_finite() && (largest > 1e-3 || expected.is_empty()), "a signal to compare, got {largest}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= 1e-5 * largest, "value {i}: {got} is not {expected}");
    }
}

/// Asserts that two models, the second the plain one, give the same.
fn compare(fast: &Mimi, plain: &Mimi, pcm: &[f32]) {
    assert_eq!(plain.backend_name(), "candle-cpu");
    let all = fast.num_codebooks();
    for padding in [Padding::Transformers, Padding::Moshi] {
        let latents = padded_latents(plain, pcm, padding);
        assert_near(&padded_latents(fast, pcm, padding).data, &latents.data);
        assert_eq!(fast.latents_to_codes(&latents, all).unwrap(), plain.latents_to_codes(&latents, all).unwrap());
        let codes = padded_codes(plain, pcm, all, padding);
        assert_eq!(padded_codes(fast, pcm, all, padding), codes);

        let quantized = plain.codes_to_latents(&codes).unwrap();
        assert_near(&fast.codes_to_latents(&codes).unwrap().data, &quantized.data);
        let decoded = plain.decode(&codes).unwrap();
        assert_near(&fast.decode(&codes).unwrap(), &decoded);
        assert_near(&fast.decode_latents(&quantized).unwrap(), &decoded);
    }
    for fewer in 1..all.min(4) {
        let codes = plain.encode(pcm, fewer).unwrap();
        assert_eq!(fast.encode(pcm, fewer).unwrap(), codes);
        assert_near(&fast.decode(&codes).unwrap(), &plain.decode(&codes).unwrap());
    }
}

#[test]
fn tiny_models() {
    for config in tiny_configs() {
        let directory = checkpoint(&config);
        let [fast, plain] = ["cpu", "cpu-candle"].map(|device| load(directory.path(), device, 1));
        let random = &mut Random::new(2);
        for samples in [1, config.frame_size() - 1, config.frame_size(), 31 * config.frame_size() + 5] {
            compare(&fast, &plain, &random.clip(samples));
        }
        let codes = fast.encode(&random.clip(1000), 2).unwrap();
        assert!(codes.data.iter().collect::<std::collections::HashSet<_>>().len() > 3, "codes that say something");
    }
}

#[test]
fn the_demo_on_speech() {
    compare(&demo("cpu", 1), &demo("cpu-candle", 1), &speech(30_000));
}

/// Streams of the plain operations, sessions side by side and at rest in turn, against whole clips of the kernels.
#[test]
fn streams() {
    for config in tiny_configs() {
        let directory = checkpoint(&config);
        let [fast, plain] = ["cpu", "cpu-candle"].map(|device| load(directory.path(), device, 1));
        let (random, frame, all) = (&mut Random::new(3), config.frame_size(), fast.num_codebooks());
        let clips: Vec<Vec<f32>> = [17, 20, 23].map(|frames| random.clip(frames * frame + 1)).into();
        let codes = batches::encode(&plain, &clips, 1, 5 * frame);
        let pcm = batches::decode(&plain, &codes, 2, 6);
        for ((clip, codes), pcm) in clips.iter().zip(&codes).zip(&pcm) {
            assert_eq!(codes, &fast.encode(clip, all).unwrap());
            assert_near(pcm, &fast.decode(codes).unwrap());
        }
    }
}
