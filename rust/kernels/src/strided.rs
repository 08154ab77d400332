//! A matrix inside a tensor, as the caller has it: the form in which weights come to be packed.

/// The matrix whose element at `(k, n)` is `values[depths[k] + columns[n]]`.
///
/// A dense layer, a convolution and a transposed convolution differ only in these offsets.
pub struct Strided<'a> {
    values: &'a [f32],
    depths: Vec<usize>,
    columns: Vec<usize>,
}

impl<'a> Strided<'a> {
    /// The matrix of these offsets.
    ///
    /// # Panics
    /// If an element would lie outside `values`.
    pub fn new(
        values: &'a [f32],
        depths: impl IntoIterator<Item = usize>,
        columns: impl IntoIterator<Item = usize>,
    ) -> Self {
        let (depths, columns): (Vec<_>, Vec<_>) = (depths.into_iter().collect(), columns.into_iter().collect());
        if let (Some(depth), Some(column)) = (depths.iter().max(), columns.iter().max()) {
            // No slice reaches to where a sum saturates.
            let last = depth.saturating_add(*column);
            assert!(last < values.len(), "element {last} of {}", values.len());
        }
        Self { values, depths, columns }
    }

    /// All of a row-major `(depth, columns)`.
    ///
    /// # Panics
    /// If the rows are not whole.
    pub fn row_major(values: &'a [f32], columns: usize) -> Self {
        assert!(columns > 0 && values.len().is_multiple_of(columns), "{} values in rows of {columns}", values.len());
        Self::new(values, (0..values.len()).step_by(columns), 0..columns)
    }

    /// The transpose of a row-major `(columns, depth)`: the weight of a dense layer.
    ///
    /// # Panics
    /// If the rows are not whole.
    pub fn transposed(values: &'a [f32], depth: usize) -> Self {
        assert!(depth > 0 && values.len().is_multiple_of(depth), "{} values in rows of {depth}", values.len());
        Self::new(values, 0..depth, (0..values.len()).step_by(depth))
    }

    /// Its depth and its columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.depths.len(), self.columns.len())
    }

    /// The element at `(k, n)`.
    ///
    /// # Panics
    /// If there is none.
    #[inline(always)]
    pub fn at(&self, k: usize, n: usize) -> f32 {
        // SAFETY: `new` has checked the greatest sum of offsets; `k` and `n` are checked here.
        unsafe { *self.values.get_unchecked(self.depths[k] + self.columns[n]) }
    }

    /// All depths, those first that lie first.
    pub(crate) fn depths_as_they_lie(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.depths.len()).collect();
        order.sort_by_key(|&k| self.depths[k]);
        order
    }
}
