//! Products with weights in bfloat16 and int8.

use mimi_kernels::{Activation, Epilogue, Precision, Rows, Threads, product, simd::Level};

use crate::product::{Weights, multiply};
use crate::random::Random;
use crate::{ROUNDING, bits};

const LESS: [Precision; 2] = [Precision::Bfloat16, Precision::Int8];

/// Weights that are stored as they are: integers of three bits, or of eight with a largest one in every group, so that
/// the scale is 1.
fn storable(random: &mut Random, precision: Precision, depth: usize, columns: usize) -> Weights {
    let mut weights = Weights::integers(random, depth, columns);
    if precision == Precision::Int8 {
        weights.values = random.integers(depth * columns, 127);
        weights.values.chunks_mut(columns).step_by(16).for_each(|row| row.fill(-127.0));
    }
    weights
}

#[test]
fn every_shape() {
    let random = &mut Random::new(41);
    for precision in LESS {
        for depth in [1, 3, 127, 128, 129, 511, 513, 1100] {
            for columns in [1, 7, 16, 17, 33, 65] {
                let weights = storable(random, precision, depth, columns);
                for rows in [0, 1, 2, 6, 7, 8, 9, 17] {
                    let x = random.integers(rows * depth, 8);
                    let exact =
                        x.chunks_exact(depth).flat_map(|row| (0..columns).map(|n| weights.plain(row, n).0 as f32));
                    let exact: Vec<f32> = exact.collect();
                    for level in Level::available() {
                        let packed = weights.packed_as(level, precision, Some(&weights.bias));
                        let out = multiply(&packed, &x, Epilogue::default());
                        assert_eq!(out, exact, "{level:?} {precision:?}: {rows} x {depth} x {columns}");
                    }
                }
            }
        }
    }
}

#[test]
fn no_more_than_the_rounding_of_each_weight() {
    let random = &mut Random::new(42);
    for (rows, depth, columns) in [(1, 1, 1), (3, 700, 5), (20, 300, 33)] {
        let weights = Weights::floats(random, depth, columns);
        let x = random.floats(rows * depth);
        for precision in LESS {
            for level in Level::available() {
                let packed = weights.packed_as(level, precision, Some(&weights.bias));
                for (i, &y) in multiply(&packed, &x, Epilogue::default()).iter().enumerate() {
                    let row = &x[i / columns * depth..][..depth];
                    let (exact, size) = weights.plain(row, i % columns);
                    let summed = 2.0 * (depth + 2) as f64 * ROUNDING * size;
                    let inputs: f64 = row.iter().map(|&x| f64::from(x.abs())).sum();
                    // Eight bits of each weight are kept; or half a step of 1/127 of the largest, which is below 1.
                    let stored = if precision == Precision::Bfloat16 { size / 512.0 } else { inputs / 254.0 };
                    let error = (f64::from(y) - exact).abs();
                    assert!(error <= stored + summed, "{level:?} {precision:?}: {y} is not {exact}");
                }
            }
        }
    }
}

#[test]
fn rounding_to_bfloat16_is_to_even() {
    let unit = 1.0 / 128.0;
    let values = [1.0 + 0.5 * unit, 1.0 + 1.5 * unit, 1.0 + 0.501 * unit, -1.0 - 0.5 * unit, 2.0 - 0.4 * unit, 0.0];
    let stored = [1.0, 1.0 + 2.0 * unit, 1.0 + unit, -1.0, 2.0, 0.0];
    let weights = Weights { depth: 1, columns: 6, values: values.to_vec(), bias: vec![0.0; 6] };
    for level in Level::available() {
        let out = multiply(&weights.packed_as(level, Precision::Bfloat16, None), &[1.0], Epilogue::default());
        assert_eq!(out, stored, "{level:?}");
    }
}

#[test]
fn columns_of_zeros_and_of_a_single_weight() {
    let mut weights = Weights { depth: 300, columns: 3, values: vec![0.0; 900], bias: vec![1.0, 2.0, 3.0] };
    weights.values[3 * 200 + 1] = 1e-25;
    for precision in LESS {
        for level in Level::available() {
            let packed = weights.packed_as(level, precision, Some(&weights.bias));
            let out = multiply(&packed, &[1e25; 300], Epilogue::default());
            assert_eq!((out[0], out[2]), (1.0, 3.0), "{level:?} {precision:?}");
            assert!((out[1] - 3.0).abs() < 0.01, "{level:?} {precision:?}: {}", out[1]);
        }
    }
}

#[test]
fn sizes() {
    let weights = Weights::floats(&mut Random::new(43), 512, 256);
    for level in Level::available() {
        let bytes = |precision| weights.packed_as(level, precision, None).bytes() as f64;
        let full = bytes(Precision::Float32);
        assert!(bytes(Precision::Bfloat16) < 0.51 * full && bytes(Precision::Int8) < 0.27 * full, "{level:?}");
    }
}

/// The product of rows of two runs each, on a number of threads.
fn dilated(weights: &Weights, level: Level, precision: Precision, x: &[f32], threads: usize) -> Vec<f32> {
    let run = weights.depth / 2;
    let mut rows = Rows::new(3 * run);
    rows.push(x, run, x.len() / run - 2);
    let mut out = vec![f32::NAN; rows.len() * weights.columns];
    let packed = weights.packed_as(level, precision, Some(&weights.bias));
    let epilogue = Epilogue { residual: None, activation: Some(Activation::Elu) };
    product(&rows, (run, 2 * run), &packed, epilogue, &mut out, &Threads::new(threads));
    out
}

#[test]
fn the_same_alone_together_and_on_any_number_of_threads() {
    let random = &mut Random::new(44);
    // Runs that end within a group of weights with a common scale, and some that are longer than a block of depths.
    for (run, columns, rows) in [(5, 20, 9), (130, 40, 25), (512, 17, 30), (600, 33, 30), (1000, 70, 11)] {
        let weights = Weights::floats(random, 2 * run, columns);
        let x = random.floats((rows + 2) * run);
        for precision in LESS {
            for level in Level::available() {
                let together = dilated(&weights, level, precision, &x, 1);
                for threads in [2, 3] {
                    let shared = dilated(&weights, level, precision, &x, threads);
                    assert_eq!(bits(&shared), bits(&together), "{level:?} {precision:?}, {threads} threads");
                }
                for row in 0..rows {
                    let alone = dilated(&weights, level, precision, &x[row * run..][..3 * run], 1);
                    let among = &together[row * columns..][..columns];
                    assert_eq!(bits(&alone), bits(among), "{level:?} {precision:?}, runs of {run}");
                }
            }
        }
    }
}
