//! The snake activation, `x + scale sin^2(rate x)`, with a rate and a scale for each channel.

use crate::elementwise::EXPONENTIAL;
use crate::math;
use crate::simd::{Kernel, Level, Simd};
use crate::threads::Threads;

/// `out = x + scales[c] * sin(rates[c] * x)^2` for each row of `x`, as long as `rates`.
///
/// The sine is as good as the product `rates[c] * x`, rounded to float32: see what `sin_squared` says of large arguments.
/// What is not finite gives what is not a number.
///
/// # Panics
/// If the lengths do not agree.
pub fn snake(level: Level, x: &[f32], rates: &[f32], scales: &[f32], out: &mut [f32], threads: &Threads) {
    let channels = rates.len();
    assert!(x.len() == out.len() && channels == scales.len(), "snake: lengths differ");
    assert!(channels > 0 && x.len().is_multiple_of(channels), "snake: rows are not whole");
    threads.run_rows(threads.parts(x.len().saturating_mul(EXPONENTIAL)), out, channels, |from, out| {
        level.run(Snake { x: &x[from * channels..][..out.len()], rates, scales, out });
    });
}

struct Snake<'a> {
    x: &'a [f32],
    rates: &'a [f32],
    scales: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Snake<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.rates.len();
        for (x, out) in self.x.chunks_exact(channels).zip(self.out.chunks_exact_mut(channels)) {
            let parameters = self.rates.chunks(S::LANES).zip(self.scales.chunks(S::LANES));
            for ((x, out), (rates, scales)) in x.chunks(S::LANES).zip(out.chunks_mut(S::LANES)).zip(parameters) {
                let x = s.load_partial(x, 0.0);
                let wave = math::sin_squared(s, s.mul(x, s.load_partial(rates, 0.0)));
                s.store_partial(out, s.mul_add(wave, s.load_partial(scales, 0.0), x));
            }
        }
    }
}
