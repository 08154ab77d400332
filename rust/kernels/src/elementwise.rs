//! Passes over all elements that no product could take on its way.

use crate::math;
use crate::simd::{Kernel, Level, Simd};
use crate::threads::Threads;

/// An exponential takes about as long as so many multiply-adds of a product.
const EXPONENTIAL: usize = 16;

/// `out[i] = elu(x[i])`.
///
/// # Panics
/// If the lengths differ.
pub fn elu(level: Level, x: &[f32], out: &mut [f32], threads: &Threads) {
    assert_eq!(x.len(), out.len(), "elu of {} floats", x.len());
    threads.run_rows(threads.parts(x.len() * EXPONENTIAL), out, 1, |from, out| {
        level.run(Elu { x: &x[from..][..out.len()], out });
    });
}

struct Elu<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Elu<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (x, out) in self.x.chunks(S::LANES).zip(self.out.chunks_mut(S::LANES)) {
            s.store_partial(out, math::elu(s, s.load_partial(x, 0.0)));
        }
    }
}
