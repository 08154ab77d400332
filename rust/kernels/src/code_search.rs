//! The nearest entry of a codebook, and the residual that is left of it.

use crate::epilogue::Epilogue;
use crate::numbers::{Array, Arrays};
use crate::packed::PackedMatrix;
use crate::precision::{Precision, as_kept};
use crate::product::product;
use crate::rows::Rows;
use crate::screen::Screen;
use crate::simd::{Kernel, Level, Simd};
use crate::strided::Strided;
use crate::threads::Threads;

/// A codebook of `entries` vectors of `dim` floats, packed so that the search is one product.
///
/// Packed are `-2 e` with `|e|^2` as the bias: their product with `x` is `|e|^2 - 2 x e`. Doubling is exact, so the
/// entries can be read back. In a smaller precision an entry is what it is kept as, everywhere.
pub struct Codebook {
    matrix: PackedMatrix,
    /// What a few rows look through first, because it is read sooner; none where it was not asked for, or would not pay.
    screen: Option<Screen>,
    /// Whether no entry is too long for distances in float32.
    measurable: bool,
}

/// What [`Codebook::search`] says of a vector or an entry that is so long, or not a number, that distances are not either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmeasurable;

/// The greatest `|x|^2` and `|e|^2` with which `|x|^2 + |e|^2 - 2 x e` stays finite however far its sum has come: no more
/// than four times as much.
const LONGEST: f32 = f32::MAX / 8.0;

/// Rows that are searched together: their distances stay in the second-level cache.
const ROWS: usize = 16;

/// Rows up to which the reading of the entries takes longer than their products, so that it pays to read a part of them.
const SCREENED_ROWS: usize = 8;

impl Codebook {
    /// Packs `entries`, row-major `(entries.len() / dim, dim)`. One that is `screened` is larger, and is searched sooner.
    ///
    /// # Panics
    /// If the entries are not whole.
    pub fn new(level: Level, precision: Precision, entries: &[f32], dim: usize, screened: bool) -> Self {
        assert!(dim > 0 && entries.len().is_multiple_of(dim), "entries of {dim} floats");
        let kept = as_kept(precision, entries, dim);
        let norms: Vec<f32> = kept.chunks_exact(dim).map(|e| e.iter().map(|v| v * v).sum()).collect();
        let doubled: Vec<f32> = entries.iter().map(|value| -2.0 * value).collect();
        let matrix = PackedMatrix::new(level, precision, &Strided::transposed(&doubled, dim), Some(&norms));
        let measurable = is_measurable(&matrix);
        let screen = (screened && measurable).then(|| Screen::of_columns(&matrix)).flatten();
        Self { matrix, screen, measurable }
    }

    /// The codebook of `entries` whose arrays were [arranged](Self::arrays) before. A screen is made anew where it is not among
    /// them, or is that of another level.
    ///
    /// # Errors
    /// Those of [`Arrays::find`].
    pub fn of_arrays<A: Arrays>(
        level: Level,
        precision: Precision,
        (entries, dim): (usize, usize),
        screened: bool,
        arrays: &A,
    ) -> Result<Self, A::Error> {
        let matrix = PackedMatrix::of_arrays(level, precision, (dim, entries), arrays)?;
        let measurable = is_measurable(&matrix);
        let screen = match screened && measurable {
            false => None,
            true if Screen::is_among(level, arrays) => Screen::of_arrays(level, entries, dim, arrays)?,
            true => Screen::of_columns(&matrix),
        };
        Ok(Self { matrix, screen, measurable })
    }

    /// What it is kept as: arrays, and what they are called.
    pub fn arrays(&self) -> Vec<(&'static str, Array)> {
        let mut arrays = self.matrix.arrays();
        arrays.extend(self.screen.iter().flat_map(Screen::arrays));
        arrays
    }

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.matrix.columns
    }

    /// Floats in an entry.
    pub fn dim(&self) -> usize {
        self.matrix.depth
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.arrays().iter().map(|(_, array)| array.bytes().len()).sum()
    }

    /// Adds entry `code` to `sum`.
    ///
    /// # Panics
    /// If there is no such entry, or `sum` is not `dim` long.
    pub fn add_entry(&self, code: usize, sum: &mut [f32]) {
        assert!(code < self.entries() && sum.len() == self.dim(), "entry {code} of {}", self.entries());
        for (sum, doubled) in sum.iter_mut().zip(self.matrix.column(code)) {
            *sum += -0.5 * doubled;
        }
    }

    /// For each row of `residual` `(codes.len(), dim)`: the code of the nearest entry, which is then taken off the row.
    ///
    /// Near is what PyTorch's `cdist` says: the smallest `sqrt(max(|x|^2 + |e|^2 - 2 x e, 0))` in float32, and the
    /// lowest code among equals.
    ///
    /// # Errors
    /// [`Unmeasurable`] where a distance could overflow or not be a number; what is in `residual` and `codes` is then of
    /// no use.
    ///
    /// # Panics
    /// If `residual` does not have a row for each code, or there is no entry.
    pub fn search(&self, residual: &mut [f32], codes: &mut [u32], threads: &Threads) -> Result<(), Unmeasurable> {
        let (dim, entries) = (self.dim(), self.entries());
        assert_eq!(Some(residual.len()), codes.len().checked_mul(dim), "residual of {} rows", codes.len());
        assert!(entries > 0, "a codebook without entries");
        if !self.measurable {
            return Err(Unmeasurable);
        }
        let screen = self.screen.as_ref().filter(|_| codes.len() <= SCREENED_ROWS);
        let mut values = vec![0.0; ROWS.min(codes.len()) * entries];
        for (residual, codes) in residual.chunks_mut(ROWS * dim).zip(codes.chunks_mut(ROWS)) {
            let values = &mut values[..codes.len() * entries];
            let rows = Rows::contiguous(residual, dim);
            match screen {
                Some(screen) => screen.look(&rows, values, threads),
                None => product(&rows, (dim, 0), &self.matrix, Epilogue::default(), values, threads),
            }
            let found = residual.chunks_exact_mut(dim).zip(values.chunks_exact_mut(entries));
            for ((residual, values), code) in found.zip(codes) {
                let norm = self.matrix.level.run(SquaredLength(residual));
                // NaN is not in the range either.
                if !(0.0..=LONGEST).contains(&norm) {
                    return Err(Unmeasurable);
                }
                let nearest = match screen {
                    Some(screen) => screen.nearest(&self.matrix, residual, norm, values),
                    None => self.matrix.level.run(Nearest { norm, values }),
                };
                *code = nearest as u32;
                for (value, doubled) in residual.iter_mut().zip(self.matrix.column(nearest)) {
                    *value -= -0.5 * doubled;
                }
            }
        }
        Ok(())
    }
}

/// Whether all entries, whose `|e|^2` is the bias, are short enough for distances.
fn is_measurable(matrix: &PackedMatrix) -> bool {
    matrix.bias[..matrix.columns].iter().all(|&norm| norm <= LONGEST)
}

struct SquaredLength<'a>(&'a [f32]);

impl Kernel for SquaredLength<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut squares = s.splat(0.0);
        for chunk in self.0.chunks(S::LANES) {
            let x = s.load_partial(chunk, 0.0);
            squares = s.mul_add(x, x, squares);
        }
        s.reduce_add(squares)
    }
}

/// The index of the smallest distance, given `|e|^2 - 2 x e`, which become distances, and `|x|^2`.
struct Nearest<'a> {
    norm: f32,
    values: &'a mut [f32],
}

impl Kernel for Nearest<'_> {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let norm = s.splat(self.norm);
        let zero = s.splat(0.0);
        let mut farthest_below = s.splat(f32::NEG_INFINITY);
        for chunk in self.values.chunks_mut(S::LANES) {
            let distance = s.sqrt(s.max(s.add(s.load_partial(chunk, f32::INFINITY), norm), zero));
            farthest_below = s.max(farthest_below, s.sub(zero, distance));
            s.store_partial(chunk, distance);
        }
        let smallest = -s.reduce_max(farthest_below);
        self.values.iter().position(|&distance| distance == smallest).unwrap_or_default()
    }
}
