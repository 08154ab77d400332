//! Normalisations over the channels of each row.

use crate::simd::{Kernel, Level, Simd};
use crate::threads::Threads;

/// A normalised element takes about as long as so many multiply-adds of a product.
const NORMALISED: usize = 8;

/// `out = (x - mean(x)) / sqrt(var(x) + epsilon) * weight + bias` for each row of `x`, as long as `weight`.
///
/// # Panics
/// If the lengths do not agree.
pub fn layer_norm(
    level: Level,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
    out: &mut [f32],
    threads: &Threads,
) {
    let channels = weight.len();
    assert!(x.len() == out.len() && channels == bias.len(), "layer norm: lengths differ");
    assert!(channels > 0 && x.len().is_multiple_of(channels), "layer norm: rows are not whole");
    threads.run_rows(threads.parts(x.len().saturating_mul(NORMALISED)), out, channels, |from, out| {
        level.run(LayerNorm { x: &x[from * channels..][..out.len()], weight, bias, epsilon, out });
    });
}

/// `out = x / sqrt(mean(x^2) + epsilon) * weight` for each row of `x`, as long as `weight`.
///
/// # Panics
/// If the lengths do not agree.
pub fn rms_norm(level: Level, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32], threads: &Threads) {
    let channels = weight.len();
    assert_eq!(x.len(), out.len(), "RMS norm: lengths differ");
    assert!(channels > 0 && x.len().is_multiple_of(channels), "RMS norm: rows are not whole");
    threads.run_rows(threads.parts(x.len().saturating_mul(NORMALISED)), out, channels, |from, out| {
        level.run(RmsNorm { x: &x[from * channels..][..out.len()], weight, epsilon, out });
    });
}

struct LayerNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    out: &'a mut [f32],
}

impl Kernel for LayerNorm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.weight.len();
        let scale = 1.0 / channels as f32;
        for (x, out) in self.x.chunks_exact(channels).zip(self.out.chunks_exact_mut(channels)) {
            let mut sum = s.splat(0.0);
            for chunk in x.chunks(S::LANES) {
                sum = s.add(sum, s.load_partial(chunk, 0.0));
            }
            let mean = s.reduce_add(sum) * scale;
            let mut squares = s.splat(0.0);
            for chunk in x.chunks(S::LANES) {
                let centred = s.sub(s.load_partial(chunk, mean), s.splat(mean));
                squares = s.mul_add(centred, centred, squares);
            }
            let inverse = 1.0 / (s.reduce_add(squares) * scale + self.epsilon).sqrt();
            let parameters = self.weight.chunks(S::LANES).zip(self.bias.chunks(S::LANES));
            for ((x, out), (weight, bias)) in x.chunks(S::LANES).zip(out.chunks_mut(S::LANES)).zip(parameters) {
                let centred = s.mul(s.sub(s.load_partial(x, 0.0), s.splat(mean)), s.splat(inverse));
                let y = s.mul_add(centred, s.load_partial(weight, 0.0), s.load_partial(bias, 0.0));
                s.store_partial(out, y);
            }
        }
    }
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    out: &'a mut [f32],
}

/// Sums that a row is added up in: one alone would wait for each of its additions.
const SUMS: usize = 4;

impl Kernel for RmsNorm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.weight.len();
        let scale = 1.0 / channels as f32;
        for (x, out) in self.x.chunks_exact(channels).zip(self.out.chunks_exact_mut(channels)) {
            let mut sums = [s.splat(0.0); SUMS];
            for chunk in x.chunks(SUMS * S::LANES) {
                for (sum, chunk) in sums.iter_mut().zip(chunk.chunks(S::LANES)) {
                    let x = s.load_partial(chunk, 0.0);
                    *sum = s.mul_add(x, x, *sum);
                }
            }
            let squares = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
            let inverse = s.splat(1.0 / (s.reduce_add_halves(squares) * scale + self.epsilon).sqrt());
            let weights = self.weight.chunks(S::LANES);
            for ((x, out), weight) in x.chunks(S::LANES).zip(out.chunks_mut(S::LANES)).zip(weights) {
                let normal = s.mul(s.load_partial(x, 0.0), inverse);
                s.store_partial(out, s.mul(normal, s.load_partial(weight, 0.0)));
            }
        }
    }
}
