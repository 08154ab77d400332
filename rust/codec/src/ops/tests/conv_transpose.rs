//! Causal transposed convolution.

use super::*;
use crate::ops::{Activation, ConvTransposeShape};

fn shape(c_in: usize, c_out: usize, stride: usize, groups: usize) -> ConvTransposeShape {
    longer(c_in, c_out, (2 * stride, stride), groups)
}

fn longer(c_in: usize, c_out: usize, (kernel, stride): (usize, usize), groups: usize) -> ConvTransposeShape {
    ConvTransposeShape { c_in, c_out, kernel, stride, groups, rows_per_frame: 16, activation: None }
}

/// What a transposed convolution gives for a whole clip `(steps, c_in)`, by its definition: each input adds its kernel
/// to the outputs, and those that a later input would add to are cut.
fn definition(shape: &ConvTransposeShape, weight: &[f32], bias: Option<&[f32]>, x: &[f32]) -> Vec<f32> {
    let ConvTransposeShape { c_in, c_out, kernel, stride, groups, .. } = *shape;
    let (steps, group_in, group_out) = (x.len() / c_in, c_in / groups, c_out / groups);
    let start: Vec<f32> = (0..c_out).map(|n| bias.map_or(0.0, |bias| bias[n])).collect();
    let mut out = start.repeat(steps * stride + kernel);
    for (at, value) in x.iter().enumerate() {
        let (step, channel) = (at / c_in, at % c_in);
        for n in 0..group_out {
            for tap in 0..kernel {
                let output = channel / group_in * group_out + n;
                out[(step * stride + tap) * c_out + output] += weight[(channel * group_out + n) * kernel + tap] * value;
            }
        }
    }
    out.truncate(steps * stride * c_out);
    out
}

#[test]
fn blocks_of_all_sessions_are_the_whole_clip() {
    // Channels, kernel and stride, groups, bias: dense, grouped, depthwise on its own kernel, depthwise with what that has not.
    let shapes = [
        (1, 1, (2, 1), 1, true),
        (4, 2, (6, 3), 1, true),
        (3, 5, (4, 2), 1, false),
        (16, 8, (8, 4), 1, true),
        (6, 4, (4, 2), 2, false),
        (6, 9, (6, 3), 3, true),
        (1, 1, (4, 2), 1, false),
        (5, 5, (4, 2), 5, false),
        (17, 17, (6, 3), 17, false),
        (4, 4, (4, 2), 4, true),
        (3, 5, (2, 2), 1, true),
        (4, 2, (1, 1), 1, false),
        (3, 4, (6, 2), 1, true),
        (2, 3, (12, 3), 1, false),
        (6, 6, (2, 2), 6, false),
        (6, 6, (9, 3), 6, false),
        (6, 4, (8, 2), 2, true),
        (100, 64, (10, 5), 1, true),
    ];
    for (seed, (c_in, c_out, (kernel, stride), groups, with_bias)) in shapes.into_iter().enumerate() {
        let shape = longer(c_in, c_out, (kernel, stride), groups);
        let random = &mut Random::new(seed as u64);
        let weight = random.eighths(c_in * c_out / groups * kernel);
        let bias = with_bias.then(|| random.eighths(c_out));
        let mut made = made(SESSIONS, |backend, layout| {
            backend.conv_transpose(layout, shape, Weights::of(&weight, bias.as_deref()))
        });
        let mut clips: [Vec<f32>; SESSIONS] = Default::default();
        let mut given: [Vec<f32>; SESSIONS] = Default::default();
        for cut in &CUTS {
            let (rows, steps) = (cut.rows.len(), cut.strides);
            let x = random.eighths(rows * steps * c_in);
            let x_tensor = signal(&x, (rows, steps, c_in));
            let outs =
                made.each_mut().map(|made| made.run(steps, cut, |conv, block| conv.forward(&x_tensor, None, block)));
            assert_eq!(outs[0].dims(), [rows, steps * stride, c_out]);
            let out = agree(&outs, |_| 0.0, &format!("{shape:?}"));
            for (i, &row) in cut.rows.iter().enumerate() {
                clips[row].extend(&x[i * steps * c_in..][..steps * c_in]);
                given[row].extend(&out[i * steps * stride * c_out..][..steps * stride * c_out]);
            }
        }
        for (clip, given) in clips.iter().zip(&given) {
            assert_eq!(given, &definition(&shape, &weight, bias.as_deref(), clip), "{shape:?}");
        }
    }
}

#[test]
fn activation_at_the_end() {
    for (c_in, c_out, groups) in [(4, 3, 1), (4, 4, 4)] {
        let shape = ConvTransposeShape { activation: Some(Activation::Elu), ..shape(c_in, c_out, 2, groups) };
        let random = &mut Random::new(51);
        let (weight, bias) = (random.eighths(c_in * c_out / groups * 4), random.eighths(c_out));
        let mut made =
            made(SESSIONS, |backend, layout| backend.conv_transpose(layout, shape, Weights::of(&weight, Some(&bias))));
        for cut in &CUTS {
            let (rows, steps) = (cut.rows.len(), cut.strides);
            let x = signal(&random.eighths(rows * steps * c_in), (rows, steps, c_in));
            let outs = made.each_mut().map(|made| made.run(steps, cut, |conv, block| conv.forward(&x, None, block)));
            agree(&outs, dense::activation_error, &format!("{shape:?}"));
        }
    }
}

#[test]
fn a_residual_is_added() {
    for (c_in, c_out, groups) in [(4, 3, 1), (4, 4, 4)] {
        let shape = shape(c_in, c_out, 2, groups);
        let random = &mut Random::new(52);
        let weight = random.eighths(c_in * c_out / groups * 4);
        let mut made =
            made(SESSIONS, |backend, layout| backend.conv_transpose(layout, shape, Weights::of(&weight, None)));
        for cut in &CUTS {
            let (rows, steps) = (cut.rows.len(), cut.strides);
            let x = signal(&random.eighths(rows * steps * c_in), (rows, steps, c_in));
            let residual = random.eighths(rows * steps * 2 * c_out);
            let zeros = signal(&vec![0.0; rows * steps * c_in], (rows, steps, c_in));
            let residual_tensor = signal(&residual, (rows, steps * 2, c_out));
            // What the zeros leave is the residual and the tail of the input before them.
            let outs = made
                .each_mut()
                .map(|made| made.run(steps, cut, |conv, block| conv.forward(&x, Some(&residual_tensor), block)));
            let with = agree(&outs, |_| 0.0, &format!("{shape:?}"));
            made.iter_mut().for_each(|made| {
                made.run(1, cut, |conv, block| conv.forward(&zeros, None, block));
            });
            let outs = made
                .each_mut()
                .map(|made| made.run(steps, cut, |conv, block| conv.forward(&zeros, Some(&residual_tensor), block)));
            assert_eq!(agree(&outs, |_| 0.0, "zeros"), residual, "{shape:?}");
            assert_ne!(with, residual);
        }
    }
}
