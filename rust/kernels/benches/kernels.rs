//! The kernels on Mimi's own shapes, one frame at a time and in blocks.
//!
//! The rate is in multiply-adds per second ("elem/s"). `peak` multiplies a matrix that fits the first-level cache: what
//! the processor can do at best, to hold the others against.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mimi_kernels::simd::Level;
use mimi_kernels::{
    Activation, Attention, Codebook, Epilogue, PackedMatrix, Precision, Rows, Steps, Strided, Threads, attend,
    cache_len, elu, product,
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
    let book = Codebook::new(level, &entries, 256);
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

criterion_group!(benches, products, others);
criterion_main!(benches);
