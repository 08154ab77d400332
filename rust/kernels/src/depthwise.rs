//! Causal convolution of each channel by itself.

use crate::epilogue::{Epilogue, finish};
use crate::simd::{Kernel, Level, Simd};
use crate::threads::Threads;

/// Weights of [`depthwise`].
pub struct Depthwise<'a> {
    /// `(kernel, channels)`: tap by tap, the one of the oldest input first.
    pub taps: &'a [f32],
    /// Added to each output, a value for each channel.
    pub bias: Option<&'a [f32]>,
    /// Values in each row.
    pub channels: usize,
    /// Input rows for each output.
    pub stride: usize,
    /// Rows from one tap to the next.
    pub dilation: usize,
}

impl Depthwise<'_> {
    /// Rows that are to be known before the first input: none where the stride reaches further than the kernel.
    ///
    /// # Panics
    /// If the weights are none: no channels or taps, taps that are not whole, a stride or a dilation of zero, or a kernel that
    /// reaches further than there are numbers.
    pub fn history(&self) -> usize {
        let kernel = self.taps.len().checked_div(self.channels).unwrap_or(0);
        assert!(kernel > 0 && self.taps.len().is_multiple_of(self.channels), "depthwise: taps");
        assert!(self.stride > 0 && self.dilation > 0, "depthwise: stride and dilation");
        let reach = (kernel - 1).checked_mul(self.dilation).and_then(|last| last.checked_add(1));
        assert!(reach.is_some(), "depthwise: the kernel's reach");
        reach.unwrap_or(1).saturating_sub(self.stride)
    }
}

/// `out[t] = activation(bias + sum_k taps[k] * x[t * stride - history + k * dilation] + residual[t])`, channel by channel.
///
/// `history` has the rows before `x`, [`Depthwise::history`] of them, the oldest first. `x` has `stride` rows for each output.
/// Every sum begins with the bias and is taken in the order of `k`.
///
/// # Panics
/// If the lengths do not agree.
pub fn depthwise(
    level: Level,
    weights: &Depthwise<'_>,
    history: &[f32],
    x: &[f32],
    epilogue: Epilogue<'_>,
    out: &mut [f32],
    threads: &Threads,
) {
    let channels = weights.channels;
    assert_eq!(Some(history.len()), weights.history().checked_mul(channels), "depthwise: history");
    assert!(weights.bias.is_none_or(|bias| bias.len() == channels), "depthwise: bias");
    assert!(out.len().is_multiple_of(channels), "depthwise: rows are not whole");
    assert_eq!(Some(x.len()), out.len().checked_mul(weights.stride), "depthwise: lengths differ");
    assert!(epilogue.residual.is_none_or(|residual| residual.len() == out.len()), "depthwise: residual");
    let work = x.len().saturating_mul(weights.taps.len() / channels);
    threads.run_rows(threads.parts(work), out, channels, |from, out| {
        level.run(Convolve { weights, history, x, epilogue, out, from });
    });
}

/// The outputs from row `from` on.
struct Convolve<'a> {
    weights: &'a Depthwise<'a>,
    history: &'a [f32],
    x: &'a [f32],
    epilogue: Epilogue<'a>,
    out: &'a mut [f32],
    from: usize,
}

/// Outputs that are summed side by side: their additions wait for each other, and a tap is read once for all.
const OUTPUTS: usize = 8;

impl Kernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Depthwise { channels, stride, .. } = *self.weights;
        let before = self.history.len() / channels;
        let (history, x) = (self.history, self.x);
        let end = self.from + self.out.len() / channels;
        let mut row = self.from;
        // Outputs that see the history.
        while row < end && row * stride < before {
            let input = |i: usize| match i.checked_sub(before) {
                Some(i) => &x[i * channels..][..channels],
                None => &history[i * channels..][..channels],
            };
            self.outputs::<S, 1>(s, row, input);
            row += 1;
        }
        let input = |i: usize| &x[(i - before) * channels..][..channels];
        while row + OUTPUTS <= end {
            self.outputs::<S, OUTPUTS>(s, row, input);
            row += OUTPUTS;
        }
        while row < end {
            self.outputs::<S, 1>(s, row, input);
            row += 1;
        }
    }
}

impl Convolve<'_> {
    /// Outputs `row..row + T`; `input` gives a row of the history and `x` in one piece.
    #[inline(always)]
    fn outputs<'x, S: Simd, const T: usize>(&mut self, s: S, row: usize, input: impl Fn(usize) -> &'x [f32]) {
        let Depthwise { taps, bias, channels, stride, dilation } = *self.weights;
        for from in (0..channels).step_by(S::LANES) {
            let to = channels.min(from + S::LANES);
            let first = bias.map_or(s.splat(0.0), |bias| s.load_partial(&bias[from..to], 0.0));
            let mut sums = [first; T];
            for (k, taps) in taps.chunks_exact(channels).enumerate() {
                let tap = s.load_partial(&taps[from..to], 0.0);
                for (t, sum) in sums.iter_mut().enumerate() {
                    let x = &input((row + t) * stride + k * dilation)[from..to];
                    *sum = s.mul_add(s.load_partial(x, 0.0), tap, *sum);
                }
            }
            for (t, &sum) in sums.iter().enumerate() {
                let sum = finish(s, &self.epilogue, sum, (row + t) * channels + from, to - from);
                let at = (row + t - self.from) * channels;
                s.store_partial(&mut self.out[at + from..at + to], sum);
            }
        }
    }
}
