//! The depthwise transposed convolution with kernel `2 s` and stride `s` that takes latents to the decoder's rate.

use crate::simd::{Kernel, Level, Simd};

/// Weights of [`upsample`].
pub struct DepthwiseUpsample<'a> {
    /// `(2 * stride, channels)`: tap by tap.
    pub taps: &'a [f32],
    /// Values in each row.
    pub channels: usize,
    /// Outputs for each input row.
    pub stride: usize,
}

/// `out[t * s + j] = x[t] * taps[j] + x[t - 1] * taps[s + j]`, channel by channel; `previous` is `x[-1]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn upsample(level: Level, weights: &DepthwiseUpsample<'_>, previous: &[f32], x: &[f32], out: &mut [f32]) {
    let (channels, stride) = (weights.channels, weights.stride);
    assert!(channels > 0 && x.len().is_multiple_of(channels), "upsample: rows are not whole");
    let taps = stride.checked_mul(2).and_then(|taps| taps.checked_mul(channels));
    assert_eq!(Some(weights.taps.len()), taps, "upsample: taps");
    let outputs = stride.checked_mul(x.len());
    assert!(stride > 0 && previous.len() == channels && Some(out.len()) == outputs, "upsample: lengths differ");
    level.run(Upsample { weights, previous, x, out });
}

struct Upsample<'a> {
    weights: &'a DepthwiseUpsample<'a>,
    previous: &'a [f32],
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Upsample<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (channels, stride) = (self.weights.channels, self.weights.stride);
        let (now_taps, before_taps) = self.weights.taps.split_at(stride * channels);
        let mut before = self.previous;
        for (now, out) in self.x.chunks_exact(channels).zip(self.out.chunks_exact_mut(stride * channels)) {
            let taps = now_taps.chunks_exact(channels).zip(before_taps.chunks_exact(channels));
            for (out, (now_tap, before_tap)) in out.chunks_exact_mut(channels).zip(taps) {
                for from in (0..channels).step_by(S::LANES) {
                    let to = channels.min(from + S::LANES);
                    let part =
                        s.mul(s.load_partial(&before[from..to], 0.0), s.load_partial(&before_tap[from..to], 0.0));
                    let now = s.load_partial(&now[from..to], 0.0);
                    let sum = s.mul_add(now, s.load_partial(&now_tap[from..to], 0.0), part);
                    s.store_partial(&mut out[from..to], sum);
                }
            }
            before = now;
        }
    }
}
