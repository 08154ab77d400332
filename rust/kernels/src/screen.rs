//! A quick look at a codebook that leaves few entries for the exact search, and never leaves out the one that it finds.
//!
//! The exact search compares `d(a) = sqrt(max(a + |x|^2, 0))` of the float32 values `a = |e|^2 + x w`, with `w = -2 e`. A
//! quarter of the memory has `v`, the weights `w` in int8, and `b = |e|^2 + x v` is near `a`:
//!
//! * In real numbers `x w` and `x v` differ by `x (w - v)`, which is at most `|x| |w - v|` (Cauchy and Schwarz).
//! * In float32 a sum of `n` products, each of whose terms is rounded at most `m` times on its way, is wrong by at most
//!   `m u / (1 - m u)` times the sum of what its terms are without their signs, with `u = 2^-24`. That sum is at most
//!   `|e|^2 + |x| |w|`, or `|x| |v|` (again Cauchy and Schwarz). Here `m` is at most `n + n / 128 + n / 512 + 4`: the sums of
//!   groups and blocks, the scale, and the bias. [`rounding`] is more than twice as much for all depths that are taken.
//! * Numbers too small to be exact add at most `2^-126` for each operation, even where the processor takes them for zero; what
//!   is scaled afterwards, by a scale that is less than `|w|`, adds so much of it.
//!
//! So `a >= b - |x| A - B` with `A` and `B` that depend on the entry alone. Each step of `d` is rounded but never falls while
//! `a` rises, so an entry for which `d(b - |x| A - B)` is greater than the distance of any other cannot be nearest, nor as near
//! as the nearest. All others are computed as the exact search does it, by the same code.

use crate::epilogue::Epilogue;
use crate::numbers::{Array, Arrays, Number, Numbers};
use crate::packed::{PANELS, PackedMatrix, SCALES, panel_width};
use crate::precision::{GROUP, Precision, Scale};
use crate::product::{panel_of_product, product};
use crate::rows::Rows;
use crate::simd::{INT8_UNIT, Kernel, Level, Simd};
use crate::strided::Strided;
use crate::threads::Threads;

/// Codebooks of fewer floats stay in the second-level cache, where there is little to save.
const LEAST: usize = 1 << 17;
/// Deeper sums would need a bound that takes nothing out.
const DEEPEST: usize = 4096;

/// More than any sum of so many products is wrong by, as a part of what its terms are without their signs.
fn rounding(dim: usize) -> f64 {
    (dim + 64) as f64 * f64::from(f32::EPSILON)
}

/// Whether it would be of use for so many entries.
fn pays(entries: usize, dim: usize) -> bool {
    entries.saturating_mul(dim) >= LEAST && dim <= DEEPEST && entries >= 2
}

/// The weights of a codebook in int8, and how far from them its distances may be.
pub(crate) struct Screen {
    /// The bias is `|e|^2 - B`.
    matrix: PackedMatrix,
    /// `A` of each entry.
    slack: Numbers<f32>,
}

impl Screen {
    /// Of the weights `-2 e` with `|e|^2` as the bias; none where it would not pay.
    pub(crate) fn of_columns(exact: &PackedMatrix) -> Option<Self> {
        let (level, dim, norms) = (exact.level, exact.depth, &exact.bias[..exact.columns]);
        if !pays(norms.len(), dim) {
            return None;
        }
        let doubled: Vec<f32> = (0..norms.len()).flat_map(|code| exact.column(code)).collect();
        let (mut biases, mut slack) = (Vec::new(), Vec::new());
        for (entry, &norm) in doubled.chunks_exact(dim).zip(norms) {
            let Lengths { exact, stored, apart } = Lengths::of(entry);
            let tiny = f64::from(f32::MIN_POSITIVE) * (dim + 64) as f64 * (1.0 + exact);
            slack.push(above(apart + rounding(dim) * (exact + stored)));
            biases.push(-above(rounding(dim) * 2.0 * f64::from(norm) + tiny - f64::from(norm)));
        }
        let matrix = PackedMatrix::new(level, Precision::Int8, &Strided::transposed(&doubled, dim), Some(&biases));
        slack.resize(slack.len().next_multiple_of(panel_width(level)), 0.0);
        Some(Self { matrix, slack: slack.into() })
    }

    /// Whether one was arranged before, for the same level.
    pub(crate) fn is_among<A: Arrays>(level: Level, arrays: &A) -> bool {
        arrays.tile_lanes() == level.tile_lanes() && arrays.contains(SLACK)
    }

    /// The one whose arrays were arranged before, for the same level; none where there would be none.
    pub(crate) fn of_arrays<A: Arrays>(
        level: Level,
        entries: usize,
        dim: usize,
        arrays: &A,
    ) -> Result<Option<Self>, A::Error> {
        if !pays(entries, dim) {
            return Ok(None);
        }
        let matrix = PackedMatrix::of_arrays(level, Precision::Int8, (dim, entries), &Own(arrays))?;
        let slack = arrays.find(SLACK, entries.next_multiple_of(panel_width(level)))?;
        Ok(Some(Self { matrix, slack }))
    }

    /// What it is kept as: arrays, and what they are called beside those of the entries.
    pub(crate) fn arrays(&self) -> Vec<(&'static str, Array)> {
        let mut arrays: Vec<_> =
            self.matrix.arrays().into_iter().map(|(name, array)| (own_name(name), array)).collect();
        arrays.push((SLACK, Array::Float32(self.slack.clone())));
        arrays
    }

    /// Values of [`Self::nearest`] for each row of `x`.
    pub(crate) fn look(&self, x: &Rows<'_>, values: &mut [f32], threads: &Threads) {
        product(x, (self.matrix.depth, 0), &self.matrix, Epilogue::default(), values, threads);
    }

    /// The index of the nearest of the entries `exact`, the first of those equally near, for `x` with its `|x|^2` as
    /// float32 gives it and what [`Self::look`] found of it, which is written over.
    pub(crate) fn nearest(&self, exact: &PackedMatrix, x: &[f32], norm: f32, values: &mut [f32]) -> usize {
        let level = self.matrix.level;
        let (dim, width) = (x.len(), panel_width(level));
        let least = f64::from(f32::MIN_POSITIVE) * dim as f64;
        let length = above((f64::from(norm) * (1.0 + 2.0 * rounding(dim)) + least).sqrt());
        let mut bounds = vec![f32::INFINITY; values.len().div_ceil(width)];
        level.run(Bounds { values, slack: &self.slack, width, length, bounds: &mut bounds });

        let distance = |value: f32| (value + norm).max(0.0).sqrt();
        let first = (0..bounds.len()).fold(0, |best, i| if bounds[i] < bounds[best] { i } else { best });
        // The first, where damaged weights are no numbers and so none is nearest.
        let mut found = (f32::INFINITY, 0);
        let others = (0..bounds.len()).filter(|&panel| panel != first);
        for panel in std::iter::once(first).chain(others) {
            if distance(bounds[panel]) > found.0 {
                continue;
            }
            panel_of_product(x, exact, panel, values);
            let end = values.len().min((panel + 1) * width);
            for (index, &value) in values[..end].iter().enumerate().skip(panel * width) {
                let candidate = (distance(value), index);
                if candidate < found {
                    found = candidate;
                }
            }
        }
        found.1
    }
}

/// What the array of `A` is called.
const SLACK: &str = "screen_slack";

/// What an array of the matrix is called beside one of the entries.
fn own_name(name: &str) -> &'static str {
    match name {
        PANELS => "screen_panels",
        SCALES => "screen_scales",
        _ => "screen_bias",
    }
}

/// Arrays of the matrix among those of a codebook.
struct Own<'a, A>(&'a A);

impl<A: Arrays> Arrays for Own<'_, A> {
    type Error = A::Error;

    fn tile_lanes(&self) -> usize {
        self.0.tile_lanes()
    }

    fn contains(&self, name: &str) -> bool {
        self.0.contains(own_name(name))
    }

    fn find<T: Number>(&self, name: &str, len: usize) -> Result<Numbers<T>, A::Error> {
        self.0.find(own_name(name), len)
    }
}

/// Lengths of an entry's weights as they are and as they are stored, and of the difference.
struct Lengths {
    exact: f64,
    stored: f64,
    apart: f64,
}

impl Lengths {
    fn of(entry: &[f32]) -> Self {
        let [mut exact, mut stored, mut apart] = [0.0; 3];
        for group in entry.chunks(GROUP) {
            let shared = Scale::of(group.iter().copied());
            let unit = shared.map_or(0.0, |shared| f64::from(INT8_UNIT) * f64::from(shared.scale()));
            let kept = |weight| shared.map_or(0.0, |shared| f64::from(shared.number(weight)) * unit);
            // Several sums at a time, or each addition would wait for the one before.
            let mut sums = [[0.0; SUMS]; 3];
            for weights in group.chunks(SUMS) {
                for (i, &weight) in weights.iter().enumerate() {
                    let (weight, kept) = (f64::from(weight), kept(weight));
                    sums[0][i] += weight * weight;
                    sums[1][i] += kept * kept;
                    sums[2][i] += (weight - kept) * (weight - kept);
                }
            }
            exact += sums[0].iter().sum::<f64>();
            stored += sums[1].iter().sum::<f64>();
            apart += sums[2].iter().sum::<f64>();
        }
        Self { exact: exact.sqrt(), stored: stored.sqrt(), apart: apart.sqrt() }
    }
}

const SUMS: usize = 8;

/// A float32 that is no less, nor by what the sums of float64 before it may have lost.
fn above(value: f64) -> f32 {
    (value + value.abs() * 4.0 * f64::from(f32::EPSILON)) as f32
}

/// The least that any value of a panel can be.
struct Bounds<'a> {
    values: &'a [f32],
    slack: &'a [f32],
    width: usize,
    length: f32,
    bounds: &'a mut [f32],
}

impl Kernel for Bounds<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let length = s.splat(-self.length);
        let panels = self.values.chunks(self.width).zip(self.slack.chunks(self.width));
        for ((values, slack), bound) in panels.zip(self.bounds) {
            let mut least = s.splat(f32::INFINITY);
            for (values, slack) in values.chunks(S::LANES).zip(slack.chunks(S::LANES)) {
                let value = s.load_partial(values, f32::INFINITY);
                least = s.min(least, s.mul_add(length, s.load_partial(slack, 0.0), value));
            }
            *bound = -s.reduce_max(s.sub(s.splat(0.0), least));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Numbers from -1 to 1 without a pattern.
    fn scattered(len: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn panels_without_a_near_entry_are_left_out() {
        let (count, dim) = (2048, 64);
        let entries = scattered(count * dim);
        let doubled: Vec<f32> = entries.iter().map(|value| -2.0 * value).collect();
        let norms: Vec<f32> = entries.chunks_exact(dim).map(|entry| entry.iter().map(|v| v * v).sum()).collect();
        for level in Level::available() {
            let matrix = Strided::transposed(&doubled, dim);
            let exact = PackedMatrix::new(level, Precision::Float32, &matrix, Some(&norms));
            let screen = Screen::of_columns(&exact).unwrap();
            for code in [0, 777, count - 1] {
                let (x, norm) = (&entries[code * dim..][..dim], norms[code]);
                let mut values = vec![0.0; count];
                screen.look(&Rows::contiguous(x, dim), &mut values, &Threads::new(1));
                let seen = values.clone();
                assert_eq!(screen.nearest(&exact, x, norm, &mut values), code, "{level:?}");
                // All other entries are far from an entry itself. A panel that is computed has other values than were seen.
                let width = panel_width(level);
                let computed = seen.chunks(width).zip(values.chunks(width)).filter(|(seen, value)| seen != value);
                assert_eq!(computed.count(), 1, "{level:?}");
            }
        }
    }
}
