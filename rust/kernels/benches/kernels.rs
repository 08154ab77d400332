//! The kernels on Mimi's own shapes, one frame at a time and in blocks, and on those of the codecs of its family.
//!
//! The rate is in multiply-adds per second ("elem/s"). `peak` multiplies a matrix that fits the first-level cache: what
//! the processor can do at best, to hold the others against.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mimi_kernels::simd::Level;
use mimi_kernels::{
    Activation, Attention, Codebook, Depthwise, DepthwiseUpsample, Epilogue, PackedMatrix, Precision, Rows, Steps,
    Strided, Threads, attend, cache_len, depthwise, elu, gated, layer_norm, product, rms_norm, snake, upsample,
};

/// Name, rows, depth, columns and the stride from row to row, of one frame of 80 ms.
const SHAPES: [(&str, usize, usize, usize, usize); 12] = [
    ("peak", 48, 64, 64, 64),
    ("encoder.0", 1920, 7, 64, 1),
    ("encoder.1 wide", 1920, 192, 32, 64),
    ("encoder.1 narrow", 1920, 32, 64, 32),
    ("encoder.3 stride 4", 480, 512, 128, 256),
    ("encoder.6 stride 5", 96, 1280, 256, 640),
    ("encoder.9 stride 6", 16, 3072, 512, 1536),
    ("encoder.12 stride 8", 2, 8192, 1024, 4096),
    ("transformer in", 2, 512, 2048, 512),
    ("transformer out", 2, 2048, 512, 2048),
    ("codebook", 1, 256, 2048, 256),
    ("decoder.14", 1920, 192, 1, 64),
];

/// The same of the family: the first and last stages of VibeVoice are shallow, those of Code2Wav as deep as seven taps.
const FAMILY: [(&str, usize, usize, usize, usize); 9] = [
    ("vibevoice in, 32 channels", 3200, 32, 128, 32),
    ("vibevoice out, 32 channels", 3200, 128, 32, 128),
    ("vibevoice in, 64 channels", 1600, 64, 256, 64),
    ("vibevoice out, 64 channels", 1600, 256, 64, 256),
    ("code2wav kernel 7, 96 channels", 1920, 672, 96, 96),
    ("code2wav kernel 1, 96 channels", 1920, 96, 96, 96),
    ("code2wav kernel 7, 768 channels", 32, 5376, 768, 768),
    ("code2wav kernel 7, 1 sample", 1920, 672, 1, 96),
    ("vibevoice kernel 7, 1 sample", 3200, 224, 1, 32),
];

fn products(criterion: &mut Criterion) {
    let (level, threads) = (Level::detect(), Threads::new(1));
    for (precision, frames) in
        [(Precision::Float32, 1), (Precision::Float32, 12), (Precision::Bfloat16, 1), (Precision::Int8, 1)]
    {
        let mut group = criterion.benchmark_group(format!("product {precision:?} {frames} frames {}", level.name()));
        for (name, rows, depth, columns, stride) in SHAPES {
            let rows = rows * frames;
            let weights: Vec<f32> = (0..depth * columns).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect();
            let weights = PackedMatrix::new(level, precision, &Strided::row_major(&weights, columns), None);
            let x: Vec<f32> = (0..rows * stride + depth).map(|i| (i % 13) as f32 / 13.0 - 0.5).collect();
            let mut left = Rows::new(depth);
            left.push(&x, stride, rows);
            let mut out = vec![0.0; rows * columns];
            group.throughput(Throughput::Elements((rows * depth * columns) as u64));
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    product(&left, (depth, 0), &weights, Epilogue::default(), black_box(&mut out), &threads);
                });
            });
        }
    }
}

fn family_products(criterion: &mut Criterion) {
    let (level, threads) = (Level::detect(), Threads::new(1));
    let mut group = criterion.benchmark_group(format!("product of the family {}", level.name()));
    for (name, rows, depth, columns, stride) in FAMILY {
        let numbers = |count: usize| -> Vec<f32> { (0..count).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect() };
        // Small, as activations are: far out, GELU meets numbers that the processor is slow with.
        let values: Vec<f32> = numbers(depth * columns).iter().map(|weight| weight / depth as f32).collect();
        let bias = numbers(columns);
        let matrix = Strided::row_major(&values, columns);
        let weights = PackedMatrix::new(level, Precision::Float32, &matrix, Some(&bias));
        let (x, residual) = (numbers(rows * stride + depth), numbers(rows * columns));
        let mut out = vec![0.0; rows * columns];
        group.throughput(Throughput::Elements((rows * depth * columns) as u64));
        let gelu = Epilogue { residual: None, activation: Some(Activation::GeluErf) };
        let sum = Epilogue { residual: Some(&residual), activation: None };
        for (epilogue, what) in [(Epilogue::default(), ""), (gelu, " gelu"), (sum, " residual")] {
            group.bench_function(format!("{name}{what}"), |bencher| {
                bencher.iter(|| {
                    let mut left = Rows::new(depth);
                    left.push(&x, stride, rows);
                    product(&left, (depth, 0), &weights, epilogue, black_box(&mut out), &threads);
                });
            });
        }
    }
}

fn others(criterion: &mut Criterion) {
    let (level, threads) = (Level::detect(), Threads::new(1));
    let mut group = criterion.benchmark_group(format!("one frame {}", level.name()));

    let shape = Attention { heads: 8, kv_heads: 8, head_dim: 64, window: 250 };
    let mut cache = vec![0.1; cache_len(&shape)];
    let (rotary, qkv, mut out) = (vec![0.5; 2 * 64], vec![0.1; 2 * 3 * 512], vec![0.0; 2 * 512]);
    let new = Steps { position: 1000, rotary: &rotary, qkv: &qkv };
    group.bench_function("attention of two steps", |bencher| {
        bencher.iter(|| attend(level, &shape, new, &mut cache, black_box(&mut out), &threads));
    });

    let entries: Vec<f32> = (0..2048 * 256).map(|i| (i % 1009) as f32 / 1009.0 - 0.5).collect();
    let book = Codebook::new(level, Precision::Float32, &entries, 256, true);
    let (mut residual, mut codes) = (vec![0.25; 256], [0]);
    group.bench_function("one code", |bencher| {
        bencher.iter(|| book.search(black_box(&mut residual), &mut codes, &threads).is_ok());
    });

    let (x, mut y) = (vec![-0.25; 1920 * 64], vec![0.0; 1920 * 64]);
    group.throughput(Throughput::Elements(x.len() as u64));
    group.bench_function("elu", |bencher| bencher.iter(|| elu(level, &x, black_box(&mut y), &threads)));

    let weights: Vec<f32> = (0..512 * 2048).map(|i| (i % 7) as f32 / 9.0).collect();
    let weights = PackedMatrix::new(level, Precision::Float32, &Strided::row_major(&weights, 2048), None);
    let (x, mut y) = (vec![0.25; 2 * 512], vec![0.0; 2 * 2048]);
    let epilogue = Epilogue { residual: None, activation: Some(Activation::GeluErf) };
    group.bench_function("transformer in, with GELU", |bencher| {
        let rows = Rows::contiguous(&x, 512);
        bencher.iter(|| product(&rows, (512, 0), &weights, epilogue, black_box(&mut y), &threads));
    });
}

/// In values of the output a second.
fn family(criterion: &mut Criterion) {
    let (level, threads) = (Level::detect(), Threads::new(1));
    let mut group = criterion.benchmark_group(format!("family {}", level.name()));
    let numbers = |count: usize| -> Vec<f32> { (0..count).map(|i| (i % 1009) as f32 / 504.0 - 1.0).collect() };
    let per_channel = numbers(2048);
    for (rows, channels) in [(480, 96), (4, 1536)] {
        let (x, mut y) = (numbers(rows * channels), vec![0.0; rows * channels]);
        group.throughput(Throughput::Elements(y.len() as u64));
        group.bench_function(format!("snake {rows} x {channels}"), |bencher| {
            let channels = &per_channel[..channels];
            bencher.iter(|| snake(level, &x, channels, channels, black_box(&mut y), &threads));
        });
    }
    for (rows, channels) in [(1600, 32), (50, 1024)] {
        let (x, mut y) = (numbers(rows * channels), vec![0.0; rows * channels]);
        let weight = &per_channel[..channels];
        group.throughput(Throughput::Elements(y.len() as u64));
        group.bench_function(format!("RMS norm {rows} x {channels}"), |bencher| {
            bencher.iter(|| rms_norm(level, &x, weight, 1e-5, black_box(&mut y), &threads));
        });
        group.bench_function(format!("layer norm {rows} x {channels}"), |bencher| {
            bencher.iter(|| layer_norm(level, &x, weight, weight, 1e-5, black_box(&mut y), &threads));
        });
    }
    for (rows, channels) in [(3200, 32), (16, 2048)] {
        let weights = Depthwise {
            taps: &numbers(7 * channels),
            bias: Some(&per_channel[..channels]),
            channels,
            stride: 1,
            dilation: 1,
        };
        let (history, x) = (numbers(6 * channels), numbers(rows * channels));
        let mut y = vec![0.0; rows * channels];
        group.throughput(Throughput::Elements(y.len() as u64));
        group.bench_function(format!("depthwise, 7 taps, {rows} x {channels}"), |bencher| {
            let epilogue = Epilogue::default();
            bencher.iter(|| depthwise(level, &weights, &history, &x, epilogue, black_box(&mut y), &threads));
        });
    }
    let (x, mut y) = (numbers(16 * 2 * 3072), vec![0.0; 16 * 3072]);
    group.throughput(Throughput::Elements(y.len() as u64));
    group.bench_function("gated SiLU 16 x 3072", |bencher| {
        bencher.iter(|| gated(level, Activation::Silu, &x, black_box(&mut y), 3072, &threads));
    });
    let weights = DepthwiseUpsample { taps: &numbers(4 * 512), channels: 512, stride: 2 };
    let (history, x, mut y) = (numbers(512), numbers(24 * 512), vec![0.0; 48 * 512]);
    group.throughput(Throughput::Elements(y.len() as u64));
    group.bench_function("upsampling, 48 x 512", |bencher| {
        bencher.iter(|| upsample(level, &weights, &history, &x, black_box(&mut y)));
    });
}

criterion_group!(benches, products, family_products, others, family);
criterion_main!(benches);
