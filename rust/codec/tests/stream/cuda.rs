//! The kernels of a GPU against those of this processor: the same bits, where it has vectors of 16 lanes.

use mimi_codec::{
    Codes, Counts, Device, Direction, Dtype, Elements, Error, Input, LoadOptions, Padding, Stream, Tensor, simd_name,
};

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
#[ignore = "on the device of scripts/test-cuda.sh"]
fn clips() {
    if !["avx512", "neon"].contains(&simd_name()) {
        return;
    }
    for config in tiny_configs() {
        let directory = checkpoint(&config);
        for dtype in [Dtype::Float32, Dtype::Bfloat16, Dtype::Int8] {
            let [gpu, cpu] = [kernels(), Device::Cpu].map(|device| model(directory.path(), device, dtype));
            let random = &mut Random::new(90);
            for frames in [0, 1, 2, 9, 17, 66] {
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

/// A tensor on the device of a model.
fn tensor(model: &Mimi, elements: Elements, shape: &[usize], bytes: &[u8]) -> Tensor {
    let gpu = model.gpu().unwrap();
    let axes: Vec<usize> = (0..shape.len()).collect();
    let tensor = Tensor::new(gpu, elements, shape, &axes).unwrap();
    gpu.upload(tensor.span().unwrap(), bytes).unwrap();
    tensor
}

/// The elements of a tensor in the order of its shape.
fn elements<const N: usize>(tensor: &Tensor) -> Vec<[u8; N]> {
    let mut bytes = vec![0; tensor.span().unwrap().bytes()];
    tensor.gpu().download(tensor.span().unwrap(), &mut bytes).unwrap();
    let all: Vec<[u8; N]> = bytes.as_chunks().0.to_vec();
    let mut indices = vec![0];
    for (&len, &stride) in tensor.shape().iter().zip(tensor.strides()) {
        indices = indices.iter().flat_map(|&at| (0..len).map(move |i| at + i * stride)).collect();
    }
    indices.into_iter().map(|at: usize| all[at]).collect()
}

fn f32s(tensor: &Tensor) -> Vec<f32> {
    elements(tensor).into_iter().map(f32::from_ne_bytes).collect()
}

fn i64s(tensor: &Tensor) -> Vec<i64> {
    elements(tensor).into_iter().map(i64::from_ne_bytes).collect()
}

/// What stays on the device is what passes the host, in clips and in streams of which rows rest.
#[test]
#[ignore = "on the device of scripts/test-cuda.sh"]
fn tensors_on_the_device() {
    let config = &tiny_configs()[0];
    let directory = checkpoint(config);
    let gpu = model(directory.path(), kernels(), Dtype::Float32);
    let (random, frame, all) = (&mut Random::new(91), config.frame_size(), config.num_quantizers);
    let samples = 5 * frame + 3;
    let clips: Vec<Vec<f32>> = (0..3).map(|_| random.clip(samples)).collect();
    let pcm = tensor(&gpu, Elements::Float32, &[3, samples], bytes_of(&clips.concat()));

    let codes = gpu.clips_on_device(Direction::ToCodes(all), &pcm, &|| false).unwrap();
    assert_eq!(codes.shape(), [3, all, 6]);
    let expected: Vec<Codes> = clips.iter().map(|clip| gpu.encode(clip, all).unwrap()).collect();
    let by_book = |codes: &Codes| -> Vec<i64> {
        (0..all).flat_map(|k| codes.data.iter().skip(k).step_by(all).map(|&code| i64::from(code))).collect()
    };
    assert_eq!(i64s(&codes), expected.iter().flat_map(by_book).collect::<Vec<_>>());
    let sound = gpu.clips_on_device(Direction::FromCodes, &codes, &|| false).unwrap();
    let decoded: Vec<f32> = expected.iter().flat_map(|codes| gpu.decode(codes).unwrap()).collect();
    assert_same(&f32s(&sound), &decoded, "samples");
    let latents = gpu.clips_on_device(Direction::ToLatents, &pcm, &|| false).unwrap();
    assert_eq!(latents.shape(), [3, config.hidden_size, 6]);

    // Steps of a stream, the second row at rest in some: one by one, recorded, and replayed.
    let mut stream = Stream::new(&gpu, Direction::ToCodes(all), 3).unwrap();
    let mut by_host = Stream::new(&gpu, Direction::ToCodes(all), 3).unwrap();
    for step in 0..8 {
        let active = [true, step % 3 != 1, true];
        let blocks: Vec<Vec<f32>> = (0..3).map(|_| random.clip(frame)).collect();
        let input = tensor(&gpu, Elements::Float32, &[3, frame], bytes_of(&blocks.concat()));
        let given = i64s(&stream.push_on_device(&input, Some(&active), &|| false).unwrap());
        let inputs: Vec<_> =
            blocks.iter().zip(active).map(|(block, active)| active.then_some(Input::Pcm(block))).collect();
        let expected = by_host.push(&inputs).unwrap();
        for ((given, expected), active) in given.chunks_exact(all).zip(expected).zip(active) {
            let expected = expected.into_codes().unwrap().data;
            let expected: Vec<i64> = if active { expected.into_iter().map(i64::from).collect() } else { vec![-1; all] };
            assert_eq!(given, expected, "step {step}");
        }
    }

    // What cannot be is refused, and leaves the stream as it was.
    let before = stream.save(None).unwrap();
    let half = tensor(&gpu, Elements::Float32, &[3, frame / 2], bytes_of(&vec![0.0; 3 * (frame / 2)]));
    let wrong = tensor(&gpu, Elements::Float32, &[2, frame], bytes_of(&vec![0.0; 2 * frame]));
    let nan = tensor(&gpu, Elements::Float32, &[3, frame], bytes_of(&vec![f32::NAN; 3 * frame]));
    for input in [&half, &wrong] {
        assert!(matches!(stream.push_on_device(input, None, &|| false), Err(Error::Stream(_))));
    }
    assert!(matches!(stream.push_on_device(&nan, None, &|| false), Err(Error::Numeric(_))));
    assert!(stream.save(None).unwrap() == before);
    let beyond = [config.codebook_size as i64, -1].repeat(all);
    let codes = tensor(
        &gpu,
        Elements::Int64,
        &[2, all, 1],
        &beyond.iter().flat_map(|code| code.to_ne_bytes()).collect::<Vec<_>>(),
    );
    assert!(matches!(gpu.clips_on_device(Direction::FromCodes, &codes, &|| false), Err(Error::Codes(_))));
}

/// A step that was recorded is one copy there, one launch and one copy back, whatever rows take part; and nothing is allocated.
#[test]
#[ignore = "on the device of scripts/test-cuda.sh"]
fn what_a_step_asks_of_the_driver() {
    for config in tiny_configs() {
        let directory = checkpoint(&config);
        let (model, frame) = (load(directory.path(), "cpu", 1), config.frame_size());
        let gpu = model.gpu().unwrap();
        let random = &mut Random::new(92);
        let mut encoder = Stream::new(&model, Direction::ToCodes(2), 4).unwrap();
        let mut decoder = Stream::new(&model, Direction::FromCodes, 4).unwrap();
        for step in 0..10 {
            // Three rows and four go the same way: one of them rests.
            let active = [true, step % 2 == 0, true, true];
            let block = random.clip(frame);
            let pcm = active.map(|active| active.then_some(Input::Pcm(&block)));
            let before = gpu.counts();
            let codes = encoder.push(&pcm).unwrap();
            let encoding = gpu.counts() - before;
            let codes = codes.into_iter().map(|codes| codes.into_codes().unwrap()).collect::<Vec<_>>();
            let codes: Vec<_> =
                codes.iter().zip(active).map(|(codes, active)| active.then_some(Input::Codes(codes))).collect();
            let before = gpu.counts();
            decoder.push(&codes).unwrap();
            for counts in [encoding, gpu.counts() - before] {
                let recorded = Counts { graph_launches: 1, uploads: 1, downloads: 1, waits: 1, ..Counts::default() };
                assert!(step < 2 || counts == recorded, "step {step}: {counts:?}");
            }
        }
        // A reset is a number on the host.
        let before = gpu.counts();
        encoder.reset(None).unwrap();
        assert_eq!(gpu.counts(), before);
    }
}

fn bytes_of(floats: &[f32]) -> &[u8] {
    bytemuck::cast_slice(floats)
}
