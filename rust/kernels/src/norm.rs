//! Layer normalisation over the channels of each row.

use crate::simd::{Kernel, Level, Simd};

/// `out = (x - mean(x)) / sqrt(var(x) + epsilon) * weight + bias` for each row of `x`, as long as `weight`.
///
/// # Panics
/// If the lengths do not agree.
pub fn layer_norm(level: Level, x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
    assert!(x.len() == out.len() && weight.len() == bias.len(), "layer norm: lengths differ");
    assert!(!weight.is_empty() && x.len().is_multiple_of(weight.len()), "layer norm: rows are not whole");
    level.run(LayerNorm { x, weight, bias, epsilon, out });
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
