//! Causal convolution of each channel by itself.

use std::ops::Range;

use crate::epilogue::{Epilogue, finish};
use crate::simd::{Kernel, Level, MAX_LANES, Simd};
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

/// The kernel's length for which inputs are kept in registers: that of all codecs here, next to each other.
const SEVEN: usize = 7;

impl Kernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Outputs that are summed side by side, as the additions of one wait for each other. Their sums, their inputs and a tap
        // fit the registers.
        let s = s.tile();
        if S::Tile::LANES == MAX_LANES { self.rows::<S::Tile, 8, 14>(s) } else { self.rows::<S::Tile, 4, 10>(s) }
    }
}

impl Convolve<'_> {
    /// All outputs, `T` at a time where that is possible. `N` inputs meet seven taps then.
    #[inline(always)]
    fn rows<S: Simd, const T: usize, const N: usize>(mut self, s: S) {
        let Depthwise { channels, stride, .. } = *self.weights;
        let before = self.history.len() / channels;
        let end = self.from + self.out.len() / channels;
        let mut row = self.from;
        while row < end {
            // SAFETY: the rows are outputs, and several together do not see the history.
            unsafe {
                if row * stride >= before && row + T <= end {
                    self.outputs::<S, T, N>(s, row);
                    row += T;
                } else {
                    self.outputs::<S, 1, SEVEN>(s, row);
                    row += 1;
                }
            }
        }
    }

    /// Outputs `row..row + T`, channel by channel.
    ///
    /// # Safety
    /// There are these outputs, and if they are several, the first does not see the history.
    #[inline(always)]
    unsafe fn outputs<S: Simd, const T: usize, const N: usize>(&mut self, s: S, row: usize) {
        let Depthwise { taps, bias, channels, stride, dilation } = *self.weights;
        let (kernel, before) = (taps.len() / channels, self.history.len() / channels);
        // The first input, counted from the start of the history; and the taps that meet the history.
        let first = row * stride;
        let old = kernel.min(before.saturating_sub(first).div_ceil(dilation));
        let seven = (kernel, stride, dilation, old) == (SEVEN, 1, 1, 0);
        for from in (0..channels).step_by(S::LANES) {
            let left = S::LANES.min(channels - from);
            let mut sums = [bias.map_or(s.splat(0.0), |bias| s.load_partial(&bias[from..from + left], 0.0)); T];
            // SAFETY: `depthwise` has checked that the last tap of the last output meets the last row of `x` or one before,
            // and each row and each tap has `left` channels from `from` on.
            unsafe {
                let at = self.history.as_ptr().wrapping_add(first * channels + from);
                sums = self.add(s, sums, 0..old, at, from);
                let at = self
                    .x
                    .as_ptr()
                    .wrapping_add((first + old * dilation).wrapping_sub(before).wrapping_mul(channels) + from);
                sums = if seven && left == S::LANES {
                    self.add_seven::<S, T, N>(s, sums, at, from)
                } else {
                    self.add(s, sums, old..kernel, at, from)
                };
            }
            for (t, &sum) in sums.iter().enumerate() {
                let sum = finish(s, &self.epilogue, sum, (row + t) * channels + from, left);
                let at = (row + t - self.from) * channels + from;
                s.store_partial(&mut self.out[at..at + left], sum);
            }
        }
    }

    /// Adds the products of some taps; the first of them meets the row at `x` in the first output. (By value: an array that
    /// anything else indexes would be kept in memory.)
    ///
    /// # Safety
    /// A vector, or what is left of one before the row ends, can be read at each row that a tap meets.
    #[inline(always)]
    unsafe fn add<S: Simd, const T: usize>(
        &self,
        s: S,
        mut sums: [S::Vector; T],
        range: Range<usize>,
        mut x: *const f32,
        from: usize,
    ) -> [S::Vector; T] {
        let Depthwise { taps, channels, stride, dilation, .. } = *self.weights;
        let left = S::LANES.min(channels - from);
        for k in range {
            // SAFETY: the caller's promise.
            unsafe {
                let tap = load(s, taps.as_ptr().add(k * channels + from), left);
                for (t, sum) in sums.iter_mut().enumerate() {
                    *sum = s.mul_add(load(s, x.add(t * stride * channels), left), tap, *sum);
                }
            }
            x = x.wrapping_add(dilation.wrapping_mul(channels));
        }
        sums
    }

    /// The same of seven taps for inputs without gaps: each input is read once.
    ///
    /// # Safety
    /// A vector can be read at each row that a tap meets.
    #[inline(always)]
    unsafe fn add_seven<S: Simd, const T: usize, const N: usize>(
        &self,
        s: S,
        mut sums: [S::Vector; T],
        x: *const f32,
        from: usize,
    ) -> [S::Vector; T] {
        const { assert!(N == T + SEVEN - 1) };
        let Depthwise { taps, channels, .. } = *self.weights;
        let mut inputs = [s.splat(0.0); N];
        for (i, input) in inputs.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *input = unsafe { s.load(x.add(i * channels)) };
        }
        for k in 0..SEVEN {
            // SAFETY: there are seven taps, and a vector of them from `from` on.
            let tap = unsafe { s.load(taps.as_ptr().add(k * channels + from)) };
            for (t, sum) in sums.iter_mut().enumerate() {
                *sum = s.mul_add(inputs[t + k], tap, *sum);
            }
        }
        sums
    }
}

/// The first `count` lanes of a vector, zeros for the others.
///
/// # Safety
/// So many floats can be read at `at`.
#[inline(always)]
unsafe fn load<S: Simd>(s: S, at: *const f32, count: usize) -> S::Vector {
    // SAFETY: the caller's promise.
    unsafe { if count == S::LANES { s.load(at) } else { s.load_partial(std::slice::from_raw_parts(at, count), 0.0) } }
}
