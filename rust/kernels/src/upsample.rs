//! The depthwise transposed convolution with a kernel of `m` strides, as the one that takes Mimi's latents to the rate of
//! its decoder.

use crate::simd::{Kernel, Level, Simd};

/// Weights of [`upsample`].
pub struct DepthwiseUpsample<'a> {
    /// `(m * stride, channels)`, tap by tap: the kernel is `m >= 1` strides long.
    pub taps: &'a [f32],
    /// Values in each row.
    pub channels: usize,
    /// Outputs for each input row.
    pub stride: usize,
}

/// `out[t * s + j] = sum_i x[t - i] * taps[i * s + j]`, `i` from `m - 1` down to 0, channel by channel; `history` has the
/// `m - 1` rows before `x`, the oldest first.
///
/// # Panics
/// If the lengths do not agree.
pub fn upsample(level: Level, weights: &DepthwiseUpsample<'_>, history: &[f32], x: &[f32], out: &mut [f32]) {
    let (channels, stride) = (weights.channels, weights.stride);
    assert!(channels > 0 && x.len().is_multiple_of(channels), "upsample: rows are not whole");
    // Taps of one input row.
    let reach = stride.checked_mul(channels).filter(|&taps| taps > 0 && !weights.taps.is_empty());
    assert!(reach.is_some_and(|taps| weights.taps.len().is_multiple_of(taps)), "upsample: taps");
    let before = weights.taps.len() - stride * channels;
    assert_eq!(Some(before), history.len().checked_mul(stride), "upsample: history");
    assert_eq!(Some(out.len()), stride.checked_mul(x.len()), "upsample: lengths differ");
    level.run(Upsample { weights, history, x, out });
}

struct Upsample<'a> {
    weights: &'a DepthwiseUpsample<'a>,
    history: &'a [f32],
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Upsample<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (channels, taps) = (self.weights.channels, self.weights.taps);
        let width = self.weights.stride * channels;
        let before = self.history.len() / channels;
        for (t, out) in self.out.chunks_exact_mut(width).enumerate() {
            for (j, out) in out.chunks_exact_mut(channels).enumerate() {
                for from in (0..channels).step_by(S::LANES) {
                    let to = channels.min(from + S::LANES);
                    let mut sum = s.splat(0.0);
                    for i in 0..=before {
                        // The history and `x` in one piece; the oldest row meets the last taps.
                        let (rows, row) = if t + i < before { (self.history, t + i) } else { (self.x, t + i - before) };
                        let x = s.load_partial(&rows[row * channels + from..row * channels + to], 0.0);
                        let at = (before - i) * width + j * channels;
                        let tap = s.load_partial(&taps[at + from..at + to], 0.0);
                        sum = if i == 0 { s.mul(x, tap) } else { s.mul_add(x, tap, sum) };
                    }
                    s.store_partial(&mut out[from..to], sum);
                }
            }
        }
    }
}
