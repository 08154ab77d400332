//! Each operation on the kernels against the composition of candle operations that defines it, and both against the
//! definition in plain loops where they share code: sessions side by side, block after block.
//!
//! Weights and inputs are multiples of 1/8 up to 1, so that sums of products are exact in any order: what only
//! multiplies and adds must then be equal. Tolerances are for exponentials, roots and divisions.
#![allow(clippy::unwrap_used)]

mod attention;
mod codebooks;
mod conv;
mod conv_transpose;
mod dense;
mod policy;

use std::sync::Arc;

use candle_core::{Device, Tensor};
use mimi_kernels::Precision;

use super::candle::Composed;
use super::cpu::Kernels;
use super::{Backend, Signal, Weights};
use crate::error::Result;
use crate::ops::state::{Block, Slots, State};

/// The relative error of one rounding to float32.
const ROUNDING: f32 = 1.0 / (1 << 24) as f32;

/// Random numbers that are the same in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn eighths(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.below(17) as f32 / 8.0 - 1.0).collect()
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0).collect()
    }
}

/// An operation made for one backend, and what its sessions remember.
struct Made<T> {
    name: &'static str,
    operation: T,
    state: State,
}

fn composed() -> Composed {
    Composed::new(Device::Cpu)
}

/// The composition, then the kernels on one thread and on two.
fn backends() -> [(&'static str, Arc<dyn Backend>); 3] {
    let kernels = |threads| Arc::new(Kernels::new(threads, Precision::Float32));
    [("composed", Arc::new(composed())), ("one thread", kernels(1)), ("two threads", kernels(2))]
}

/// An operation made for each backend.
fn made<T>(sessions: usize, make: impl Fn(&dyn Backend, &mut Slots) -> Result<T>) -> [Made<T>; 3] {
    backends().map(|(name, backend)| {
        let mut layout = Slots::default();
        let operation = make(&*backend, &mut layout).unwrap();
        Made { name, operation, state: state(&*backend, &layout, sessions) }
    })
}

fn state(backend: &dyn Backend, layout: &Slots, sessions: usize) -> State {
    State::new(layout, sessions, backend.memory(layout, sessions).unwrap()).unwrap()
}

impl<T> Made<T> {
    /// Runs a block of `steps` steps, and counts them.
    fn run(&mut self, steps: usize, cut: &Cut, forward: impl Fn(&T, &Block<'_>) -> Result<Signal>) -> Signal {
        let block = Block::new(&self.state, cut.rows, cut.end);
        let out = forward(&self.operation, &block).unwrap();
        self.state.advance(cut.rows, steps);
        out
    }
}

/// A block: which sessions it is for, its length in strides, and whether their clips end with it.
struct Cut {
    rows: &'static [usize],
    strides: usize,
    end: bool,
}

const SESSIONS: usize = 3;

/// Sessions all together, in another order, some alone, some at rest; blocks shorter and longer than any history.
const CUTS: [Cut; 8] = [
    Cut { rows: &[0, 1, 2], strides: 3, end: false },
    Cut { rows: &[2, 0], strides: 1, end: false },
    Cut { rows: &[1], strides: 2, end: false },
    Cut { rows: &[1, 2, 0], strides: 1, end: false },
    Cut { rows: &[0, 2], strides: 9, end: false },
    Cut { rows: &[2], strides: 1, end: false },
    Cut { rows: &[2, 1], strides: 1, end: true },
    Cut { rows: &[0], strides: 4, end: true },
];

fn tensor(data: &[f32], dims: (usize, usize, usize)) -> Tensor {
    Tensor::from_slice(data, dims, &Device::Cpu).unwrap()
}

/// A signal of any layout.
fn signal_of(tensor: &Tensor) -> Signal {
    Signal::of(tensor.clone()).unwrap()
}

fn signal(data: &[f32], dims: (usize, usize, usize)) -> Signal {
    signal_of(&tensor(data, dims))
}

fn floats(signal: &Signal) -> Vec<f32> {
    signal.tensor().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Asserts that two results differ by no more than `allowed` gives for a value.
fn assert_close(got: &[f32], expected: &[f32], allowed: impl Fn(f32) -> f32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= allowed(expected), "{what}, element {i}: {got} is not {expected}");
    }
}

/// Asserts that the results of all backends are as near the composition's as `allowed` says, and those of the kernels
/// equal; gives the composition's.
fn agree(outs: &[Signal; 3], allowed: impl Fn(f32) -> f32, what: &str) -> Vec<f32> {
    let [composed, one, two] = outs;
    assert_eq!((one.dims(), two.dims()), (composed.dims(), composed.dims()), "{what}");
    let (composed, one, two) = (floats(composed), floats(one), floats(two));
    assert_close(&one, &composed, allowed, what);
    assert!(one.iter().zip(&two).all(|(one, two)| one.to_bits() == two.to_bits()), "{what}: threads");
    composed
}
