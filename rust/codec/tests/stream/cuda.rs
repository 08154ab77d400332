//! The kernels of a GPU against those of this processor: the same bits, where it has vectors of 16 lanes.

use mimi_codec::{Device, Dtype, LoadOptions, Padding, simd_name};

use crate::fixture::*;

/// A model on a device with its weights stored in a type.
fn model(path: &std::path::Path, device: Device, dtype: Dtype) -> Mimi {
    Mimi::load(path, &LoadOptions { device, dtype, ..Default::default() }).unwrap()
}

/// Asserts that two signals have the same bits.
fn assert_same(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let differ = |i: &usize| got[*i].to_bits() != expected[*i].to_bits();
    let all = (0..got.len()).filter(differ).count();
    if let Some(i) = (0..got.len()).find(differ) {
        panic!("{what}: value {i} of {} is {}, not {}; {all} differ", got.len(), got[i], expected[i]);
    }
}

/// Whole clips of every kind of length, and what lies between them and codes.
#[test]
fn clips() {
    if kernels() == Device::Cpu || simd_name() != "avx512" {
        return;
    }
    for config in tiny_configs() {
        let directory = checkpoint(&config);
        for dtype in [Dtype::Float32, Dtype::Bfloat16, Dtype::Int8] {
            let [gpu, cpu] = [kernels(), Device::Cpu].map(|device| model(directory.path(), device, dtype));
            let random = &mut Random::new(90);
            for frames in [0, 1, 2, 3, 5, 8, 9, 16, 17, 33, 71] {
                let samples = frames * config.frame_size() + 1;
                let clip = random.clip(samples);
                for padding in [Padding::Transformers, Padding::Moshi] {
                    let [latents, expected] = [&gpu, &cpu].map(|model| padded_latents(model, &clip, padding));
                    assert_same(&latents.data, &expected.data, &format!("latents of {samples} samples in {dtype}"));
                    let all = cpu.num_codebooks();
                    let codes = padded_codes(&cpu, &clip, all, padding);
                    assert_eq!(padded_codes(&gpu, &clip, all, padding), codes);
                    assert_eq!(gpu.latents_to_codes(&latents, all).unwrap(), codes);
                    let [got, expected] = [&gpu, &cpu].map(|model| model.codes_to_latents(&codes).unwrap());
                    assert_same(&got.data, &expected.data, "latents of codes");
                    let [got, expected] = [&gpu, &cpu].map(|model| model.decode(&codes).unwrap());
                    assert_same(&got, &expected, &format!("{samples} samples in {dtype}"));
                }
            }
        }
    }
}
