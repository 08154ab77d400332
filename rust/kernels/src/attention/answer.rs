//! The answers to the queries of one or two steps, which read the ring once.
//!
//! Memory answers later than the arithmetic is done, so what comes next is asked for meanwhile: the values while keys are
//! read, and the keys of the next head while values are.
//!
//! Scores and mixed values are sums of their own in each lane, so they are taken in the vectors of a product's tile.

use std::ops::Range;

use super::ahead::Ahead;
use super::{Attend, Attention, TILE};
use crate::simd::{MAX_LANES, Simd};

/// What the answers to up to two queries are worked out in.
pub(super) struct Scratch {
    queries: Vec<f32>,
    scores: [Vec<f32>; 2],
    /// Whether to ask for the values and for the next head's keys.
    pub(super) asks: [bool; 2],
}

impl Scratch {
    pub(super) fn new(shape: &Attention) -> Self {
        let scores = vec![0.0; shape.window.next_multiple_of(MAX_LANES) + MAX_LANES];
        Self { queries: vec![0.0; 2 * shape.head_dim], scores: [scores.clone(), scores], asks: [false; 2] }
    }
}

/// The positions that queries of steps one after the other see, in their order.
struct Window<const Q: usize> {
    /// Where the first of them is in the ring.
    start: usize,
    capacity: usize,
    /// How many they are.
    len: usize,
    /// Which of them each query sees.
    seen: [Range<usize>; Q],
}

impl<const Q: usize> Window<Q> {
    /// Some of them, as at most two runs of ring slots: the older first.
    #[inline(always)]
    fn slots(&self, places: &Range<usize>) -> [Range<usize>; 2] {
        let slot = |place: usize| self.start + place;
        let older = slot(places.start).min(self.capacity)..slot(places.end).min(self.capacity);
        let newer = slot(places.start).max(self.capacity)..slot(places.end).max(self.capacity);
        [older, newer.start - self.capacity..newer.end - self.capacity]
    }
}

impl Attend<'_> {
    /// Answers the queries of a head in `Q` steps from `step` on.
    #[inline(always)]
    pub(super) fn answer<S: Simd, const Q: usize>(&self, s: S, step: usize, head: usize, scratch: &mut Scratch) {
        let Attention { heads, head_dim: dim, window: most, .. } = *self.shape;
        let scale = 1.0 / (dim as f32).sqrt();
        for (q, query) in scratch.queries.chunks_exact_mut(dim).take(Q).enumerate() {
            let rotary = &self.new.rotary[(step + q) * dim..][..dim];
            rotate(rotary, self.channels(step + q, head), query);
            query.iter_mut().for_each(|q| *q *= scale);
        }
        let window = self.window::<Q>(step, most as u64);
        let [older, newer] = window.slots(&(0..window.len)).map(|run| &self.values[run.start * dim..run.end * dim]);
        let values = if scratch.asks[0] { Ahead::of(older, newer) } else { Ahead::default() };
        self.score(s, &window, &scratch.queries, &mut scratch.scores, values);
        let mut scales = [0.0; Q];
        for (q, scale) in scales.iter_mut().enumerate() {
            *scale = 1.0 / softmax(s, &mut scratch.scores[q][..window.seen[q].len().next_multiple_of(S::LANES)]);
        }
        let outs = std::array::from_fn(|q| {
            let at = ((step + q) * heads + head) * dim;
            // SAFETY: `out` has `head_dim` floats for each step and head, and this head is nobody else's.
            unsafe { std::slice::from_raw_parts_mut(self.out.get().add(at), dim) }
        });
        // Keys, values and the next head's keys lie one after the other.
        let keys = if scratch.asks[1] { Ahead::after(self.values, self.keys.len()) } else { Ahead::default() };
        self.gather(s.tile(), &window, &scratch.scores, scales, outs, keys);
    }

    /// What the queries of `Q` steps see.
    #[inline(always)]
    fn window<const Q: usize>(&self, step: usize, most: u64) -> Window<Q> {
        let end = |q: usize| self.new.position + (step + q) as u64 + 1;
        let first = end(0).saturating_sub(most);
        let place = |position: u64| (position - first) as usize;
        let seen = std::array::from_fn(|q| place(end(q).saturating_sub(most))..place(end(q)));
        Window { start: self.slot(first), capacity: self.shape.capacity(), len: place(end(Q - 1)), seen }
    }

    /// `scores[q][j] = query[q] . key[j]` over what each query sees; what is left of the last vector is filled with -infinity.
    #[inline(always)]
    fn score<S: Simd, const Q: usize>(
        &self,
        s: S,
        window: &Window<Q>,
        queries: &[f32],
        scores: &mut [Vec<f32>; 2],
        mut ahead: Ahead,
    ) {
        let dim = self.shape.head_dim;
        let mut tile_scores = [[0.0; TILE]; Q];
        let mut done = 0;
        for run in window.slots(&(0..window.len)) {
            let mut slot = run.start;
            while slot < run.end {
                let tile = slot / TILE;
                dots(s.tile(), &self.keys[tile * TILE * dim..][..TILE * dim], queries, &mut tile_scores, &mut ahead);
                let end = run.end.min((tile + 1) * TILE);
                for (q, seen) in window.seen.iter().enumerate() {
                    // The places of this tile that the query sees.
                    let (from, to) = (done.max(seen.start), (done + end - slot).min(seen.end));
                    if from < to {
                        let first = slot - tile * TILE + from - done;
                        scores[q][from - seen.start..to - seen.start]
                            .copy_from_slice(&tile_scores[q][first..first + to - from]);
                    }
                }
                done += end - slot;
                slot = end;
            }
        }
        for (scores, seen) in scores.iter_mut().zip(&window.seen) {
            scores[seen.len()..seen.len().next_multiple_of(S::LANES)].fill(f32::NEG_INFINITY);
        }
    }

    /// `outs[q] = scales[q] * sum_j weights[q][j] * value[j]` over what each query sees.
    #[inline(always)]
    fn gather<S: Simd, const Q: usize>(
        &self,
        s: S,
        window: &Window<Q>,
        weights: &[Vec<f32>; 2],
        scales: [f32; Q],
        mut outs: [&mut [f32]; Q],
        mut ahead: Ahead,
    ) {
        let dim = self.shape.head_dim;
        let mut channel = 0;
        while channel < dim {
            let mix = Mix { values: &self.values[channel..], dim, window, weights };
            // SAFETY: less than a vector is read past the value, and the values go on for one after the last of them.
            channel += unsafe {
                if dim - channel > 3 * S::LANES {
                    mix.vectors::<S, 4>(s, channel, scales, &mut outs, &mut ahead)
                } else {
                    mix.vectors::<S, 1>(s, channel, scales, &mut outs, &mut ahead)
                }
            };
        }
    }
}

/// The values of a head, from some channel on, and the weights to mix them with.
struct Mix<'a, const Q: usize> {
    values: &'a [f32],
    dim: usize,
    window: &'a Window<Q>,
    weights: &'a [Vec<f32>; 2],
}

type Sums<S, const Q: usize, const N: usize> = [[<S as Simd>::Vector; N]; Q];

impl<const Q: usize> Mix<'_, Q> {
    /// Mixes `N` vectors of channels, and returns how many channels that is.
    ///
    /// # Safety
    /// `values` can be read for `N` vectors at each slot of the window.
    #[inline(always)]
    unsafe fn vectors<S: Simd, const N: usize>(
        &self,
        s: S,
        channel: usize,
        scales: [f32; Q],
        outs: &mut [&mut [f32]; Q],
        ahead: &mut Ahead,
    ) -> usize {
        let mut sums = [[s.splat(0.0); N]; Q];
        let (first, last) = (&self.window.seen[0], &self.window.seen[Q - 1]);
        // SAFETY: the caller's promise.
        unsafe {
            // What the first query sees alone, both see, and the last sees alone.
            if Q > 1 {
                sums = self.add::<S, N, true, false>(s, sums, first.start..last.start, ahead);
            }
            sums = self.add::<S, N, true, true>(s, sums, last.start..first.end, ahead);
            if Q > 1 {
                sums = self.add::<S, N, false, true>(s, sums, first.end..last.end, ahead);
            }
        }
        for ((sums, scale), out) in sums.into_iter().zip(scales).zip(outs) {
            for (sum, out) in sums.into_iter().zip(out[channel..].chunks_mut(S::LANES)) {
                s.store_partial(out, s.mul(sum, s.splat(scale)));
            }
        }
        N * S::LANES
    }

    /// Adds the values at some places of the window to the sums of the first query, the last or both.
    ///
    /// # Safety
    /// As for `vectors`.
    #[inline(always)]
    unsafe fn add<S: Simd, const N: usize, const FIRST: bool, const LAST: bool>(
        &self,
        s: S,
        mut sums: Sums<S, Q, N>,
        places: Range<usize>,
        ahead: &mut Ahead,
    ) -> Sums<S, Q, N> {
        let mut place = places.start;
        for run in self.window.slots(&places) {
            for slot in run {
                let at = self.values.as_ptr().wrapping_add(slot * self.dim);
                // There are fewer values to read than keys to ask for: the ring has room for more than a window.
                ahead.ask(s, (N * S::LANES).div_ceil(16) + 1);
                for (q, sums) in sums.iter_mut().enumerate() {
                    if (q == 0 && FIRST) || (q == Q - 1 && LAST) {
                        let weight = s.splat(self.weights[q][place - self.window.seen[q].start]);
                        for (v, sum) in sums.iter_mut().enumerate() {
                            // SAFETY: the caller's promise.
                            *sum = s.mul_add(weight, unsafe { s.load(at.add(v * S::LANES)) }, *sum);
                        }
                    }
                }
                place += 1;
            }
        }
        sums
    }
}

/// `out[q][j] = query[q] . keys[.., j]` for a tile of keys `(dim, TILE)`.
#[inline(always)]
fn dots<S: Simd, const Q: usize>(s: S, keys: &[f32], queries: &[f32], out: &mut [[f32; TILE]; Q], ahead: &mut Ahead) {
    const VECTORS: usize = 4;
    let dim = keys.len() / TILE;
    for part in (0..TILE).step_by(VECTORS * S::LANES) {
        let mut sums = [[s.splat(0.0); VECTORS]; Q];
        for (channel, row) in keys.chunks_exact(TILE).enumerate() {
            ahead.ask(s, (VECTORS * S::LANES).div_ceil(16));
            // SAFETY: `TILE` is a multiple of four vectors of any level; a query has `dim` channels.
            unsafe {
                let at = row.as_ptr().add(part);
                for (q, sums) in sums.iter_mut().enumerate() {
                    let query = s.splat(*queries.get_unchecked(q * dim + channel));
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = s.mul_add(query, s.load(at.add(v * S::LANES)), *sum);
                    }
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            for (v, sum) in sums.into_iter().enumerate() {
                // SAFETY: as above.
                unsafe { s.store(out.as_mut_ptr().add(part + v * S::LANES), sum) };
            }
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
