//! The bits of every kernel, which all instruction sets with vectors of 16 lanes share: AVX-512 and NEON.
//!
//! No processor has both, so each is held to a number: a hash of all results. It changes where a kernel's bits do.

use mimi_kernels::{
    Activation, Attention, Codebook, Depthwise, DepthwiseUpsample, Epilogue, Precision, Rows, Threads, activate,
    depthwise, gated, layer_norm, product, rms_norm, simd::Level, snake, upsample,
};

use crate::attention::Steps;
use crate::bits;
use crate::product::Weights;
use crate::random::Random;

/// Hashes of what the kernels give on levels of 16 lanes, in the order of [`kernels`].
const EXPECTED: [(&str, u64); 8] = [
    ("products", 0x9351_b634_ba39_2702),
    ("dilated products", 0x87ec_b379_09d7_5ff9),
    ("attention", 0xeced_a2aa_d86b_a292),
    ("norms", 0x41df_a2f9_b2cd_300d),
    ("codes", 0xab4d_430f_34e7_a972),
    ("depthwise", 0x1028_9bf3_0a15_8f0c),
    ("upsample", 0x68d7_934e_a0a0_980d),
    ("activations", 0x6573_c35f_4db7_6ebb),
];

#[test]
fn levels_of_16_lanes_give_the_same_bits() {
    for level in Level::available().into_iter().filter(|level| level.lanes() == 16) {
        let found: Vec<(&str, u64)> = kernels(level).into_iter().map(|(name, floats)| (name, hash(&floats))).collect();
        assert_eq!(found, EXPECTED, "{level:?}");
    }
}

/// FNV-1a of the bits.
fn hash(floats: &[f32]) -> u64 {
    let bytes = bits(floats).into_iter().flat_map(u32::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What each kernel gives, for sizes that fill vectors and tiles and such that do not.
fn kernels(level: Level) -> [(&'static str, Vec<f32>); 8] {
    [
        ("products", products(level)),
        ("dilated products", dilated_products(level)),
        ("attention", attention(level)),
        ("norms", norms(level)),
        ("codes", codes(level)),
        ("depthwise", convolutions(level)),
        ("upsample", upsampled(level)),
        ("activations", activations(level)),
    ]
}

const ACTIVATIONS: [Activation; 5] =
    [Activation::Elu, Activation::GeluErf, Activation::GeluTanh, Activation::Silu, Activation::Clamp];

/// Every number of rows of a tile, in each type of weights; one column is a kernel of its own.
fn products(level: Level) -> Vec<f32> {
    let random = &mut Random::new(101);
    let mut all = Vec::new();
    for (depth, columns) in [(1, 1), (77, 1), (5, 40), (131, 33), (700, 64)] {
        let weights = Weights::floats(random, depth, columns);
        for rows in (1..=9).chain([24]) {
            let (x, residual) = (random.floats(rows * depth), random.floats(rows * columns));
            for precision in [Precision::Float32, Precision::Bfloat16, Precision::Int8] {
                let packed = weights.packed_as(level, precision, Some(&weights.bias));
                let activation = Some(ACTIVATIONS[rows % ACTIVATIONS.len()]);
                let mut out = vec![0.0; rows * columns];
                let epilogue = Epilogue { residual: Some(&residual), activation };
                let left = Rows::contiguous(&x, depth);
                product(&left, (depth, 0), &packed, epilogue, &mut out, &Threads::new(1));
                all.extend(out);
            }
        }
    }
    all
}

/// Rows in runs of an odd length, so that groups and pairs of depths begin anywhere.
fn dilated_products(level: Level) -> Vec<f32> {
    let random = &mut Random::new(102);
    let (run, stride, runs, columns) = (67, 90, 5, 37);
    let weights = Weights::floats(random, run * runs, columns);
    let span = (runs - 1) * stride + run;
    let mut all = Vec::new();
    for rows in [1, 2, 3, 11] {
        let x = random.floats(rows * span);
        for precision in [Precision::Float32, Precision::Bfloat16, Precision::Int8] {
            let packed = weights.packed_as(level, precision, None);
            let mut out = vec![0.0; rows * columns];
            let left = Rows::contiguous(&x, span);
            product(&left, (run, stride), &packed, Epilogue::default(), &mut out, &Threads::new(1));
            all.extend(out);
        }
    }
    all
}

fn attention(level: Level) -> Vec<f32> {
    let random = &mut Random::new(103);
    let mut all = Vec::new();
    for (heads, kv_heads, head_dim, window) in [(2, 2, 64, 100), (4, 2, 22, 9), (1, 1, 130, 33)] {
        let shape = Attention { heads, kv_heads, head_dim, window };
        let count = 150;
        // Not angles of the system's sine: those may differ from one to the other.
        let rotary = random.floats(count * head_dim);
        let qkv = random.floats(count * (heads + 2 * kv_heads) * head_dim);
        let steps = Steps { shape, rotary, qkv };
        all.extend(steps.attend(level, &[1, 2, 30], 0, &mut steps.empty_cache()));
    }
    all
}

fn norms(level: Level) -> Vec<f32> {
    let random = &mut Random::new(104);
    let mut all = Vec::new();
    for channels in [1, 15, 64, 100, 512] {
        let (weight, bias, x) = (random.floats(channels), random.floats(channels), random.floats(3 * channels));
        let mut out = vec![0.0; x.len()];
        layer_norm(level, &x, &weight, &bias, 1e-5, &mut out, &Threads::new(1));
        all.extend(&out);
        rms_norm(level, &x, &weight, 1e-5, &mut out, &Threads::new(1));
        all.extend(&out);
    }
    all
}

fn codes(level: Level) -> Vec<f32> {
    let random = &mut Random::new(105);
    let mut all = Vec::new();
    for (entries, dim) in [(1, 1), (300, 17), (2048, 64)] {
        let book = Codebook::new(level, Precision::Float32, &random.floats(entries * dim), dim, true);
        let (mut residual, mut codes) = (random.floats(20 * dim), [0; 20]);
        assert_eq!(book.search(&mut residual, &mut codes, &Threads::new(1)), Ok(()));
        all.extend(residual);
        all.extend(codes.map(|code| code as f32));
    }
    all
}

fn convolutions(level: Level) -> Vec<f32> {
    let random = &mut Random::new(106);
    let mut all = Vec::new();
    for (kernel, stride, dilation, channels) in [(7, 1, 1, 64), (7, 1, 1, 37), (7, 1, 3, 16), (4, 2, 1, 50)] {
        let (taps, bias) = (random.floats(kernel * channels), random.floats(channels));
        let weights = Depthwise { taps: &taps, bias: Some(&bias), channels, stride, dilation };
        let (history, x) = (random.floats(weights.history() * channels), random.floats(25 * stride * channels));
        let mut out = vec![0.0; 25 * channels];
        depthwise(level, &weights, &history, &x, Epilogue::default(), &mut out, &Threads::new(1));
        all.extend(out);
    }
    all
}

fn upsampled(level: Level) -> Vec<f32> {
    let random = &mut Random::new(107);
    let (channels, stride) = (70, 3);
    let taps = random.floats(2 * stride * channels);
    let (history, x) = (random.floats(channels), random.floats(4 * channels));
    let mut out = vec![0.0; 4 * stride * channels];
    upsample(level, &DepthwiseUpsample { taps: &taps, channels, stride }, &history, &x, &mut out);
    out
}

fn activations(level: Level) -> Vec<f32> {
    let random = &mut Random::new(108);
    let x: Vec<f32> = random.floats(2 * 3 * 75).iter().map(|x| x * 30.0).collect();
    let (rates, scales) = (random.floats(75), random.floats(75));
    let mut all = Vec::new();
    for activation in ACTIVATIONS {
        let mut out = vec![0.0; x.len()];
        activate(level, activation, &x, &mut out, &Threads::new(1));
        all.extend(out);
        let mut out = vec![0.0; x.len() / 2];
        gated(level, activation, &x, &mut out, 75, &Threads::new(1));
        all.extend(out);
    }
    let mut out = vec![0.0; x.len()];
    snake(level, &x, &rates, &scales, &mut out, &Threads::new(1));
    all.extend(out);
    all
}
