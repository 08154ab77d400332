//! Shapes and offsets whose arithmetic overflows are refused, in release builds too: safe code must not reach memory that
//! is not its own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mimi_kernels::{
    Activation, Attention, Depthwise, DepthwiseUpsample, Epilogue, PackedMatrix, Precision, Rows, Steps, Strided,
    Threads, attend, cache_len, depthwise, gated, product, simd::Level, upsample,
};

use crate::bits;

/// Half of all there is: twice as much is nothing, modulo 2^64.
const HALF: usize = 1 << (usize::BITS - 1);
const MOST: usize = usize::MAX;

fn refused<T>(what: &str, call: impl FnOnce() -> T) {
    assert!(catch_unwind(AssertUnwindSafe(call)).is_err(), "{what} was taken");
}

#[test]
fn offsets_of_a_matrix() {
    let values = [0.0; 4];
    // The greatest sum is 0 modulo 2^64, others lie far outside.
    refused("a sum that wraps", || Strided::new(&values, [0, MOST - 1], [0, 2]).shape());
    refused("half and half", || Strided::new(&values, [0, HALF], [0, HALF]).shape());
    refused("a depth outside", || Strided::new(&values, [4], [0]).shape());
    assert_eq!(Strided::new(&values, [0, 2], [0, 1]).shape(), (2, 2));
    assert_eq!(Strided::new(&values, [MOST], []).shape(), (1, 0));
}

#[test]
fn strides_of_rows() {
    let data = [0.0; 4];
    for (span, stride, count) in [(1, HALF, 3), (2, MOST, 2), (MOST, 1, 2), (2, 1, MOST), (4, MOST, 5), (5, 0, 1)] {
        refused(&format!("{count} rows of {span}, {stride} apart"), || Rows::new(span).push(&data, stride, count));
    }
    let mut rows = Rows::new(2);
    rows.push(&data, MOST, 1);
    rows.push(&data, 1, 3);
    rows.push(&data, MOST, 0);
    assert_eq!(rows.len(), 4);
}

#[test]
fn runs_of_a_row() {
    for level in Level::available() {
        let weights = PackedMatrix::new(level, Precision::Float32, &Strided::row_major(&[1.0; 6], 2), None);
        let data = [1.0; 3];
        for stride in [HALF, MOST, MOST / 2 + 2, 2] {
            refused(&format!("runs {stride} apart"), || {
                let rows = Rows::contiguous(&data, 3);
                product(&rows, (1, stride), &weights, Epilogue::default(), &mut [0.0; 2], &Threads::new(1));
            });
        }
    }
}

#[test]
fn shapes_of_attention() {
    let level = Level::detect();
    let usual = Attention { heads: 2, kv_heads: 1, head_dim: 4, window: 3 };
    for shape in [
        Attention { window: 0, ..usual },
        Attention { window: MOST, ..usual },
        Attention { window: HALF, ..usual },
        Attention { head_dim: HALF, ..usual },
        Attention { kv_heads: HALF, ..usual },
    ] {
        refused(&format!("a cache for {shape:?}"), || cache_len(&shape));
    }
    // Without heads or channels there is nothing to attend to.
    for shape in [
        Attention { heads: 1 << (usize::BITS - 2), ..usual },
        Attention { heads: 0, kv_heads: 0, ..usual },
        Attention { head_dim: 0, ..usual },
        Attention { head_dim: 3, ..usual },
    ] {
        refused(&format!("{shape:?}"), || {
            let qkv = vec![0.0; 2usize.wrapping_mul(shape.kv_heads).wrapping_mul(shape.head_dim)];
            let new = Steps { position: 0, rotary: &vec![0.0; shape.head_dim], qkv: &qkv };
            attend(level, &shape, new, &mut vec![0.0; cache_len(&shape)], &mut [], &Threads::new(1));
        });
    }
    let attend_at = |position| {
        let new = Steps { position, rotary: &[1.0, 1.0, 0.0, 0.0], qkv: &[0.5; 16] };
        let mut out = [0.0; 8];
        attend(level, &usual, new, &mut vec![0.0; cache_len(&usual)], &mut out, &Threads::new(1));
        out
    };
    refused("a step past the last position", || attend_at(u64::MAX));
    assert!(attend_at(u64::MAX - 1).iter().all(|value| value.is_finite()));
}

#[test]
fn strides_of_an_upsampling() {
    let level = Level::detect();
    for (stride, channels) in [(HALF, 2), (HALF, 1), (MOST, 2), (0, 2)] {
        refused(&format!("{stride} outputs for an input"), || {
            let weights = DepthwiseUpsample { taps: &[], channels, stride };
            upsample(level, &weights, &vec![0.0; channels], &[0.0; 2], &mut []);
        });
    }
    refused("no channels", || {
        let weights = DepthwiseUpsample { taps: &[0.0; 4], channels: 0, stride: 1 };
        upsample(level, &weights, &[], &[], &mut []);
    });
    refused("half a row", || {
        let weights = DepthwiseUpsample { taps: &[0.0; 4], channels: 2, stride: 1 };
        upsample(level, &weights, &[0.0; 2], &[0.0; 3], &mut [0.0; 3]);
    });
}

#[test]
fn reaches_of_a_depthwise_convolution() {
    let (level, taps) = (Level::detect(), [1.0; 6]);
    for (channels, stride, dilation) in [
        (0, 1, 1),
        (2, 0, 1),
        (2, 1, 0),
        // The reach is 1 or less, modulo 2^64.
        (2, 1, HALF),
        (2, 1, MOST),
        (1, 1, MOST / 5 + 1),
        // The history's length is 0 modulo 2^64.
        (2, 1, HALF / 2),
        // The input's length is.
        (2, HALF, 1),
        (MOST, 1, 1),
    ] {
        let weights = Depthwise { taps: &taps, bias: None, channels, stride, dilation };
        refused(&format!("{channels} channels, stride {stride}, dilation {dilation}"), || {
            let mut out = vec![0.0; 2 * channels.min(2)];
            depthwise(level, &weights, &[], &[], Epilogue::default(), &mut out, &Threads::new(1));
        });
    }
    // With one tap there is no next one.
    let weights = Depthwise { taps: &[2.0], bias: None, channels: 1, stride: 1, dilation: MOST };
    let mut out = [0.0; 3];
    depthwise(level, &weights, &[], &[1.0, 2.0, 3.0], Epilogue::default(), &mut out, &Threads::new(1));
    assert_eq!(out, [2.0, 4.0, 6.0]);
    // Nothing comes of a stride that no input fills.
    let weights = Depthwise { taps: &taps, bias: None, channels: 2, stride: MOST, dilation: 1 };
    depthwise(level, &weights, &[], &[], Epilogue::default(), &mut [], &Threads::new(1));
}

#[test]
fn channels_of_a_gated_product() {
    for channels in [0, HALF, MOST] {
        refused(&format!("{channels} channels"), || {
            gated(Level::detect(), Activation::Silu, &[0.0; 4], &mut [0.0; 2], channels, &Threads::new(1));
        });
    }
}

#[test]
fn more_threads_than_there_can_be() {
    let (depth, columns) = (4000, 300);
    let (values, x) = (vec![0.5; depth * columns], vec![0.25; 9 * depth]);
    let weights = PackedMatrix::new(Level::detect(), Precision::Float32, &Strided::row_major(&values, columns), None);
    let on = |threads: &Threads| {
        let mut out = vec![0.0; 9 * columns];
        let rows = Rows::contiguous(&x, depth);
        product(&rows, (depth, 0), &weights, Epilogue::default(), &mut out, threads);
        bits(&out)
    };
    assert_eq!(on(&Threads::new(1 << (usize::BITS - 2))), on(&Threads::new(1)));
}
