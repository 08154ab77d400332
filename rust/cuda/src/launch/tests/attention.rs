//! Attention, step by step and in long blocks.

use mimi_kernels::{self as kernels, Steps, Threads, attend, cache_len, simd::Level};

use super::{Device, Fault, Memory, NO_FAULTS, Numbers, States, assert_bits, assert_untouched, in_both_orders, only};
use crate::launch::{Attention, Rows, attention};

const AT: usize = 5;
const STEPS_PER_FRAME: usize = 2;

/// Some rows that attend on both sides.
struct Layer {
    shape: kernels::Attention,
    states: States,
    caches: Vec<Vec<f32>>,
    numbers: Numbers,
}

impl Layer {
    /// Rows that have seen so many frames.
    fn new(level: Level, shape: kernels::Attention, seen: &[u64], seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let mut states = States::new(seen.len(), AT + cache_len(&shape));
        let mut caches = Vec::new();
        for (row, &frames) in seen.iter().enumerate() {
            // Filled as the last steps of a long clip would have done it.
            let mut cache = vec![0.0; cache_len(&shape)];
            let position = frames * STEPS_PER_FRAME as u64;
            let steps = position.min(2 * shape.window as u64) as usize;
            let (qkv, rotary) = (numbers.take(steps * width(&shape)), numbers.take(steps * shape.head_dim));
            let new = Steps { position: position - steps as u64, rotary: &rotary, qkv: &qkv };
            let mut out = vec![0.0; steps * shape.heads * shape.head_dim];
            attend(level, &shape, new, &mut cache, &mut out, &Threads::new(1));
            states.sessions[row].frames = frames;
            // What lies past the window may be anything.
            let mut state = states.memory[row].read::<f32>();
            if frames > 0 {
                state[AT..].copy_from_slice(&cache);
                states.memory[row].write(&state);
            } else {
                state[AT..].iter_mut().zip(&mut cache).for_each(|(state, cache)| *cache = *state);
            }
            caches.push(cache);
        }
        Self { shape, states, caches, numbers }
    }

    /// Attends on both sides and compares outputs and rings; `blocks` as for a device that so many blocks fill.
    fn step(&mut self, device: &Device, level: Level, frames: usize, resting: &[usize], blocks: usize) {
        let kernels::Attention { heads, head_dim, .. } = self.shape;
        let (rows, steps) = (self.caches.len(), frames * STEPS_PER_FRAME);
        let qkv = self.numbers.take(rows * steps * width(&self.shape));
        let rotary = self.numbers.take(rows * steps * head_dim);
        let (qkv_memory, rotary_memory) = (Memory::of(&qkv), Memory::of(&rotary));
        let out = Memory::new(rows * steps * heads * head_dim * 4);
        let sessions = self.states.with_resting(resting);
        let own = Attention {
            shape: self.shape,
            steps_per_frame: STEPS_PER_FRAME,
            ring_at: AT,
            qkv: qkv_memory.span(),
            rotary: rotary_memory.span(),
            out: out.span(),
            faults: device.faults.span(),
        };
        device.run(attention::prepare(&Rows { sessions: Some(sessions.span()), rows, steps }, &own, blocks).unwrap());
        assert_eq!(device.faults(), NO_FAULTS, "{:?}", self.shape);
        let got = out.read::<f32>();
        for row in 0..rows {
            let got = &got[row * steps * heads * head_dim..][..steps * heads * head_dim];
            if resting.contains(&row) {
                assert_untouched(got, "a row that rests");
            } else {
                let mut expected = vec![0.0; got.len()];
                let new = Steps {
                    position: self.states.sessions[row].frames * STEPS_PER_FRAME as u64,
                    rotary: &rotary[row * steps * head_dim..][..steps * head_dim],
                    qkv: &qkv[row * steps * width(&self.shape)..][..steps * width(&self.shape)],
                };
                attend(level, &self.shape, new, &mut self.caches[row], &mut expected, &Threads::new(1));
                let what = format!(
                    "{:?} after {} frames, {frames} more, row {row}",
                    self.shape, self.states.sessions[row].frames
                );
                assert_bits(got, &expected, &what);
            }
            let state = self.states.memory[row].read::<f32>();
            assert_untouched(&state[..AT], "another layer's state");
            assert_bits(&state[AT..], &self.caches[row], "the ring");
        }
        self.states.advance(resting, frames as u64);
    }
}

fn width(shape: &kernels::Attention) -> usize {
    (shape.heads + 2 * shape.kv_heads) * shape.head_dim
}

fn shape(heads: usize, kv_heads: usize, head_dim: usize, window: usize) -> kernels::Attention {
    kernels::Attention { heads, kv_heads, head_dim, window }
}

#[test]
fn outputs_and_rings_are_those_of_the_cpu() {
    in_both_orders(|device, level| {
        let shapes = [
            shape(1, 1, 2, 1),
            shape(2, 2, 8, 5),
            shape(4, 2, 6, 16),
            shape(6, 1, 10, 33),
            shape(2, 2, 64, 49),
            shape(8, 2, 16, 50),
            shape(2, 1, 128, 72),
            shape(3, 1, 256, 20),
            shape(2, 2, 36, 300),
        ];
        for (seed, shape) in shapes.into_iter().enumerate() {
            for blocks in [usize::MAX, 0] {
                let mut layer = Layer::new(level, shape, &[0, 3, 1_000_003], seed as u64);
                for (frames, resting) in
                    [(1, &[][..]), (1, &[1]), (2, &[0, 2]), (8, &[]), (9, &[1]), (1, &[]), (3, &[])]
                {
                    layer.step(device, level, frames, resting, blocks);
                }
            }
        }
    });
}

/// Mimi's own, until the ring has come round.
#[test]
fn mimi_attends_as_on_the_cpu() {
    in_both_orders(|device, level| {
        let mut layer = Layer::new(level, shape(8, 8, 64, 250), &[0, 124, 170], 11);
        for blocks in [usize::MAX, 0] {
            for (frames, resting) in [(1, &[][..]), (1, &[0]), (20, &[]), (1, &[])] {
                layer.step(device, level, frames, resting, blocks);
            }
        }
    });
}

/// Windows for which shared memory is short.
#[test]
fn long_windows() {
    in_both_orders(|device, level| {
        for (window, head_dim) in [(1500, 8), (2000, 64), (7000, 4)] {
            let mut layer = Layer::new(level, shape(1, 1, head_dim, window), &[0, window as u64 / 2], 12);
            layer.step(device, level, 1, &[], usize::MAX);
            layer.step(device, level, 2, &[], 0);
        }
    });
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let memory = Memory::new(0);
    let prepare = |shape| {
        let (steps_per_frame, ring_at, span) = (1, 0, memory.span());
        let own = Attention { shape, steps_per_frame, ring_at, qkv: span, rotary: span, out: span, faults: span };
        attention::prepare(&Rows { sessions: Some(span), rows: 0, steps: 0 }, &own, 1)
    };
    let faults = "expected faults";
    for (wrong, message) in [
        (shape(2, 2, 7, 5), "whole heads"),
        (shape(3, 2, 8, 5), "whole heads"),
        (shape(0, 1, 8, 5), "whole heads"),
        (shape(2, 2, 8, 0), "whole heads"),
        (shape(2, 2, 258, 5), "heads of at most"),
        (shape(2, 2, 64, 1 << 20), "a window that fits"),
        (shape(2, 2, 64, 250), faults),
    ] {
        let error = prepare(wrong).err().unwrap().to_string();
        assert!(error.contains(message), "{wrong:?}: {error}");
    }
}

/// Values that twice would not be finite, wherever they are.
#[test]
fn values_without_room_are_a_fault() {
    in_both_orders(|device, level| {
        let own_shape = shape(4, 2, 6, 9);
        let (rows, steps) = (2, 2);
        let layer = Layer::new(level, own_shape, &[4, 4], 13);
        let out = Memory::new(rows * steps * 4 * 6 * 4);
        let rotary = Memory::of(&vec![0.5_f32; rows * steps * 6]);
        let bound = 2.0_f32.powi(126);
        for (value, wrong) in [(bound, 1), (-bound, 1), (f32::INFINITY, 1), (f32::NAN, 1), (bound.next_down(), 0)] {
            for at in 0..steps * width(&own_shape) {
                let mut qkv = vec![0.25_f32; rows * steps * width(&own_shape)];
                qkv[steps * width(&own_shape) + at] = value;
                let qkv = Memory::of(&qkv);
                for (resting, wrong) in [(&[][..], wrong), (&[1][..], 0)] {
                    let sessions = layer.states.with_resting(resting);
                    let own = Attention {
                        shape: own_shape,
                        steps_per_frame: 1,
                        ring_at: AT,
                        qkv: qkv.span(),
                        rotary: rotary.span(),
                        out: out.span(),
                        faults: device.faults.span(),
                    };
                    let of_step = Rows { sessions: Some(sessions.span()), rows, steps };
                    device.run(attention::prepare(&of_step, &own, usize::MAX).unwrap());
                    assert_eq!(device.faults(), only(Fault::Attention, wrong), "{value} at {at}");
                }
            }
        }
    });
}
