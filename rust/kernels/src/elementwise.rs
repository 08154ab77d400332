//! Passes over all elements that no product could take on its way.

use crate::epilogue::Activation;
use crate::simd::{Kernel, Level, Simd};
use crate::threads::Threads;

/// An exponential, or a sine, takes about as long as so many multiply-adds of a product.
pub(crate) const EXPONENTIAL: usize = 16;

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
        level.run(Activated { activation, pass: Each { x: &x[from..][..out.len()], out } });
    });
}

/// `out[c] = activation(x[c]) * x[channels + c]` for each row: rows of `x` are `2 * channels` long, rows of `out`
/// `channels`.
///
/// # Panics
/// If the rows are not whole, or not as many in `x` as in `out`.
pub fn gated(level: Level, activation: Activation, x: &[f32], out: &mut [f32], channels: usize, threads: &Threads) {
    assert!(channels > 0 && out.len().is_multiple_of(channels), "gated product: rows are not whole");
    assert_eq!(Some(x.len()), out.len().checked_mul(2), "gated product: gates and values of {} floats", out.len());
    threads.run_rows(threads.parts(x.len().saturating_mul(EXPONENTIAL)), out, channels, |from, out| {
        let x = &x[2 * from * channels..][..2 * out.len()];
        level.run(Activated { activation, pass: Gated { x, out, channels } });
    });
}

/// A pass over elements, with the function that it takes of them.
struct Activated<P> {
    activation: Activation,
    pass: P,
}

trait Pass {
    /// Must be `#[inline(always)]`.
    fn run<S: Simd>(self, s: S, activation: Activation);
}

impl<P: Pass> Kernel for Activated<P> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // A pass for each, in which it is a constant: within the loop each vector would ask.
        match self.activation {
            Activation::Elu => self.pass.run(s, Activation::Elu),
            Activation::GeluErf => self.pass.run(s, Activation::GeluErf),
            Activation::GeluTanh => self.pass.run(s, Activation::GeluTanh),
            Activation::Silu => self.pass.run(s, Activation::Silu),
            Activation::Clamp => self.pass.run(s, Activation::Clamp),
        }
    }
}

struct Each<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Pass for Each<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S, activation: Activation) {
        for (x, out) in self.x.chunks(S::LANES).zip(self.out.chunks_mut(S::LANES)) {
            s.store_partial(out, activation.of(s, s.load_partial(x, 0.0)));
        }
    }
}

struct Gated<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
    channels: usize,
}

impl Pass for Gated<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S, activation: Activation) {
        for (x, out) in self.x.chunks_exact(2 * self.channels).zip(self.out.chunks_exact_mut(self.channels)) {
            let (gates, values) = x.split_at(self.channels);
            for ((gates, values), out) in
                gates.chunks(S::LANES).zip(values.chunks(S::LANES)).zip(out.chunks_mut(S::LANES))
            {
                let gate = activation.of(s, s.load_partial(gates, 0.0));
                s.store_partial(out, s.mul(gate, s.load_partial(values, 0.0)));
            }
        }
    }
}
