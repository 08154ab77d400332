//! The nearest entry of a codebook, and the residual that is left of it.

use crate::packed::{PackedMatrix, Precision};
use crate::product::{Epilogue, product};
use crate::rows::Rows;
use crate::simd::{Kernel, Level, Simd};
use crate::strided::Strided;
use crate::threads::Threads;

/// A codebook of `entries` vectors of `dim` floats, packed so that the search is one product.
///
/// Packed are `-2 e` with `|e|^2` as the bias: their product with `x` is `|e|^2 - 2 x e`. Doubling is exact, so the
/// entries can be read back.
pub struct Codebook {
    matrix: PackedMatrix,
}

/// Rows that are searched together: their distances stay in the second-level cache.
const ROWS: usize = 16;

impl Codebook {
    /// Packs `entries`, row-major `(entries.len() / dim, dim)`.
    ///
    /// # Panics
    /// If the entries are not whole.
    pub fn new(level: Level, entries: &[f32], dim: usize) -> Self {
        assert!(dim > 0 && entries.len().is_multiple_of(dim), "entries of {dim} floats");
        let norms: Vec<f32> = entries.chunks_exact(dim).map(|e| e.iter().map(|v| v * v).sum()).collect();
        let doubled: Vec<f32> = entries.iter().map(|value| -2.0 * value).collect();
        let matrix = Strided::transposed(&doubled, dim);
        Self { matrix: PackedMatrix::new(level, Precision::Float32, &matrix, Some(&norms)) }
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
        self.matrix.bytes()
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
    /// # Panics
    /// If `residual` does not have a row for each code.
    pub fn search(&self, residual: &mut [f32], codes: &mut [u32], threads: &Threads) {
        let (dim, entries) = (self.dim(), self.entries());
        assert_eq!(residual.len(), codes.len() * dim, "residual of {} rows", codes.len());
        let mut distances = vec![0.0; ROWS.min(codes.len()) * entries];
        for (residual, codes) in residual.chunks_mut(ROWS * dim).zip(codes.chunks_mut(ROWS)) {
            let distances = &mut distances[..codes.len() * entries];
            let rows = Rows::contiguous(residual, dim);
            product(&rows, (dim, 0), &self.matrix, Epilogue::default(), distances, threads);
            let found = residual.chunks_exact_mut(dim).zip(distances.chunks_exact_mut(entries));
            for ((residual, distances), code) in found.zip(codes) {
                let nearest = self.matrix.level.run(Nearest { residual, distances });
                *code = nearest as u32;
                for (value, doubled) in residual.iter_mut().zip(self.matrix.column(nearest)) {
                    *value -= -0.5 * doubled;
                }
            }
        }
    }
}

/// The index of the smallest distance, given `|e|^2 - 2 x e` and `x`.
struct Nearest<'a> {
    residual: &'a [f32],
    distances: &'a mut [f32],
}

impl Kernel for Nearest<'_> {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let mut squares = s.splat(0.0);
        for chunk in self.residual.chunks(S::LANES) {
            let x = s.load_partial(chunk, 0.0);
            squares = s.mul_add(x, x, squares);
        }
        let norm = s.splat(s.reduce_add(squares));
        let zero = s.splat(0.0);
        let mut farthest_below = s.splat(f32::NEG_INFINITY);
        for chunk in self.distances.chunks_mut(S::LANES) {
            let distance = s.sqrt(s.max(s.add(s.load_partial(chunk, f32::INFINITY), norm), zero));
            farthest_below = s.max(farthest_below, s.sub(zero, distance));
            s.store_partial(chunk, distance);
        }
        let smallest = -s.reduce_max(farthest_below);
        self.distances.iter().position(|&distance| distance == smallest).unwrap_or(0)
    }
}
