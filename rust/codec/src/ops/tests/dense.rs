//! Dense layers, norms and functions of values: what has no memory.

use super::*;
use crate::ops::{Activation, ConvShape, ConvTransposeShape, Edge, Indices, LinearShape, TableShape};

fn linear(c_in: usize, c_out: usize, activation: Option<Activation>) -> LinearShape {
    LinearShape { c_in, c_out, rows_per_frame: 2, activation, exact: false }
}

/// All that there are.
pub(super) const ACTIVATIONS: [Activation; 5] =
    [Activation::Elu, Activation::GeluErf, Activation::GeluTanh, Activation::Silu, Activation::Clamp];

/// candle takes `e^x - 1` and `1 + tanh` from rounded parts of size 1, and multiplies by `x` at most: a few roundings
/// of that size. What they are the functions of is exact here.
pub(super) fn activation_error(y: f32) -> f32 {
    8.0 * ROUNDING * y.abs().max(1.0)
}

#[test]
fn linear_of_every_shape() {
    let random = &mut Random::new(61);
    for (c_in, c_out) in [(1, 1), (3, 5), (16, 48), (40, 17), (260, 300)] {
        let weight = random.eighths(c_in * c_out);
        let bias = random.eighths(c_out);
        for (rows, steps) in [(1, 1), (2, 3), (1, 9), (3, 5)] {
            let x = signal(&random.eighths(rows * steps * c_in), (rows, steps, c_in));
            let residual = signal(&random.eighths(rows * steps * c_out), (rows, steps, c_out));
            for (bias, residual) in [(None, None), (Some(bias.as_slice()), None), (None, Some(&residual))] {
                let made = made(1, |backend, _| backend.linear(linear(c_in, c_out, None), Weights::of(&weight, bias)));
                let outs = made.map(|made| made.operation.forward(&x, residual, &Block::without_state()).unwrap());
                agree(&outs, |_| 0.0, &format!("{rows} x {steps} x {c_in} to {c_out}"));
            }
        }
    }
}

#[test]
fn operations_take_signals_of_any_layout() {
    let random = &mut Random::new(65);
    let (c_in, c_out, steps) = (6, 10, 4);
    let (weight, taps) = (random.eighths(c_in * c_out * 4), random.eighths(c_in * 4));
    let (scale, shift) = (random.floats(c_in), random.floats(c_in));
    let conv = ConvShape {
        c_in,
        c_out,
        kernel: 4,
        stride: 2,
        dilation: 1,
        groups: 1,
        edge: Edge::Replicate,
        rows_per_frame: 16,
        activation: None,
    };
    let up = ConvTransposeShape { c_in, c_out, kernel: 4, stride: 2, groups: 1, rows_per_frame: 16, activation: None };
    let depthwise = ConvTransposeShape { c_out: c_in, groups: c_in, ..up };
    let whole = tensor(&random.eighths(SESSIONS * 9 * 8), (SESSIONS, 9, 8));
    let narrowed = whole.narrow(2, 1, c_in).unwrap().narrow(1, 3, steps).unwrap();
    let turned = tensor(&random.eighths(SESSIONS * steps * c_in), (SESSIONS, c_in, steps)).transpose(1, 2).unwrap();
    let cut = Cut { rows: &[2, 0, 1], strides: 2, end: false };
    for x in [narrowed, turned] {
        assert!(!x.is_contiguous());
        let strides = x.stride().to_vec();
        let x = signal_of(&x);
        let made = made(SESSIONS, |backend, memory| {
            Ok([
                backend.conv(memory, conv, Weights::of(&weight, None))?,
                backend.conv_transpose(memory, up, Weights::of(&weight, None))?,
                backend.conv_transpose(memory, depthwise, Weights::of(&taps, None))?,
                backend.linear(linear(c_in, c_out, None), Weights::of(&weight[..c_in * c_out], None))?,
                backend.layer_norm(c_in, Weights::of(&scale, Some(&shift)), 1e-5)?,
            ])
        });
        let outs = made.map(|mut made| {
            // The second block sees what the first has left.
            made.run(steps, &cut, |operations, block| operations[0].forward(&x, None, block));
            (0..5).map(|i| made.run(steps, &cut, |operations, block| operations[i].forward(&x, None, block))).collect()
        });
        let [composed, one, two]: [Vec<Signal>; 3] = outs;
        for (i, ((composed, one), two)) in composed.into_iter().zip(one).zip(two).enumerate() {
            // All but the norm only multiply and add.
            let allowed = if i == 4 { 4.0 * (c_in + 10) as f32 * ROUNDING } else { 0.0 };
            agree(&[composed, one, two], |_| allowed, &format!("operation {i}, strides {strides:?}"));
        }
    }
}

#[test]
fn linear_with_an_activation() {
    let random = &mut Random::new(62);
    let (weight, bias) = (random.eighths(6 * 35), random.eighths(35));
    let x = signal(&random.eighths(2 * 10 * 6), (2, 10, 6));
    let residual = signal(&random.eighths(2 * 10 * 35), (2, 10, 35));
    for activation in ACTIVATIONS {
        for residual in [None, Some(&residual)] {
            let made = made(1, |backend, _| {
                backend.linear(linear(6, 35, Some(activation)), Weights::of(&weight, Some(&bias)))
            });
            let outs = made.map(|made| made.operation.forward(&x, residual, &Block::without_state()).unwrap());
            agree(&outs, activation_error, &format!("{activation:?}"));
        }
    }
}

#[test]
fn layer_norm() {
    let random = &mut Random::new(63);
    for channels in [1, 2, 7, 16, 33, 512] {
        let (weight, bias) = (random.floats(channels), random.floats(channels));
        for (rows, steps) in [(1, 1), (3, 4)] {
            let x = signal(&random.floats(rows * steps * channels), (rows, steps, channels));
            let made = made(1, |backend, _| backend.layer_norm(weight.len(), Weights::of(&weight, Some(&bias)), 1e-5));
            let outs = made.map(|made| made.operation.forward(&x, None, &Block::without_state()).unwrap());
            // Sums of `channels` terms on both sides, over a deviation that two near values of two can make small.
            let allowed = if channels == 2 { 1e-4 } else { 4.0 * (channels + 10) as f32 * ROUNDING };
            agree(&outs, |_| allowed, &format!("{rows} x {steps} x {channels}"));
        }
    }
}

#[test]
fn rms_norm() {
    let random = &mut Random::new(66);
    for channels in [1, 2, 7, 16, 33, 512] {
        let weight = random.floats(channels);
        for (rows, steps) in [(1, 1), (3, 4)] {
            let x = signal(&random.floats(rows * steps * channels), (rows, steps, channels));
            let made = made(1, |backend, _| backend.rms_norm(weight.len(), Weights::of(&weight, None), 1e-5));
            let outs = made.map(|made| made.operation.forward(&x, None, &Block::without_state()).unwrap());
            // A sum of `channels` squares on both sides, a root and a division; results are of size sqrt(channels).
            let allowed = (channels + 10) as f32 * ROUNDING * (channels as f32).sqrt();
            agree(&outs, |_| allowed, &format!("{rows} x {steps} x {channels}"));
        }
    }
}

#[test]
fn snake() {
    let random = &mut Random::new(67);
    for channels in [1, 3, 16, 33] {
        let rates: Vec<f32> = random.floats(channels).iter().map(|rate| 3.0 * rate.exp()).collect();
        let scales: Vec<f32> = random.floats(channels).iter().map(|scale| scale.exp()).collect();
        let x = tensor(&random.floats(2 * 5 * channels), (2, 5, channels)).affine(4.0, 0.0).unwrap();
        for x in [x.clone(), x.narrow(1, 2, 2).unwrap(), x.narrow(0, 1, 0).unwrap()] {
            let x = signal_of(&x);
            let made = made(1, |backend, _| backend.snake(rates.len(), Weights::of(&rates, Some(&scales))));
            let outs = made.map(|made| made.operation.forward(&x, None, &Block::without_state()).unwrap());
            // The sine's argument, of size 12 e at most, is rounded on one side; its square has twice its error, times a
            // scale of e at most.
            agree(&outs, |_| 2.0 * 12.0 * 3.0 * 3.0 * ROUNDING, &format!("{channels} channels"));
        }
    }
}

#[test]
fn gates_of_every_width() {
    let random = &mut Random::new(68);
    for channels in [1, 5, 16, 33] {
        let x =
            signal_of(&tensor(&random.floats(3 * 4 * 2 * channels), (3, 4, 2 * channels)).affine(5.0, 0.0).unwrap());
        for activation in ACTIVATIONS {
            let made = made(1, |backend, _| backend.gate(activation, channels));
            let outs = made.map(|made| made.operation.forward(&x, None, &Block::without_state()).unwrap());
            assert_eq!(outs[1].dims(), [3, 4, channels]);
            // The activation's error times at most 5, and a rounding of a product of 25.
            agree(&outs, |_| 5.0 * activation_error(5.0) + 25.0 * ROUNDING, &format!("{activation:?} x {channels}"));
        }
    }
}

#[test]
fn means_of_rows() {
    let random = &mut Random::new(69);
    for (dim, count, vectors) in [(1, 1, 1), (3, 4, 2), (17, 3, 5), (8, 16, 0)] {
        let table = random.eighths(20 * count * dim);
        let codes: Vec<u32> = (0..vectors * count).map(|_| random.below(20) as u32).collect();
        // Each codebook has its part of the table.
        let rows: Vec<u32> = codes.iter().enumerate().map(|(i, code)| (i % count * 20) as u32 + code).collect();
        let shape = TableShape { codebooks: count, entries: 20, dim };
        let means = backends().map(|(name, backend)| {
            let mean = backend.embedding(shape, table.clone().into()).unwrap();
            let mean = mean.mean(&Indices::host(codes.clone(), count)).unwrap();
            assert_eq!(mean.dims(), [1, vectors, dim], "{name}");
            floats(&mean)
        });
        for (vector, rows) in rows.chunks(count).enumerate() {
            for channel in 0..dim {
                let sum: f32 = rows.iter().map(|&row| table[row as usize * dim + channel]).sum();
                for mean in &means {
                    // The sum is exact, and rounded once when it is divided; candle multiplies by a rounded inverse.
                    let (mean, expected) = (mean[vector * dim + channel], sum / count as f32);
                    assert!((mean - expected).abs() <= 2.0 * ROUNDING * expected.abs(), "{mean} is not {expected}");
                }
            }
        }
    }
}

#[test]
fn activations_of_any_layout() {
    let random = &mut Random::new(64);
    let x = tensor(&random.floats(3 * 5 * 7), (3, 5, 7)).affine(9.0, 0.0).unwrap();
    for activation in ACTIVATIONS {
        for x in [x.clone(), x.transpose(0, 2).unwrap(), x.narrow(1, 2, 2).unwrap(), x.narrow(0, 1, 0).unwrap()] {
            let x = signal_of(&x);
            let made = made(1, |backend, _| backend.activation(activation));
            let outs = made.map(|made| made.operation.forward(&x, None, &Block::without_state()).unwrap());
            assert_eq!(outs[1].dims(), x.dims());
            agree(&outs, activation_error, &format!("{activation:?} of {:?}", x.dims()));
        }
    }
}
