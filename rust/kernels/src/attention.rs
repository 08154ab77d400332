//! Causal attention over a bounded window, with the keys and values of the window in a ring.
//!
//! Cost and memory are linear in length; positions have no limit. The ring of a head is read in the order in which it
//! lies: keys in tiles of 64 positions, channel by channel, so that scores are plain runs of multiply-adds; values position
//! by position. Each sum is taken from the oldest position to the newest wherever the ring begins.

mod ahead;
mod answer;
mod canonical;

use std::ops::Range;

use crate::simd::{Kernel, Level, MAX_LANES, Simd};
use crate::threads::{Shared, Threads};
use answer::Scratch;

pub use canonical::{cache_of_window, window_of_cache};

/// The shape of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Floats per head, an even number.
    pub head_dim: usize,
    /// Positions that a query sees, its own included.
    pub window: usize,
}

/// Positions that enter the ring before their queries are answered.
const BLOCK: usize = 16;

/// Positions in a tile of keys.
const TILE: usize = 64;

impl Attention {
    /// Positions the ring holds: at least the window before the first query of a block, and the block.
    ///
    /// # Panics
    /// If they cannot be counted, as all lengths of this shape.
    pub fn capacity(&self) -> usize {
        assert!(self.window > 0, "attention: a window of no positions");
        (self.window - 1).checked_add(BLOCK).and_then(|least| least.checked_next_multiple_of(TILE)).expect(TOO_LARGE)
    }

    /// Floats of cache of a key and value head: its keys, then its values, of which the last is read by whole vectors.
    fn head_cache_len(&self) -> usize {
        product([2, self.capacity(), self.head_dim]).checked_add(MAX_LANES).expect(TOO_LARGE)
    }

    fn step_width(&self) -> usize {
        let heads = product([2, self.kv_heads]).checked_add(self.heads).expect(TOO_LARGE);
        product([heads, self.head_dim])
    }
}

const TOO_LARGE: &str = "attention: a shape of more floats than there can be";

fn product<const N: usize>(factors: [usize; N]) -> usize {
    factors.into_iter().try_fold(1, usize::checked_mul).expect(TOO_LARGE)
}

/// Floats of cache that one session needs.
///
/// # Panics
/// If that is more than there can be, or the window is empty.
pub fn cache_len(shape: &Attention) -> usize {
    product([shape.kv_heads, shape.head_cache_len()])
}

/// Some floats of a cache: `len` of them at each of `count` places that lie `stride` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strips {
    /// The first of them.
    pub start: usize,
    /// Floats that lie side by side.
    pub len: usize,
    /// From one place to the next.
    pub stride: usize,
    /// Places.
    pub count: usize,
}

impl Strips {
    /// The runs of floats.
    pub fn runs(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.count).map(move |i| self.start + i * self.stride..self.start + i * self.stride + self.len)
    }
}

/// What [`attend`] writes of a session's cache for `steps` new steps after `position` others, each float once.
pub fn written(shape: &Attention, position: u64, steps: usize) -> impl Iterator<Item = Strips> {
    let Attention { kv_heads, head_dim: dim, .. } = *shape;
    let (capacity, head_len) = (shape.capacity(), shape.head_cache_len());
    let (first, steps) = ((position % capacity as u64) as usize, steps.min(capacity));
    // Slots of one tile.
    let run = move |&done: &usize| {
        let slot = (first + done) % capacity;
        (slot, (steps - done).min(TILE - slot % TILE))
    };
    let runs =
        std::iter::successors(Some(0), move |done| Some(done + run(done).1)).take_while(move |&done| done < steps);
    runs.flat_map(move |done| {
        let (slot, len) = run(&done);
        (0..kv_heads).flat_map(move |head| {
            let column = head * head_len + slot / TILE * TILE * dim + slot % TILE;
            let keys = Strips { start: column, len, stride: TILE, count: dim };
            let start = head * head_len + capacity * dim + slot * dim;
            [keys, Strips { start, len: len * dim, stride: 0, count: 1 }]
        })
    })
}

/// Steps of a session that are new.
#[derive(Clone, Copy)]
pub struct Steps<'a> {
    /// How many steps the session's cache has seen before them.
    pub position: u64,
    /// For each the cosines, then the sines of its `head_dim / 2` angles (half-split order: channel `i` turns with
    /// `i + head_dim / 2`).
    pub rotary: &'a [f32],
    /// Queries, keys and values, `(steps, (heads + 2 kv_heads) * head_dim)`.
    pub qkv: &'a [f32],
}

/// Attends from each of the new steps to the window that ends with it, writing `(steps, heads * head_dim)`. Threads share
/// the heads.
///
/// # Panics
/// If the lengths do not agree.
pub fn attend(level: Level, shape: &Attention, new: Steps<'_>, cache: &mut [f32], out: &mut [f32], threads: &Threads) {
    assert!(shape.head_dim > 0 && shape.head_dim.is_multiple_of(2), "attention: heads of {} floats", shape.head_dim);
    assert!(shape.kv_heads > 0 && shape.heads.is_multiple_of(shape.kv_heads), "attention: {shape:?}");
    let steps = new.rotary.len() / shape.head_dim;
    assert_eq!(new.rotary.len(), steps * shape.head_dim, "attention: angles");
    assert_eq!(new.qkv.len(), product([steps, shape.step_width()]), "attention: steps");
    assert_eq!(out.len(), product([steps, shape.heads, shape.head_dim]), "attention: output");
    assert!(new.position.checked_add(steps as u64).is_some(), "attention: position {}", new.position);
    assert_eq!(cache.len(), cache_len(shape), "attention: cache");
    let seen = shape.window.min(usize::try_from(new.position).unwrap_or(usize::MAX).saturating_add(steps));
    let parts = threads.parts(out.len().saturating_mul(seen).saturating_mul(2));
    let out = &Shared::new(out);
    threads.run_rows(parts, cache, shape.head_cache_len(), |first, caches| {
        for (i, cache) in caches.chunks_exact_mut(shape.head_cache_len()).enumerate() {
            let (keys, values) = cache.split_at_mut(shape.capacity() * shape.head_dim);
            level.run(Attend { shape, kv_head: first + i, new, keys, values, out });
        }
    });
}

/// The work of a key and value head and of the queries it serves.
struct Attend<'a> {
    shape: &'a Attention,
    kv_head: usize,
    new: Steps<'a>,
    keys: &'a mut [f32],
    values: &'a mut [f32],
    /// Of all heads.
    out: &'a Shared<f32>,
}

impl Kernel for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let shape = *self.shape;
        let mut scratch = Scratch::new(&shape);
        let served = shape.heads / shape.kv_heads;
        let steps = self.new.rotary.len() / shape.head_dim;
        for from in (0..steps).step_by(BLOCK) {
            let block = from..steps.min(from + BLOCK);
            for step in block.clone() {
                self.remember(step);
            }
            for step in block.clone().step_by(2) {
                for head in self.kv_head * served..(self.kv_head + 1) * served {
                    let last = step + 2 >= steps && head + 1 == (self.kv_head + 1) * served;
                    scratch.asks = [step == 0 && head == self.kv_head * served, last];
                    // Two queries read the ring once.
                    if step + 1 < block.end {
                        self.answer::<S, 2>(s, step, head, &mut scratch);
                    } else {
                        self.answer::<S, 1>(s, step, head, &mut scratch);
                    }
                }
            }
        }
    }
}

impl<'a> Attend<'a> {
    /// The channels of a step's head: query heads are counted first, then key heads, then value heads.
    #[inline(always)]
    fn channels(&self, step: usize, head: usize) -> &'a [f32] {
        &self.new.qkv[step * self.shape.step_width() + head * self.shape.head_dim..][..self.shape.head_dim]
    }

    /// Writes the key and value of a step into the ring.
    #[inline(always)]
    fn remember(&mut self, step: usize) {
        let Attention { heads, kv_heads, head_dim: dim, .. } = *self.shape;
        let slot = self.slot(self.new.position + step as u64);
        let (cosines, sines) = self.new.rotary[step * dim..][..dim].split_at(dim / 2);
        let (low, high) = self.channels(step, heads + self.kv_head).split_at(dim / 2);
        let column = slot / TILE * TILE * dim + slot % TILE;
        for i in 0..dim / 2 {
            self.keys[column + i * TILE] = low[i] * cosines[i] - high[i] * sines[i];
            self.keys[column + (i + dim / 2) * TILE] = high[i] * cosines[i] + low[i] * sines[i];
        }
        let value = self.channels(step, heads + kv_heads + self.kv_head);
        self.values[slot * dim..][..dim].copy_from_slice(value);
    }

    fn slot(&self, position: u64) -> usize {
        (position % self.shape.capacity() as u64) as usize
    }
}
