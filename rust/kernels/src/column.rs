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

impl Kernel for Column<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in self.range.clone() {
            let mut sums = s.splat(0.0);
            for (run, weights) in self.weights.chunks_exact(self.runs.length).enumerate() {
                // SAFETY: runs end within their row: `product` has checked it.
                let x = unsafe {
                    let start = self.rows.starts.get_unchecked(row).add(run * self.runs.stride);
                    std::slice::from_raw_parts(start, weights.len())
                };
                for (x, weights) in x.chunks(S::LANES).zip(weights.chunks(S::LANES)) {
                    sums = s.mul_add(s.load_partial(x, 0.0), s.load_partial(weights, 0.0), sums);
                }
            }
            let sum = s.splat(self.bias + s.reduce_add(sums));
            // SAFETY: `out` has an element for each row, and those in `range` are nobody else's.
            let out = unsafe { std::slice::from_raw_parts_mut(self.out.add(row), 1) };
            s.store_partial(out, finish(s, &self.epilogue, sum, row, 1));
        }
    }
}
