//! Layer norm, ELU, and the depthwise upsampling.

use mimi_kernels::{DepthwiseUpsample, Threads, elu, layer_norm, simd::Level, upsample};

use crate::random::Random;
use crate::{ROUNDING, bits};

#[test]
fn layer_norm_of_every_width() {
    let random = &mut Random::new(31);
    let epsilon = 1e-5;
    for channels in [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 33, 512] {
        let (weight, bias) = (random.floats(channels), random.floats(channels));
        for (rows, offset) in [(0, 0.0), (1, 0.0), (2, 100.0), (5, -3.0)] {
            let x: Vec<f32> = random.floats(rows * channels).iter().map(|x| x + offset).collect();
            for level in Level::available() {
                let mut out = vec![f32::NAN; x.len()];
                layer_norm(level, &x, &weight, &bias, epsilon, &mut out);
                for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact(channels)) {
                    check_row(x, &weight, &bias, f64::from(epsilon), out);
                }
            }
        }
    }
}

fn check_row(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f64, out: &[f32]) {
    let count = x.len() as f64;
    let exact: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let mean = exact.iter().sum::<f64>() / count;
    let deviation = (exact.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count + epsilon).sqrt();
    let largest = exact.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    // The mean has a rounding for each channel, of the size of the inputs, that the division by the deviation makes
    // larger; the squares have the same number, of their own size; a few more at the end.
    let mean_error = (count + 2.0) * ROUNDING * largest / deviation;
    for (i, &y) in out.iter().enumerate() {
        let normal = (exact[i] - mean) / deviation;
        let expected = normal * f64::from(weight[i]) + f64::from(bias[i]);
        let squares_error = (count + 8.0) * ROUNDING * normal.abs() + mean_error * mean_error * normal.abs();
        let allowed = (mean_error + squares_error) * f64::from(weight[i].abs()) + 2.0 * ROUNDING * expected.abs();
        assert!((f64::from(y) - expected).abs() <= allowed, "{} channels: {y} is not {expected}", x.len());
    }
}

#[test]
fn layer_norm_rows_do_not_touch_each_other() {
    let random = &mut Random::new(32);
    let (weight, bias, x) = (random.floats(21), random.floats(21), random.floats(4 * 21));
    for level in Level::available() {
        let mut together = vec![0.0; x.len()];
        layer_norm(level, &x, &weight, &bias, 1e-5, &mut together);
        for (x, together) in x.chunks_exact(21).zip(together.chunks_exact(21)) {
            let mut alone = vec![0.0; 21];
            layer_norm(level, x, &weight, &bias, 1e-5, &mut alone);
            assert_eq!(bits(&alone), bits(together), "{level:?}");
        }
    }
}

#[test]
fn elu_of_every_length() {
    let random = &mut Random::new(33);
    for count in (0..40).chain([1000]) {
        let x: Vec<f32> = random.floats(count).iter().map(|x| x * 20.0).collect();
        for level in Level::available() {
            let mut out = vec![f32::NAN; count];
            elu(level, &x, &mut out, &Threads::new(1));
            for (&x, &y) in x.iter().zip(&out) {
                let exact = if x > 0.0 { f64::from(x) } else { f64::from(x).exp_m1() };
                // A handful of roundings after the exponential's reduction; none above zero.
                let allowed = if x > 0.0 { 0.0 } else { 5.0 * ROUNDING * exact.abs() };
                assert!((f64::from(y) - exact).abs() <= allowed, "{level:?} at {x}: {y} is not {exact}");
            }
        }
    }
}

#[test]
fn upsampling_of_every_shape_and_cut() {
    let random = &mut Random::new(34);
    for channels in [1, 3, 4, 8, 9, 16, 17, 33] {
        for stride in [1, 2, 3] {
            let taps = random.integers(2 * stride * channels, 50);
            let weights = DepthwiseUpsample { taps: &taps, channels, stride };
            for steps in [0, 1, 2, 7] {
                // The first step is the one before the block.
                let x = random.integers((steps + 1) * channels, 50);
                let at = |step: usize, j: usize, channel: usize| {
                    x[(step + 1) * channels + channel] * taps[j * channels + channel]
                        + x[step * channels + channel] * taps[(stride + j) * channels + channel]
                };
                let outputs = (0..steps).flat_map(|step| (0..stride).map(move |j| (step, j)));
                let expected: Vec<f32> = outputs
                    .flat_map(|(step, j)| (0..channels).map(move |c| (step, j, c)))
                    .map(|(t, j, c)| at(t, j, c))
                    .collect();
                for level in Level::available() {
                    for cut in 0..=steps {
                        let mut out = vec![f32::NAN; expected.len()];
                        let (early, late) = out.split_at_mut(cut * stride * channels);
                        let (x, cut) = (x.as_slice(), cut * channels);
                        upsample(level, &weights, &x[..channels], &x[channels..][..cut], early);
                        upsample(level, &weights, &x[cut..][..channels], &x[channels + cut..], late);
                        assert_eq!(out, expected, "{level:?}: {channels} channels, stride {stride}, {steps} steps");
                    }
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "layer norm: rows are not whole")]
fn layer_norm_takes_whole_rows() {
    layer_norm(Level::detect(), &[0.0; 5], &[0.0; 2], &[0.0; 2], 1e-5, &mut [0.0; 5]);
}

#[test]
#[should_panic(expected = "elu of 3 floats")]
fn elu_gives_as_much_as_it_takes() {
    elu(Level::detect(), &[0.0; 3], &mut [0.0; 2], &Threads::new(1));
}

#[test]
#[should_panic(expected = "upsample: lengths differ")]
fn upsampling_gives_a_stride_for_each_input() {
    let weights = DepthwiseUpsample { taps: &[0.0; 12], channels: 3, stride: 2 };
    upsample(Level::detect(), &weights, &[0.0; 3], &[0.0; 6], &mut [0.0; 9]);
}
