//! Windowed attention with rotary positions.

use super::*;
use crate::ops::{Attention, AttentionShape, Rotary};

type Layer = (Box<dyn Attention>, Box<dyn Rotary>);

/// Heads, key-value heads, head size, window.
const SHAPES: [(usize, usize, usize, usize); 8] = [
    (1, 1, 2, 1),
    (1, 1, 6, 2),
    (2, 2, 20, 3),
    (4, 2, 6, 7),
    (4, 1, 16, 16),
    (3, 3, 10, 17),
    (2, 1, 64, 25),
    (2, 2, 32, 250),
];

/// Scores are sums of `head_dim` products of at most 2, over the root of `head_dim`; their error is the weights'
/// relative one, on both sides. Values are at most 1, and mixed with a rounding for each position seen.
fn attention_error(shape: &AttentionShape) -> f32 {
    let dim = shape.head_dim as f32;
    let score_error = (2.0 * dim + 8.0) * ROUNDING * 2.0 * dim.sqrt();
    2.0 * (2.0 * score_error + (4 * shape.window.min(30) + 20) as f32 * ROUNDING)
}

#[test]
fn blocks_of_all_sessions() {
    for (seed, (heads, kv_heads, head_dim, window)) in SHAPES.into_iter().enumerate() {
        let shape = AttentionShape { heads, kv_heads, head_dim, window, rows_per_frame: 1 };
        let random = &mut Random::new(seed as u64);
        let width = (heads + 2 * kv_heads) * head_dim;
        let mut made =
            made(SESSIONS, |backend, layout| Ok((backend.attention(layout, shape)?, backend.rotary(shape, 100.0)?)));
        // Twice: the second time a session has seen what it had seen, another begins anew.
        for round in 0..2 {
            for cut in &CUTS {
                let (rows, steps) = (cut.rows.len(), cut.strides);
                let qkv = signal(&random.floats(rows * steps * width), (rows, steps, width));
                let outs = made.each_mut().map(|made| {
                    made.run(steps, cut, |(attention, rotary), block| {
                        attention.forward(&qkv, &rotary.angles(steps, block)?, block)
                    })
                });
                agree(&outs, |_| attention_error(&shape), &format!("{shape:?}, round {round}"));
            }
            made.iter_mut().for_each(|made| made.state.reset(&[1]).unwrap());
        }
    }
}

#[test]
fn a_session_is_the_same_alone() {
    let shape = AttentionShape { heads: 2, kv_heads: 1, head_dim: 6, window: 5, rows_per_frame: 1 };
    let width = 4 * 6;
    let make = |backend: &dyn Backend, layout: &mut Slots| -> Result<Layer> {
        Ok((backend.attention(layout, shape)?, backend.rotary(shape, 100.0)?))
    };
    let [_, mut together, _] = made(SESSIONS, make);
    let [_, mut alone, _] = made(1, make);
    let random = &mut Random::new(71);
    for cut in &CUTS {
        let (rows, steps) = (cut.rows.len(), cut.strides);
        let qkv = signal(&random.floats(rows * steps * width), (rows, steps, width));
        let forward = |qkv: Signal| {
            move |(attention, rotary): &Layer, block: &Block<'_>| {
                attention.forward(&qkv, &rotary.angles(steps, block)?, block)
            }
        };
        let out = together.run(steps, cut, forward(signal_of(qkv.tensor().unwrap())));
        if let Some(i) = cut.rows.iter().position(|&row| row == 2) {
            let row = |signal: &Signal| signal_of(&signal.tensor().unwrap().narrow(0, i, 1).unwrap());
            let own = row(&qkv);
            let own = alone.run(steps, &Cut { rows: &[0], strides: steps, end: cut.end }, forward(own));
            assert_eq!(floats(&own), floats(&row(&out)));
        }
    }
}

#[test]
fn angles_stay_exact_after_days() {
    let shape = AttentionShape { heads: 1, kv_heads: 1, head_dim: 8, window: 5, rows_per_frame: 1 };
    let mut state = state(&composed(), &Slots::default(), 2);
    let days = 25 * 86_400 * 30 + 7;
    state.advance(&[1], days);
    for (name, backend) in backends() {
        let rotary = backend.rotary(shape, 10_000.0).unwrap();
        let angles = rotary.angles(3, &Block::new(&state, &[1, 0], false)).unwrap();
        assert_eq!(angles.table.dims(), [2, 3, 8]);
        let table: Vec<Vec<Vec<f32>>> = angles.table.tensor().unwrap().to_vec3().unwrap();
        for (row, start) in [(0, days), (1, 0)] {
            for (step, angles) in table[row].iter().enumerate() {
                for i in 0..4 {
                    let frequency = f64::from(1.0 / 10_000_f32.powf(2.0 * i as f32 / 8.0));
                    // The whole turns are taken off first.
                    let angle = ((start + step) as f64 * frequency).rem_euclid(std::f64::consts::TAU);
                    for (got, exact) in [(angles[i], angle.cos()), (angles[4 + i], angle.sin())] {
                        assert!((f64::from(got) - exact).abs() < 1e-7, "{name}: {got} is not {exact}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_mask_of_a_block() {
    let (heads, kv_heads, head_dim) = (1, 1, 2);
    let mut state = state(&composed(), &Slots::default(), 4);
    for (row, seen) in [(1, 2), (2, 4), (3, 1 << 40)] {
        state.advance(&[row], seen);
    }
    for window in [1, 2, 5, 6] {
        let rotary =
            composed().rotary(AttentionShape { heads, kv_heads, head_dim, window, rows_per_frame: 1 }, 100.0).unwrap();
        let before = window - 1;
        // Shorter and longer than the window, and longer than what is there from the start.
        for steps in [1, 3, 9, 300] {
            let block = Block::new(&state, &[3, 0, 2, 1], false);
            let mask = rotary.angles(steps, &block).unwrap().mask.unwrap();
            assert_eq!(mask.dims(), [4, 1, steps, before + steps]);
            let mask: Vec<Vec<Vec<f32>>> = mask.squeeze(1).unwrap().to_vec3().unwrap();
            for (i, row) in mask.iter().enumerate() {
                let empty = (before as u64).saturating_sub(block.position(i, 1)) as usize;
                for (step, row) in row.iter().enumerate() {
                    for (at, &lowered) in row.iter().enumerate() {
                        let visible = at >= empty && (step..=step + before).contains(&at);
                        assert_eq!(lowered == 0.0, visible, "window {window}, row {i}, step {step} of {steps}, {at}");
                        assert_eq!(lowered.exp() == 0.0, !visible);
                    }
                }
            }
        }
    }
}

#[test]
fn the_canonical_form_is_one_for_all_backends() {
    for (seed, (heads, kv_heads, head_dim, window)) in SHAPES.into_iter().enumerate() {
        let shape = AttentionShape { heads, kv_heads, head_dim, window, rows_per_frame: 1 };
        let random = &mut Random::new(100 + seed as u64);
        let width = (heads + 2 * kv_heads) * head_dim;
        // Below, at and above the window, and where a ring has gone round.
        for seen in [0, 1, window - 1, window, window + 17, 3 * window + 80] {
            let mut made =
                made(1, |backend, layout| Ok((backend.attention(layout, shape)?, backend.rotary(shape, 100.0)?)));
            let mut run = |steps: usize, made: &mut [Made<Layer>; 3]| {
                let qkv = signal(&random.floats(steps * width), (1, steps, width));
                let cut = Cut { rows: &[0], strides: steps, end: false };
                made.each_mut().map(|made| {
                    made.run(steps, &cut, |(attention, rotary), block| {
                        attention.forward(&qkv, &rotary.angles(steps, block)?, block)
                    })
                })
            };
            if seen > 0 {
                run(seen, &mut made);
            }
            let windows = made.each_ref().map(|made| {
                let kept = made.state.row(made.operation.0.slot(), 0).unwrap();
                made.operation.0.to_canonical(&kept, seen as u64).unwrap()
            });
            let what = format!("{shape:?} after {seen}");
            assert_eq!(windows[0].len(), (window - 1) * 2 * kv_heads * head_dim, "{what}");
            assert!(
                windows[0][..(window - 1).saturating_sub(seen) * 2 * kv_heads * head_dim].iter().all(|&x| x == 0.0)
            );
            // A turned key is two products and a sum, of values below one.
            assert_close(&windows[1], &windows[0], |_| 4.0 * ROUNDING, &what);
            assert_eq!(windows[1], windows[2], "{what}");
            // Each goes on from the other's window, though other sessions' values lay in its memory.
            for (made, window) in made.iter_mut().zip([&windows[1], &windows[0], &windows[0]]) {
                let slot = made.operation.0.slot();
                let kept = made.operation.0.of_canonical(window, seen as u64).unwrap();
                made.state.set_row(slot, 0, &kept).unwrap();
            }
            let outs = run(5, &mut made);
            agree(&outs, |_| attention_error(&shape), &what);
        }
    }
}
