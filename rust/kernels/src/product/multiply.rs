//! Rows times a panel of weights, in each form in which weights are stored.

use crate::packed::VECTORS_PER_PANEL;
use crate::precision::GROUP;
use crate::simd::Simd;

use super::Slab;

/// Weights as they are stored: how to multiply by them.
pub(super) trait Stores {
    /// Bytes of the next slab that each of `tiles` asks for while it computes [`STRETCH`] depths of its own; none if it is less
    /// than a cache line: then there is so much to compute that nothing is gained.
    fn share<S: Simd>(_: S, _tiles: usize) -> usize {
        0
    }

    /// Adds rows times the slab of a panel to the sums. These come and go by value: an array that anything else indexes
    /// would be kept in memory instead of registers.
    ///
    /// # Safety
    /// Each row can be read for as many floats as the slab is deep.
    unsafe fn multiply<S: Simd, const R: usize>(
        &self,
        s: S,
        sums: Sums<S, R>,
        rows: [*const f32; R],
        depth: usize,
        slab: &Slab,
    ) -> Sums<S, R>;
}

pub(super) type Sums<S, const R: usize> = [[<S as Simd>::Vector; VECTORS_PER_PANEL]; R];

/// Numbers of which a row of a panel is two vectors.
pub(super) struct Rowwise<'a, T>(pub(super) &'a [T]);

/// Numbers of int8, and their scales.
pub(super) struct Int8<'a>(pub(super) &'a [i8], pub(super) &'a [f32]);

pub(super) trait Row: Copy {
    /// # Safety
    /// A row can be read at `at`.
    unsafe fn load<S: Simd>(s: S, at: *const Self) -> [S::Vector; VECTORS_PER_PANEL];
}

impl Row for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, at: *const f32) -> [S::Vector; VECTORS_PER_PANEL] {
        // SAFETY: the caller's promise.
        unsafe { [s.load(at), s.load(at.add(S::LANES))] }
    }
}

/// A bfloat16.
impl Row for u16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, at: *const u16) -> [S::Vector; VECTORS_PER_PANEL] {
        s.prefetch(at.wrapping_byte_add(AHEAD).cast());
        // SAFETY: the caller's promise.
        unsafe { s.load_bfloat16(at) }
    }
}

impl<T: Row> Stores for Rowwise<'_, T> {
    #[inline(always)]
    fn share<S: Simd>(_: S, tiles: usize) -> usize {
        let bytes = STRETCH * VECTORS_PER_PANEL * S::LANES * size_of::<T>();
        let share = bytes.checked_div(tiles).unwrap_or(0);
        if share < CACHE_LINE { 0 } else { share.next_multiple_of(CACHE_LINE) }
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd, const R: usize>(
        &self,
        s: S,
        mut sums: Sums<S, R>,
        rows: [*const f32; R],
        depth: usize,
        slab: &Slab,
    ) -> Sums<S, R> {
        let panel = &self.0[(slab.panel * depth + slab.from) * VECTORS_PER_PANEL * S::LANES..];
        let row = |k: usize| panel.as_ptr().wrapping_add(k * VECTORS_PER_PANEL * S::LANES);
        let (mut k, count) = (0, slab.to - slab.from);
        let (before, share) = slab.ahead.unwrap_or((0, 0));
        let mut ahead = row(count).wrapping_byte_add(before * count.div_ceil(STRETCH)).cast::<i8>();
        let stretch = if share > 0 { STRETCH } else { count };
        // SAFETY: the caller's promise; the panel has `depth` rows.
        unsafe {
            while k < count {
                let to = count.min(k + stretch);
                for line in (0..share).step_by(CACHE_LINE) {
                    s.prefetch(ahead.wrapping_add(line));
                }
                ahead = ahead.wrapping_add(share);
                while S::FOUR_AT_ONCE && k + 4 <= to {
                    sums = multiply_add_one_of_four::<S, R, 0>(s, sums, rows, k, T::load(s, row(k)));
                    sums = multiply_add_one_of_four::<S, R, 1>(s, sums, rows, k, T::load(s, row(k + 1)));
                    sums = multiply_add_one_of_four::<S, R, 2>(s, sums, rows, k, T::load(s, row(k + 2)));
                    sums = multiply_add_one_of_four::<S, R, 3>(s, sums, rows, k, T::load(s, row(k + 3)));
                    k += 4;
                }
                while k < to {
                    sums = multiply_add(s, sums, rows, k, T::load(s, row(k)));
                    k += 1;
                }
            }
        }
        sums
    }
}

impl Stores for Int8<'_> {
    #[inline(always)]
    unsafe fn multiply<S: Simd, const R: usize>(
        &self,
        s: S,
        mut sums: Sums<S, R>,
        rows: [*const f32; R],
        depth: usize,
        slab: &Slab,
    ) -> Sums<S, R> {
        let width = VECTORS_PER_PANEL * S::LANES;
        let panel = &self.0[slab.panel * depth.next_multiple_of(2) * width..];
        let mut from = slab.from;
        while from < slab.to {
            let to = slab.to.min((from / GROUP + 1) * GROUP);
            let mut group = [[s.splat(0.0); VECTORS_PER_PANEL]; R];
            // SAFETY: the caller's promise; the panel has `depth` rows, two by two.
            unsafe {
                let two_rows = |k: usize| panel.as_ptr().add(k / 2 * 2 * width);
                let mut k = from;
                if k % 2 == 1 {
                    group = multiply_add(s, group, rows, k - slab.from, s.load_int8(two_rows(k))[1]);
                    k += 1;
                }
                while S::FOUR_AT_ONCE && k + 4 <= to {
                    let at = k - slab.from;
                    let weights = s.load_int8(two_rows(k));
                    group = multiply_add_one_of_four::<S, R, 0>(s, group, rows, at, weights[0]);
                    group = multiply_add_one_of_four::<S, R, 1>(s, group, rows, at, weights[1]);
                    let weights = s.load_int8(two_rows(k + 2));
                    group = multiply_add_one_of_four::<S, R, 2>(s, group, rows, at, weights[0]);
                    group = multiply_add_one_of_four::<S, R, 3>(s, group, rows, at, weights[1]);
                    k += 4;
                }
                while k + 1 < to {
                    s.prefetch(two_rows(k).wrapping_add(AHEAD));
                    let weights = s.load_int8(two_rows(k));
                    group = multiply_add(s, group, rows, k - slab.from, weights[0]);
                    group = multiply_add(s, group, rows, k + 1 - slab.from, weights[1]);
                    k += 2;
                }
                if k < to {
                    group = multiply_add(s, group, rows, k - slab.from, s.load_int8(two_rows(k))[0]);
                }
            }
            let scales = &self.1[(slab.panel * depth.div_ceil(GROUP) + from / GROUP) * width..][..width];
            // SAFETY: a row of scales is two vectors.
            let scales = unsafe { [s.load(scales.as_ptr()), s.load(scales.as_ptr().add(S::LANES))] };
            for (sums, group) in sums.iter_mut().zip(&group) {
                sums[0] = s.mul_add(group[0], scales[0], sums[0]);
                sums[1] = s.mul_add(group[1], scales[1], sums[1]);
            }
            from = to;
        }
        sums
    }
}

/// Depths between two times of asking for the slab that comes next.
const STRETCH: usize = 16;
const CACHE_LINE: usize = 64;

/// How many bytes ahead of their use small weights are asked for. The processor looks ahead by itself, but stops at each
/// page; float32 weights come so much more slowly that this is hidden.
const AHEAD: usize = 4096;

/// Adds the value at `k` of each row times a panel's row of weights.
///
/// # Safety
/// Each row can be read at `k`.
#[inline(always)]
unsafe fn multiply_add<S: Simd, const R: usize>(
    s: S,
    mut sums: Sums<S, R>,
    rows: [*const f32; R],
    k: usize,
    weights: [S::Vector; VECTORS_PER_PANEL],
) -> Sums<S, R> {
    for (sums, row) in sums.iter_mut().zip(&rows) {
        // SAFETY: the caller's promise.
        let value = s.splat(unsafe { *row.add(k) });
        sums[0] = s.mul_add(value, weights[0], sums[0]);
        sums[1] = s.mul_add(value, weights[1], sums[1]);
    }
    sums
}

/// Adds the value at `k + I` of each row, of the four from `k` on, times a panel's row of weights.
///
/// # Safety
/// Each row can be read at four places from `k` on.
#[inline(always)]
unsafe fn multiply_add_one_of_four<S: Simd, const R: usize, const I: usize>(
    s: S,
    mut sums: Sums<S, R>,
    rows: [*const f32; R],
    k: usize,
    weights: [S::Vector; VECTORS_PER_PANEL],
) -> Sums<S, R> {
    for (sums, row) in sums.iter_mut().zip(&rows) {
        // SAFETY: the caller's promise.
        let value = unsafe { s.splat_one_of_four::<I>(row.add(k)) };
        sums[0] = s.mul_add(value, weights[0], sums[0]);
        sums[1] = s.mul_add(value, weights[1], sums[1]);
    }
    sums
}
