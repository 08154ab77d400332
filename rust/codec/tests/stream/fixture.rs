//! Models and clips to code with: tiny random models, and the packaged demo with its speech.

use std::fs;
use std::path::{Path, PathBuf};

use mimi_codec::{Codes, Device, Direction, Input, Latents, LoadOptions, MimiConfig, Output, Padding, TensorSpec};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

pub(crate) use super::streams::{DecoderStream, EncoderStream};
use crate::temp_dir::TempDir;

/// A model of this codec.
pub(crate) use mimi_codec::Model as Mimi;

/// Random numbers that are the same in every run (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end as u64) as usize
    }

    /// In `[-1, 1)`.
    pub(crate) fn float(&mut self) -> f32 {
        self.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Samples of a clip.
    pub(crate) fn clip(&mut self, samples: usize) -> Vec<f32> {
        (0..samples).map(|i| 0.4 * (i as f32 * 0.3).sin() + 0.3 * self.float()).collect()
    }

    pub(crate) fn codes(&mut self, model: &Mimi, codebooks: usize, frames: usize) -> Codes {
        let entries = model.codebook_size();
        Codes { codebooks, data: (0..frames * codebooks).map(|_| self.below(entries) as u32).collect() }
    }
}

/// Tiny codecs that differ in all that a configuration can say.
pub(crate) fn tiny_configs() -> [MimiConfig; 3] {
    let most = MimiConfig {
        hidden_size: 16,
        num_filters: 4,
        num_residual_layers: 2,
        upsampling_ratios: vec![3, 2],
        use_conv_shortcut: true,
        codebook_size: 64,
        codebook_dim: 10,
        vector_quantization_hidden_dimension: 10,
        num_quantizers: 5,
        num_semantic_quantizers: 2,
        upsample_groups: 4,
        num_hidden_layers: 2,
        intermediate_size: 12,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: Some(6),
        attention_bias: true,
        sliding_window: 5,
        ..Default::default()
    };
    // Three steps to a frame, no projections, a depthwise upsampling, windows and dilations longer than a block.
    let other = MimiConfig {
        hidden_size: 12,
        num_filters: 3,
        num_residual_layers: 3,
        dilation_growth_rate: 3,
        upsampling_ratios: vec![2, 1, 4],
        kernel_size: 5,
        last_kernel_size: 1,
        residual_kernel_size: 2,
        compress: 1,
        codebook_size: 16,
        codebook_dim: 12,
        vector_quantization_hidden_dimension: 12,
        num_quantizers: 4,
        num_semantic_quantizers: 3,
        upsample_groups: 12,
        num_hidden_layers: 1,
        intermediate_size: 20,
        num_attention_heads: 3,
        num_key_value_heads: 1,
        hidden_act: "gelu_new".into(),
        sliding_window: 40,
        frame_rate: Some(1000.0),
        ..Default::default()
    };
    let least = MimiConfig {
        hidden_size: 8,
        num_filters: 2,
        num_residual_layers: 0,
        upsampling_ratios: vec![5],
        kernel_size: 1,
        codebook_size: 8,
        codebook_dim: 4,
        vector_quantization_hidden_dimension: 4,
        num_quantizers: 2,
        upsample_groups: 1,
        num_hidden_layers: 0,
        num_attention_heads: 2,
        num_key_value_heads: 2,
        ..Default::default()
    };
    [most, other, least]
}

/// Random values of a size that keeps activations near 1.
fn values(random: &mut Random, spec: &TensorSpec) -> Vec<f32> {
    let is = |part: &str| spec.name.contains(part);
    let fan_in: usize = spec.shape.iter().skip(1).product();
    let (middle, spread) = match () {
        () if is("initialized") => (1.0, 0.0),
        () if is("cluster_usage") => (1.5, 1.0),
        () if is("layer_scale") => (0.5, 0.2),
        () if is("layernorm.weight") => (1.0, 0.3),
        () if spec.shape.len() == 1 => (0.0, 0.2),
        () => (0.0, (3.0 / fan_in as f32).sqrt()),
    };
    (0..spec.shape.iter().product()).map(|_| middle + spread * random.float()).collect()
}

/// A directory with a random checkpoint.
pub(crate) fn checkpoint(config: &MimiConfig) -> TempDir {
    checkpoint_with(config, |_, _| {})
}

/// One whose tensors are changed before they are written.
pub(crate) fn checkpoint_with(config: &MimiConfig, change: impl Fn(&TensorSpec, &mut Vec<f32>)) -> TempDir {
    let directory = TempDir::new();
    fs::write(directory.join("config.json"), config.to_json()).unwrap();
    let random = &mut Random::new(1);
    let tensors: Vec<(TensorSpec, Vec<u8>)> = config
        .tensors()
        .into_iter()
        .map(|spec| {
            let mut values = values(random, &spec);
            change(&spec, &mut values);
            (spec, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(spec, bytes)| (&spec.name, TensorView::new(Dtype::F32, spec.shape.clone(), bytes).unwrap()));
    fs::write(directory.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    directory
}

/// The device that stands for the kernels: the CPU, or the one that `MIMI_CODEC_TEST_DEVICE` names, so that all tests run on
/// that one.
pub(crate) fn kernels() -> Device {
    std::env::var("MIMI_CODEC_TEST_DEVICE").map_or(Device::Cpu, |name| name.parse().unwrap())
}

/// A model on `"cpu"`, which is the kernels wherever they are, or on a device that is meant as such.
pub(crate) fn load(path: &Path, device: &str, threads: usize) -> Mimi {
    let device = if device == "cpu" { kernels() } else { device.parse().unwrap() };
    Mimi::load(path, &LoadOptions { device, threads, ..Default::default() }).unwrap()
}

/// A tiny model on the kernels.
pub(crate) fn tiny(config: &MimiConfig) -> Mimi {
    load(checkpoint(config).path(), "cpu", 1)
}

fn demo_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python/mimi_codec/demo")
}

/// The packaged model with its weights stored in another type.
pub(crate) fn demo_as(dtype: &str) -> Mimi {
    Mimi::load(&demo_path(), &LoadOptions { dtype: dtype.parse().unwrap(), device: kernels(), ..Default::default() })
        .unwrap()
}

/// The packaged model.
pub(crate) fn demo(device: &str, threads: usize) -> Mimi {
    load(&demo_path(), device, threads)
}

/// The first samples of the packaged recording.
pub(crate) fn speech(samples: usize) -> Vec<f32> {
    let bytes = fs::read(demo_path().join("speech.wav")).unwrap();
    let data = bytes.windows(4).position(|window| window == b"data").unwrap() + 8;
    let samples = bytes[data..].as_chunks().0.iter().take(samples);
    samples.map(|&sample| f32::from(i16::from_le_bytes(sample)) / 32768.0).collect()
}

/// The codes of a clip whose end is filled up in one way or the other.
pub(crate) fn padded_codes(model: &Mimi, clip: &[f32], codebooks: usize, padding: Padding) -> Codes {
    let codes = model.clip(Direction::ToCodes(codebooks), Input::Pcm(clip), padding, &|| false);
    codes.and_then(Output::into_codes).unwrap()
}

/// The latents of such a clip.
pub(crate) fn padded_latents(model: &Mimi, clip: &[f32], padding: Padding) -> Latents {
    let latents = model.clip(Direction::ToLatents, Input::Pcm(clip), padding, &|| false);
    latents.and_then(Output::into_latents).unwrap()
}

/// What a fresh stream of one session makes of codes.
pub(crate) fn decode_at_once(model: &Mimi, codes: &Codes) -> Vec<f32> {
    let mut stream = DecoderStream::new(model, 1).unwrap();
    stream.push(&[Some(codes.clone())]).unwrap().remove(0)
}

/// Frames of a clip of codes.
pub(crate) fn frames(codes: &Codes, range: std::ops::Range<usize>) -> Codes {
    let count = codes.codebooks;
    Codes { codebooks: count, data: codes.data[range.start * count..range.end * count].to_vec() }
}

pub(crate) fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|value| value.to_bits()).collect()
}
