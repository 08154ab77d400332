//! Layer norm and RMS norm.

use mimi_kernels::{Threads, layer_norm, rms_norm, simd::Level};

use crate::random::Random;
use crate::{ROUNDING, bits};

/// Widths about those of the vectors, and of four of them.
const WIDTHS: [usize; 14] = [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 33, 63, 65, 512];

#[test]
fn layer_norm_of_every_width() {
    let random = &mut Random::new(31);
    let epsilon = 1e-5;
    for channels in WIDTHS {
        let (weight, bias) = (random.floats(channels), random.floats(channels));
        for (rows, offset) in [(0, 0.0), (1, 0.0), (2, 100.0), (5, -3.0)] {
            let x: Vec<f32> = random.floats(rows * channels).iter().map(|x| x + offset).collect();
            for level in Level::available() {
                let mut out = vec![f32::NAN; x.len()];
                layer_norm(level, &x, &weight, &bias, epsilon, &mut out, &Threads::new(1));
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
        layer_norm(level, &x, &weight, &bias, 1e-5, &mut together, &Threads::new(1));
        for (x, together) in x.chunks_exact(21).zip(together.chunks_exact(21)) {
            let mut alone = vec![0.0; 21];
            layer_norm(level, x, &weight, &bias, 1e-5, &mut alone, &Threads::new(1));
            assert_eq!(bits(&alone), bits(together), "{level:?}");
        }
    }
}

#[test]
fn rms_norm_of_every_width() {
    let random = &mut Random::new(35);
    let epsilon = 1e-5;
    for channels in WIDTHS {
        let weight = random.floats(channels);
        for (rows, scale) in [(0, 1.0), (1, 1.0), (2, 1e-3), (5, 1e4), (1, 0.0)] {
            let x: Vec<f32> = random.floats(rows * channels).iter().map(|x| x * scale).collect();
            for level in Level::available() {
                let mut out = vec![f32::NAN; x.len()];
                rms_norm(level, &x, &weight, epsilon, &mut out, &Threads::new(1));
                for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact(channels)) {
                    let squares: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
                    let size = (squares / channels as f64 + f64::from(epsilon)).sqrt();
                    for ((&x, &weight), &y) in x.iter().zip(&weight).zip(out) {
                        let expected = f64::from(x) / size * f64::from(weight);
                        // Two roundings for each square, halved by the root; a few more around it and at the end.
                        let allowed = (channels as f64 + 6.0) * ROUNDING * expected.abs();
                        assert!((f64::from(y) - expected).abs() <= allowed, "{level:?} {channels}: {y}, {expected}");
                    }
                }
            }
        }
    }
}

#[test]
fn norms_on_any_number_of_threads_and_of_rows_alone() {
    let random = &mut Random::new(36);
    // Enough work for three threads.
    let (channels, rows) = (129, 1501);
    let (weight, bias, x) = (random.floats(channels), random.floats(channels), random.floats(rows * channels));
    for level in Level::available() {
        let of = |x: &[f32], threads: &Threads| {
            let (mut layer, mut rms) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
            layer_norm(level, x, &weight, &bias, 1e-5, &mut layer, threads);
            rms_norm(level, x, &weight, 1e-5, &mut rms, threads);
            (bits(&layer), bits(&rms))
        };
        let (layer, rms) = of(&x, &Threads::new(1));
        assert!(of(&x, &Threads::new(3)) == (layer.clone(), rms.clone()), "{level:?}");
        for row in [0, 1, 750, rows - 1] {
            let range = row * channels..(row + 1) * channels;
            let alone = of(&x[range.clone()], &Threads::new(1));
            assert!(alone == (layer[range.clone()].to_vec(), rms[range].to_vec()), "{level:?} {row}");
        }
    }
}

#[test]
#[should_panic(expected = "layer norm: rows are not whole")]
fn layer_norm_takes_whole_rows() {
    layer_norm(Level::detect(), &[0.0; 5], &[0.0; 2], &[0.0; 2], 1e-5, &mut [0.0; 5], &Threads::new(1));
}

#[test]
#[should_panic(expected = "layer norm: lengths differ")]
fn layer_norm_gives_as_much_as_it_takes() {
    layer_norm(Level::detect(), &[0.0; 4], &[0.0; 2], &[0.0; 2], 1e-5, &mut [0.0; 6], &Threads::new(1));
}

#[test]
#[should_panic(expected = "RMS norm: rows are not whole")]
fn rms_norm_takes_whole_rows() {
    rms_norm(Level::detect(), &[0.0; 5], &[0.0; 2], 1e-5, &mut [0.0; 5], &Threads::new(1));
}

#[test]
#[should_panic(expected = "RMS norm: rows are not whole")]
fn rms_norm_takes_rows_of_something() {
    rms_norm(Level::detect(), &[], &[], 1e-5, &mut [], &Threads::new(1));
}

#[test]
#[should_panic(expected = "RMS norm: lengths differ")]
fn rms_norm_gives_as_much_as_it_takes() {
    rms_norm(Level::detect(), &[0.0; 4], &[0.0; 2], 1e-5, &mut [0.0; 2], &Threads::new(1));
}
