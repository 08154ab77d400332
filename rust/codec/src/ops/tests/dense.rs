//! Dense layers, layer norm and ELU: what has no memory.

use super::*;
use crate::ops::{Activation, LayerNorm, Linear, elu};

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
            let x = tensor(&random.eighths(rows * steps * c_in), (rows, steps, c_in));
            let residual = tensor(&random.eighths(rows * steps * c_out), (rows, steps, c_out));
            for (bias, residual) in [(None, None), (Some(bias.as_slice()), None), (None, Some(&residual))] {
                let made = made(1, |backend, _| Linear::new(backend, (c_in, c_out), &weight, bias, None));
                let outs = made.map(|made| made.operation.forward(&x, residual).unwrap());
                agree(&outs, |_| 0.0, &format!("{rows} x {steps} x {c_in} to {c_out}"));
            }
        }
    }
}

#[test]
fn linear_with_an_activation() {
    let random = &mut Random::new(62);
    let (weight, bias) = (random.eighths(6 * 35), random.eighths(35));
    let x = tensor(&random.eighths(2 * 10 * 6), (2, 10, 6));
    let residual = tensor(&random.eighths(2 * 10 * 35), (2, 10, 35));
    for activation in [Activation::Elu, Activation::GeluErf, Activation::GeluTanh] {
        for residual in [None, Some(&residual)] {
            let made = made(1, |backend, _| Linear::new(backend, (6, 35), &weight, Some(&bias), Some(activation)));
            let outs = made.map(|made| made.operation.forward(&x, residual).unwrap());
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
            let x = tensor(&random.floats(rows * steps * channels), (rows, steps, channels));
            let made = made(1, |backend, _| LayerNorm::new(backend, weight.clone(), bias.clone(), 1e-5));
            let outs = made.map(|made| made.operation.forward(&x).unwrap());
            // Sums of `channels` terms on both sides, over a deviation that two near values of two can make small.
            let allowed = if channels == 2 { 1e-4 } else { 4.0 * (channels + 10) as f32 * ROUNDING };
            agree(&outs, |_| allowed, &format!("{rows} x {steps} x {channels}"));
        }
    }
}

#[test]
fn elu_of_any_layout() {
    let random = &mut Random::new(64);
    let x = tensor(&random.floats(3 * 5 * 7), (3, 5, 7)).affine(9.0, 0.0).unwrap();
    for x in [x.clone(), x.transpose(0, 2).unwrap(), x.narrow(1, 2, 2).unwrap(), x.narrow(0, 1, 0).unwrap()] {
        let outs = made(1, |backend, _| Ok(backend.clone())).map(|made| elu(&made.operation, &x).unwrap());
        assert_eq!(outs[1].dims(), x.dims());
        agree(&outs, activation_error, &format!("{:?}", x.dims()));
    }
}
