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
        // Row `i` of the history and `x` in one piece.
        let row = |i: usize| match i.checked_sub(before) {
            Some(i) => &self.x[i * channels..][..channels],
            None => &self.history[i * channels..][..channels],
        };
        for (t, out) in self.out.chunks_exact_mut(width).enumerate() {
            for (j, out) in out.chunks_exact_mut(channels).enumerate() {
                // The oldest row meets the last taps.
                let tap = |i: usize| &taps[(before - i) * width + j * channels..][..channels];
                for from in (0..channels).step_by(S::LANES) {
                    let to = channels.min(from + S::LANES);
                    let load = |row: &[f32]| s.load_partial(&row[from..to], 0.0);
                    let mut sum = s.mul(load(row(t)), load(tap(0)));
                    for i in 1..=before {
                        sum = s.mul_add(load(row(t + i)), load(tap(i)), sum);
                    }
                    s.store_partial(&mut out[from..to], sum);
                }
            }
        }
    }
}
