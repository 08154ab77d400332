//! Windowed attention with rotary positions.

use super::*;
use crate::ops::{Attention, AttentionShape, Rotary};

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
        let shape = AttentionShape { heads, kv_heads, head_dim, window };
        let random = &mut Random::new(seed as u64);
        let width = (heads + 2 * kv_heads) * head_dim;
        let mut made = made(SESSIONS, |backend, layout| {
            Ok((Attention::new(backend, layout, shape), Rotary::new(backend, head_dim, 100.0)))
        });
        // Twice: the second time a session has seen what it had seen, another begins anew.
        for round in 0..2 {
            for cut in &CUTS {
                let (rows, steps) = (cut.rows.len(), cut.strides);
                let qkv = tensor(&random.floats(rows * steps * width), (rows, steps, width));
                let outs = made.each_mut().map(|made| {
                    made.run(steps, cut, |(attention, rotary), block| {
                        attention.forward(&qkv, &rotary.angles(steps, block)?, block)
                    })
                });
                agree(&outs, |_| attention_error(&shape), &format!("{shape:?}, round {round}"));
            }
            made.iter_mut().for_each(|made| made.state.reset(1).unwrap());
        }
    }
}

#[test]
fn a_session_is_the_same_alone() {
    let shape = AttentionShape { heads: 2, kv_heads: 1, head_dim: 6, window: 5 };
    let width = 4 * 6;
    let make = |backend: &Backend, layout: &mut StateLayout| {
        Ok((Attention::new(backend, layout, shape), Rotary::new(backend, 6, 100.0)))
    };
    let [_, mut together, _] = made(SESSIONS, make);
    let [_, mut alone, _] = made(1, make);
    let random = &mut Random::new(71);
    for cut in &CUTS {
        let (rows, steps) = (cut.rows.len(), cut.strides);
        let qkv = tensor(&random.floats(rows * steps * width), (rows, steps, width));
        let forward = |qkv: Tensor| {
            move |(attention, rotary): &(Attention, Rotary), block: &Block<'_>| {
                attention.forward(&qkv, &rotary.angles(steps, block)?, block)
            }
        };
        let out = together.run(steps, cut, forward(qkv.clone()));
        if let Some(i) = cut.rows.iter().position(|&row| row == 2) {
            let own = qkv.narrow(0, i, 1).unwrap();
            let own = alone.run(steps, &Cut { rows: &[0], strides: steps, end: cut.end }, forward(own));
            assert_eq!(floats(&own), floats(&out.narrow(0, i, 1).unwrap()));
        }
    }
}

#[test]
fn angles_stay_exact_after_days() {
    let rotary = Rotary::new(&Backend::Composed(Device::Cpu), 8, 10_000.0);
    let mut state = State::new(&StateLayout::default(), 2, &Device::Cpu).unwrap();
    let days = 25 * 86_400 * 30 + 7;
    state.advance(&[1], days);
    let table = rotary.angles(3, &Block { state: &state, rows: &[1, 0], end: false }).unwrap();
    assert_eq!(table.dims(), [2, 3, 8]);
    let table: Vec<Vec<Vec<f32>>> = table.to_vec3().unwrap();
    for (row, start) in [(0, days), (1, 0)] {
        for (step, angles) in table[row].iter().enumerate() {
            for i in 0..4 {
                let frequency = f64::from(1.0 / 10_000_f32.powf(2.0 * i as f32 / 8.0));
                // The whole turns are taken off first.
                let angle = ((start + step) as f64 * frequency).rem_euclid(std::f64::consts::TAU);
                for (got, exact) in [(angles[i], angle.cos()), (angles[4 + i], angle.sin())] {
                    assert!((f64::from(got) - exact).abs() < 1e-7, "{got} is not {exact}");
                }
            }
        }
    }
}
