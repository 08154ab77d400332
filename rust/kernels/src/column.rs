//! The product with a matrix of a single column: a dot product for each row.
//!
//! In a panel it would be one column among zeros. It is the decoder's last convolution, whose outputs are samples.

use std::ops::Range;

use crate::epilogue::{Epilogue, finish};
use crate::rows::{Rows, Runs};
use crate::simd::{Kernel, Simd};

/// `out[m] = activation(bias + sum_k rows[m][k] * weights[k] + residual[m])` for the rows in `range`.
pub(crate) struct Column<'a> {
    pub(crate) rows: &'a Rows<'a>,
    pub(crate) runs: Runs,
    pub(crate) weights: &'a [f32],
    pub(crate) bias: f32,
    pub(crate) epilogue: Epilogue<'a>,
    pub(crate) out: *mut f32,
    pub(crate) range: Range<usize>,
}

/// Rows that are summed side by side: the additions of one wait for each other.
const ROWS: usize = 4;

impl Kernel for Column<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut row = self.range.start;
        while row < self.range.end {
            // SAFETY: `row` and those after it, if there are enough, are within the rows.
            unsafe {
                if row + ROWS <= self.range.end {
                    self.products::<S, ROWS>(s, row);
                    row += ROWS;
                } else {
                    self.products::<S, 1>(s, row);
                    row += 1;
                }
            }
        }
    }
}

impl Column<'_> {
    /// Rows `row..row + R`, the sum of each in the order of one row alone.
    ///
    /// # Safety
    /// There are these rows, and they are in `range`.
    #[inline(always)]
    unsafe fn products<S: Simd, const R: usize>(&self, s: S, row: usize) {
        let mut sums = [s.splat(0.0); R];
        for (run, weights) in self.weights.chunks_exact(self.runs.length).enumerate() {
            let mut starts = [std::ptr::null::<f32>(); R];
            for (r, start) in starts.iter_mut().enumerate() {
                // SAFETY: runs end within their row: `product` has checked it.
                *start = unsafe { self.rows.starts.get_unchecked(row + r).add(run * self.runs.stride) };
            }
            let mut from = 0;
            for weights in weights.chunks(S::LANES) {
                let vector = s.load_partial(weights, 0.0);
                for (sum, start) in sums.iter_mut().zip(&starts) {
                    // SAFETY: as above; a run is as long as its weights.
                    let x = unsafe { std::slice::from_raw_parts(start.add(from), weights.len()) };
                    *sum = s.mul_add(s.load_partial(x, 0.0), vector, *sum);
                }
                from += weights.len();
            }
        }
        for (r, &sums) in sums.iter().enumerate() {
            let sum = s.splat(self.bias + s.reduce_add(sums));
            // SAFETY: `out` has an element for each row, and those in `range` are nobody else's.
            let out = unsafe { std::slice::from_raw_parts_mut(self.out.add(row + r), 1) };
            s.store_partial(out, finish(s, &self.epilogue, sum, row + r, 1));
        }
    }
}
