//! The product and its epilogue.

use mimi_kernels::{Activation, Epilogue, PackedMatrix, Precision, Rows, Strided, Threads, elu, product, simd::Level};

use crate::random::Random;
use crate::{ROUNDING, bits};

/// A right matrix `(depth, columns)` with a bias, row-major.
pub(crate) struct Weights {
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    pub(crate) values: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl Weights {
    pub(crate) fn integers(random: &mut Random, depth: usize, columns: usize) -> Self {
        Self { depth, columns, values: random.integers(depth * columns, 8), bias: random.integers(columns, 100) }
    }

    pub(crate) fn floats(random: &mut Random, depth: usize, columns: usize) -> Self {
        Self { depth, columns, values: random.floats(depth * columns), bias: random.floats(columns) }
    }

    pub(crate) fn packed(&self, level: Level) -> PackedMatrix {
        self.packed_as(level, Precision::Float32, Some(&self.bias))
    }

    pub(crate) fn packed_as(&self, level: Level, precision: Precision, bias: Option<&[f32]>) -> PackedMatrix {
        let depths = (0..self.depth).map(|k| k * self.columns);
        PackedMatrix::new(level, precision, &Strided::new(&self.values, depths, 0..self.columns), bias)
    }

    /// `bias + row . weights`, and the same of the magnitudes.
    pub(crate) fn plain(&self, row: &[f32], n: usize) -> (f64, f64) {
        let terms = row.iter().enumerate().map(|(k, &x)| f64::from(x) * f64::from(self.values[k * self.columns + n]));
        let bias = f64::from(self.bias[n]);
        terms.fold((bias, bias.abs()), |(sum, size), term| (sum + term, size + term.abs()))
    }
}

/// The product of a contiguous left matrix, on one thread.
pub(crate) fn multiply(weights: &PackedMatrix, x: &[f32], epilogue: Epilogue<'_>) -> Vec<f32> {
    let mut out = vec![f32::NAN; x.len() / weights.depth() * weights.columns()];
    let rows = Rows::contiguous(x, weights.depth());
    product(&rows, (weights.depth(), 0), weights, epilogue, &mut out, &Threads::new(1));
    out
}

#[test]
fn every_shape_with_and_without_bias_and_residual() {
    let random = &mut Random::new(1);
    for depth in [1, 2, 3, 16, 31, 511, 512, 513, 1100] {
        for columns in [0, 1, 2, 7, 15, 16, 17, 31, 32, 33, 65] {
            let mut weights = Weights::integers(random, depth, columns);
            for with_both in [false, true] {
                if !with_both {
                    weights.bias.fill(0.0);
                }
                for rows in [0, 1, 2, 5, 7, 8, 9, 17] {
                    let x = random.integers(rows * depth, 8);
                    let residual = random.integers(rows * columns, 100);
                    let epilogue = Epilogue { residual: with_both.then_some(&residual), activation: None };
                    let mut expected: Vec<f32> = x
                        .chunks_exact(depth)
                        .flat_map(|row| (0..columns).map(|n| weights.plain(row, n).0 as f32).collect::<Vec<_>>())
                        .collect();
                    if with_both {
                        expected.iter_mut().zip(&residual).for_each(|(y, residual)| *y += residual);
                    }
                    for level in Level::available() {
                        let out = multiply(&weights.packed(level), &x, epilogue);
                        assert_eq!(out, expected, "{level:?}: {rows} x {depth} x {columns}");
                    }
                }
            }
        }
    }
}

#[test]
fn no_more_than_a_rounding_for_each_operation() {
    let random = &mut Random::new(2);
    for (rows, depth, columns) in [(1, 1, 1), (3, 700, 5), (8, 64, 64), (20, 1200, 33)] {
        let weights = Weights::floats(random, depth, columns);
        let x = random.floats(rows * depth);
        for level in Level::available() {
            let out = multiply(&weights.packed(level), &x, Epilogue::default());
            for (i, &y) in out.iter().enumerate() {
                let (exact, size) = weights.plain(&x[i / columns * depth..][..depth], i % columns);
                // A multiplication and an addition for each term, rounded apart where they are not fused.
                let allowed = 2.0 * depth as f64 * ROUNDING * size;
                assert!((f64::from(y) - exact).abs() <= allowed, "{level:?}: {y} is not {exact}");
            }
        }
    }
}

#[test]
fn a_row_is_the_same_alone_and_among_others() {
    let random = &mut Random::new(3);
    for (rows, depth, columns) in [(2, 10, 3), (9, 513, 40), (31, 1300, 17), (11, 700, 1)] {
        let weights = Weights::floats(random, depth, columns);
        let x = random.floats(rows * depth);
        for level in Level::available() {
            let packed = weights.packed(level);
            let epilogue = Epilogue { residual: None, activation: Some(Activation::GeluErf) };
            let together = multiply(&packed, &x, epilogue);
            let alone: Vec<f32> = x.chunks_exact(depth).flat_map(|row| multiply(&packed, row, epilogue)).collect();
            assert_eq!(bits(&together), bits(&alone), "{level:?}: {rows} x {depth} x {columns}");
        }
    }
}

type Definition = fn(f64) -> f64;

/// `erf(u)` by its Taylor series; for the small `u` of these tests.
fn erf(u: f64) -> f64 {
    let (mut term, mut sum) = (u, u);
    for n in 1..120 {
        term *= -u * u / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn activations() {
    let xs: Vec<f32> = (-41..=41).map(|i| i as f32 * 0.1).collect();
    let count = xs.len();
    let one = Weights { depth: 1, columns: count, values: xs.clone(), bias: vec![0.0; count] };
    let residual = vec![0.25; count];
    let definitions: [(Activation, Definition); 3] = [
        (Activation::Elu, |x| if x > 0.0 { x } else { x.exp_m1() }),
        (Activation::GeluErf, |x| 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))),
        (Activation::GeluTanh, |x| {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
        }),
    ];
    for level in Level::available() {
        let packed = one.packed(level);
        for (activation, exact) in definitions {
            for residual in [None, Some(residual.as_slice())] {
                let sums = multiply(&packed, &[1.0], Epilogue { residual, activation: None });
                let out = multiply(&packed, &[1.0], Epilogue { residual, activation: Some(activation) });
                for (&sum, &y) in sums.iter().zip(&out) {
                    let expected = exact(f64::from(sum));
                    // Some ten roundings, and no cancellation but where two magnitudes of up to |x| are subtracted.
                    let allowed = 10.0 * ROUNDING * f64::from(sum.abs().max(y.abs()));
                    assert!((f64::from(y) - expected).abs() <= allowed, "{level:?} {activation:?} of {sum}: {y}");
                }
                if activation == Activation::Elu {
                    let mut apart = vec![0.0; count];
                    elu(level, &sums, &mut apart, &Threads::new(1));
                    assert_eq!(bits(&out), bits(&apart), "{level:?}");
                }
            }
        }
    }
}

#[test]
fn packed_sizes() {
    let random = &mut Random::new(4);
    for (depth, columns) in [(1, 1), (3, 0), (5, 31), (17, 33), (16, 64), (33, 100)] {
        let weights = Weights::integers(random, depth, columns);
        for level in Level::available() {
            let packed = weights.packed(level);
            assert_eq!((packed.depth(), packed.columns()), (depth, columns));
            let least = (depth + 1) * columns * size_of::<f32>();
            let most = (depth + 1) * (columns + 2 * level.lanes()) * size_of::<f32>();
            assert!((least..=most).contains(&packed.bytes()), "{level:?}: {} bytes", packed.bytes());

            // The rows of the identity give the weights back.
            let no_bias = weights.packed_as(level, Precision::Float32, None);
            let identity: Vec<f32> = (0..depth * depth).map(|i| f32::from(i / depth == i % depth)).collect();
            assert_eq!(multiply(&no_bias, &identity, Epilogue::default()), weights.values, "{level:?}");
        }
    }
}
