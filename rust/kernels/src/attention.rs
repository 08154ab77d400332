//! Causal attention over a bounded window, with the keys and values of the window in a ring.
//!
//! Cost and memory are linear in length; positions have no limit. The ring of a head is read in the order in which it
//! lies: keys in tiles of 64 positions, channel by channel, so that scores are plain runs of multiply-adds; values position
//! by position. Each sum is taken from the oldest position to the newest wherever the ring begins.

use crate::simd::{Kernel, Level, MAX_LANES, Simd};

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
    fn capacity(&self) -> usize {
        (self.window - 1 + BLOCK).next_multiple_of(TILE)
    }

    fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    fn step_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }
}

/// Floats of cache that one session needs.
pub fn cache_len(shape: &Attention) -> usize {
    // The last value is read by whole vectors.
    2 * shape.kv_width() * shape.capacity() + MAX_LANES
}

/// Attends from each step of `qkv` `(steps, (heads + 2 kv_heads) * head_dim)` to the window before it, writing
/// `(steps, heads * head_dim)`.
///
/// `position` is how many steps the cache has seen; `rotary` holds for each step the cosines, then the sines of its
/// `head_dim / 2` angles (half-split order: channel `i` turns with `i + head_dim / 2`).
///
/// # Panics
/// If the lengths do not agree.
pub fn attend(
    level: Level,
    shape: &Attention,
    position: u64,
    rotary: &[f32],
    qkv: &[f32],
    cache: &mut [f32],
    out: &mut [f32],
) {
    let steps = rotary.len() / shape.head_dim;
    assert!(shape.window > 0 && shape.head_dim.is_multiple_of(2) && shape.heads.is_multiple_of(shape.kv_heads));
    assert_eq!(rotary.len(), steps * shape.head_dim, "attention: angles");
    assert_eq!(qkv.len(), steps * shape.step_width(), "attention: steps");
    assert_eq!(out.len(), steps * shape.heads * shape.head_dim, "attention: output");
    assert_eq!(cache.len(), cache_len(shape), "attention: cache");
    let (keys, values) = cache.split_at_mut(shape.kv_width() * shape.capacity());
    level.run(Attend { shape, position, rotary, qkv, keys, values, out });
}

struct Attend<'a> {
    shape: &'a Attention,
    position: u64,
    rotary: &'a [f32],
    qkv: &'a [f32],
    keys: &'a mut [f32],
    values: &'a mut [f32],
    out: &'a mut [f32],
}

impl Kernel for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let shape = *self.shape;
        let mut query = vec![0.0; shape.head_dim];
        let mut scores = vec![0.0; shape.window.next_multiple_of(MAX_LANES) + MAX_LANES];
        let (step_width, out_width) = (shape.step_width(), shape.heads * shape.head_dim);
        let steps = self.rotary.len() / shape.head_dim;
        for from in (0..steps).step_by(BLOCK) {
            let block = from..steps.min(from + BLOCK);
            for step in block.clone() {
                self.remember(step);
            }
            for step in block {
                let window = self.window(step);
                let rotary = &self.rotary[step * shape.head_dim..][..shape.head_dim];
                for head in 0..shape.heads {
                    rotate(
                        rotary,
                        &self.qkv[step * step_width + head * shape.head_dim..][..shape.head_dim],
                        &mut query,
                    );
                    let scale = 1.0 / (shape.head_dim as f32).sqrt();
                    query.iter_mut().for_each(|q| *q *= scale);
                    let kv_head = head / (shape.heads / shape.kv_heads);
                    self.score(s, kv_head, &window, &query, &mut scores);
                    let total = softmax(s, &mut scores[..window.len().next_multiple_of(S::LANES)]);
                    let out = step * out_width + head * shape.head_dim;
                    self.gather(s, kv_head, &window, &scores, 1.0 / total, out);
                }
            }
        }
    }
}

/// The positions a query sees, as at most two runs of ring slots: the older first.
struct Window {
    older: std::ops::Range<usize>,
    newer: std::ops::Range<usize>,
}

impl Window {
    fn len(&self) -> usize {
        self.older.len() + self.newer.len()
    }
}

impl Attend<'_> {
    /// Writes the key and value of a step into the ring.
    #[inline(always)]
    fn remember(&mut self, step: usize) {
        let shape = self.shape;
        let (dim, width) = (shape.head_dim, shape.kv_width());
        let slot = self.slot(self.position + step as u64);
        let rotary = &self.rotary[step * dim..][..dim];
        let (keys, values) = self.qkv[step * shape.step_width() + shape.heads * dim..][..2 * width].split_at(width);
        let (cosines, sines) = rotary.split_at(dim / 2);
        for (head, key) in keys.chunks_exact(dim).enumerate() {
            let (low, high) = key.split_at(dim / 2);
            let column = (head * shape.capacity() + slot / TILE * TILE) * dim + slot % TILE;
            for i in 0..dim / 2 {
                self.keys[column + i * TILE] = low[i] * cosines[i] - high[i] * sines[i];
                self.keys[column + (i + dim / 2) * TILE] = high[i] * cosines[i] + low[i] * sines[i];
            }
        }
        for (head, value) in values.chunks_exact(dim).enumerate() {
            self.values[(head * shape.capacity() + slot) * dim..][..dim].copy_from_slice(value);
        }
    }

    fn slot(&self, position: u64) -> usize {
        (position % self.shape.capacity() as u64) as usize
    }

    #[inline(always)]
    fn window(&self, step: usize) -> Window {
        let end = self.position + step as u64 + 1;
        let first = end.saturating_sub(self.shape.window as u64);
        let (count, start) = ((end - first) as usize, self.slot(first));
        let older = count.min(self.shape.capacity() - start);
        Window { older: start..start + older, newer: 0..count - older }
    }

    /// `scores[j] = query . key[j]` over the window; what is left of the last vector is filled with -infinity.
    #[inline(always)]
    fn score<S: Simd>(&self, s: S, kv_head: usize, window: &Window, query: &[f32], scores: &mut [f32]) {
        let head_len = self.shape.capacity() * self.shape.head_dim;
        let head = &self.keys[kv_head * head_len..][..head_len];
        let mut tile_scores = [0.0; TILE];
        let mut done = 0;
        for run in [&window.older, &window.newer] {
            let mut slot = run.start;
            while slot < run.end {
                let tile = slot / TILE;
                dots(s, &head[tile * TILE * query.len()..][..TILE * query.len()], query, &mut tile_scores);
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
    fn gather<S: Simd>(&mut self, s: S, kv_head: usize, window: &Window, weights: &[f32], scale: f32, out: usize) {
        let dim = self.shape.head_dim;
        let mut channel = 0;
        while channel < dim {
            let left = dim - channel;
            let out = &mut self.out[out + channel..][..left];
            let values = &self.values[kv_head * self.shape.capacity() * dim + channel..];
            let mix = Mix { values, dim, window, weights, scale };
            // SAFETY: less than a vector is read past the value, and the values go on for one after the last of them.
            channel +=
                unsafe { if left > 3 * S::LANES { mix.vectors::<S, 4>(s, out) } else { mix.vectors::<S, 1>(s, out) } };
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
