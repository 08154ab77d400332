//! Passes over all elements that no product could take on its way.

use crate::epilogue::Activation;
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
    activate(level, Activation::Elu, x, out, threads);
}

/// `out[i] = activation(x[i])`.
///
/// # Panics
/// If the lengths differ.
pub fn activate(level: Level, activation: Activation, x: &[f32], out: &mut [f32], threads: &Threads) {
    assert_eq!(x.len(), out.len(), "an activation of {} floats", x.len());
    threads.run_rows(threads.parts(x.len().saturating_mul(EXPONENTIAL)), out, 1, |from, out| {
        level.run(Activate { activation, x: &x[from..][..out.len()], out });
    });
}

struct Activate<'a> {
    activation: Activation,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Activate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Decided once: within the loop each vector would ask.
        match self.activation {
            Activation::Elu => each(s, self.x, self.out, math::elu),
            Activation::GeluErf => each(s, self.x, self.out, math::gelu_erf),
            Activation::GeluTanh => each(s, self.x, self.out, math::gelu_tanh),
        }
    }
}

#[inline(always)]
fn each<S: Simd>(s: S, x: &[f32], out: &mut [f32], function: impl Fn(S, S::Vector) -> S::Vector) {
    for (x, out) in x.chunks(S::LANES).zip(out.chunks_mut(S::LANES)) {
        s.store_partial(out, function(s, s.load_partial(x, 0.0)));
    }
}
