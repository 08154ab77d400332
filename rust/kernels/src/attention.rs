//! Causal attention over a bounded window, with the keys and values of the window in a ring.
//!
//! Cost and memory are linear in length; positions have no limit. The ring of a head is read in the order in which it
//! lies: keys in tiles of 64 positions, channel by channel, so that scores are plain runs of multiply-adds; values position
//! by position. Each sum is taken from the oldest position to the newest wherever the ring begins.

mod canonical;

use std::ops::Range;

use crate::simd::{Kernel, Level, MAX_LANES, Simd};
use crate::threads::{Shared, Threads};

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
        let mut query = vec![0.0; shape.head_dim];
        let mut scores = vec![0.0; shape.window.next_multiple_of(MAX_LANES) + MAX_LANES];
        let served = shape.heads / shape.kv_heads;
        let steps = self.new.rotary.len() / shape.head_dim;
        for from in (0..steps).step_by(BLOCK) {
            let block = from..steps.min(from + BLOCK);
            for step in block.clone() {
                self.remember(step);
            }
            for step in block {
                let window = self.window(step);
                let rotary = &self.new.rotary[step * shape.head_dim..][..shape.head_dim];
                for head in self.kv_head * served..(self.kv_head + 1) * served {
                    rotate(rotary, self.channels(step, head), &mut query);
                    let scale = 1.0 / (shape.head_dim as f32).sqrt();
                    query.iter_mut().for_each(|q| *q *= scale);
                    self.score(s, &window, &query, &mut scores);
                    let total = softmax(s, &mut scores[..window.len().next_multiple_of(S::LANES)]);
                    let at = (step * shape.heads + head) * shape.head_dim;
                    // SAFETY: `out` has `head_dim` floats for each step and head, and this head is nobody else's.
                    let out = unsafe { std::slice::from_raw_parts_mut(self.out.get().add(at), shape.head_dim) };
                    self.gather(s, &window, &scores, 1.0 / total, out);
                }
            }
        }
    }
}

/// The positions a query sees, as at most two runs of ring slots: the older first.
struct Window {
    older: Range<usize>,
    newer: Range<usize>,
}

impl Window {
    fn len(&self) -> usize {
        self.older.len() + self.newer.len()
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

    #[inline(always)]
    fn window(&self, step: usize) -> Window {
        let end = self.new.position + step as u64 + 1;
        let first = end.saturating_sub(self.shape.window as u64);
        let (count, start) = ((end - first) as usize, self.slot(first));
        let older = count.min(self.shape.capacity() - start);
        Window { older: start..start + older, newer: 0..count - older }
    }

    /// `scores[j] = query . key[j]` over the window; what is left of the last vector is filled with -infinity.
    #[inline(always)]
    fn score<S: Simd>(&self, s: S, window: &Window, query: &[f32], scores: &mut [f32]) {
        let mut tile_scores = [0.0; TILE];
        let mut done = 0;
        for run in [&window.older, &window.newer] {
            let mut slot = run.start;
            while slot < run.end {
                let tile = slot / TILE;
                dots(s, &self.keys[tile * TILE * query.len()..][..TILE * query.len()], query, &mut tile_scores);
                let end = run.end.min((tile + 1) * TILE);
                scores[done..done + end - slot].copy_from_slice(&tile_scores[slot - tile * TILE..end - tile * TILE]);
                done += end - slot;
                slot = end;
            }
        }
        scores[done..done.next_multiple_of(S::LANES)].fill(f32::NEG_INFINITY);
    }

    /// `out = scale * sum_j weights[j] * value[j]` over the window.
    #[inline(always)]
    fn gather<S: Simd>(&self, s: S, window: &Window, weights: &[f32], scale: f32, out: &mut [f32]) {
        let dim = self.shape.head_dim;
        let mut channel = 0;
        while channel < dim {
            let out = &mut out[channel..];
            let mix = Mix { values: &self.values[channel..], dim, window, weights, scale };
            // SAFETY: less than a vector is read past the value, and the values go on for one after the last of them.
            channel += unsafe {
                if out.len() > 3 * S::LANES { mix.vectors::<S, 4>(s, out) } else { mix.vectors::<S, 1>(s, out) }
            };
        }
    }
}

/// The values of a head, from some channel on, and the weights to mix them with.
struct Mix<'a> {
    values: &'a [f32],
    dim: usize,
    window: &'a Window,
    weights: &'a [f32],
    scale: f32,
}

impl Mix<'_> {
    /// Mixes `N` vectors of channels, and returns how many channels that is.
    ///
    /// # Safety
    /// `values` can be read for `N` vectors at each slot of the window.
    #[inline(always)]
    unsafe fn vectors<S: Simd, const N: usize>(&self, s: S, out: &mut [f32]) -> usize {
        let mut sums = [s.splat(0.0); N];
        let mut weights = self.weights.iter();
        for run in [&self.window.older, &self.window.newer] {
            for (slot, &weight) in run.clone().zip(weights.by_ref().take(run.len())) {
                let weight = s.splat(weight);
                for (v, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the caller's promise.
                    let value = unsafe { s.load(self.values.as_ptr().add(slot * self.dim + v * S::LANES)) };
                    *sum = s.mul_add(weight, value, *sum);
                }
            }
        }
        for (sum, out) in sums.into_iter().zip(out.chunks_mut(S::LANES)) {
            s.store_partial(out, s.mul(sum, s.splat(self.scale)));
        }
        N * S::LANES
    }
}

/// `out[j] = query . keys[.., j]` for a tile of keys `(query.len(), TILE)`.
#[inline(always)]
fn dots<S: Simd>(s: S, keys: &[f32], query: &[f32], out: &mut [f32; TILE]) {
    const VECTORS: usize = 4;
    for part in (0..TILE).step_by(VECTORS * S::LANES) {
        let mut sums = [s.splat(0.0); VECTORS];
        for (row, &q) in keys.chunks_exact(TILE).zip(query) {
            let q = s.splat(q);
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `TILE` is a multiple of four vectors of any level.
                let key = unsafe { s.load(row.as_ptr().add(part + v * S::LANES)) };
                *sum = s.mul_add(q, key, *sum);
            }
        }
        for (v, sum) in sums.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { s.store(out.as_mut_ptr().add(part + v * S::LANES), sum) };
        }
    }
}

/// Turns whole vectors of scores into `e^(score - max)` and returns their sum.
#[inline(always)]
fn softmax<S: Simd>(s: S, scores: &mut [f32]) -> f32 {
    let mut greatest = s.splat(f32::NEG_INFINITY);
    for chunk in scores.chunks_exact(S::LANES) {
        greatest = s.max(greatest, s.load_partial(chunk, 0.0));
    }
    let greatest = s.splat(s.reduce_max(greatest));
    let mut total = s.splat(0.0);
    for chunk in scores.chunks_exact_mut(S::LANES) {
        let weight = crate::math::exp(s, s.sub(s.load_partial(chunk, 0.0), greatest));
        total = s.add(total, weight);
        s.store_partial(chunk, weight);
    }
    s.reduce_add(total)
}

/// Turns each pair `(i, i + dim / 2)` of `x` by its angle.
#[inline(always)]
fn rotate(rotary: &[f32], x: &[f32], out: &mut [f32]) {
    let half = x.len() / 2;
    let (cosines, sines) = rotary.split_at(half);
    let (low, high) = x.split_at(half);
    for i in 0..half {
        out[i] = low[i] * cosines[i] - high[i] * sines[i];
        out[i + half] = high[i] * cosines[i] + low[i] * sines[i];
    }
}
