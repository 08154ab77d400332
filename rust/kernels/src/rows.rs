//! The left matrix of a product, described by where its rows lie instead of copied together.

use std::marker::PhantomData;

/// Rows of equal length inside slices: strided, overlapping, from several slices.
///
/// Row `t` of a causal convolution with stride `s` is one run of its time-major input, from sample `t * s`; the rows
/// of a batch of sessions, and those that begin in the history before a block, come from further slices.
pub struct Rows<'a> {
    pub(crate) span: usize,
    pub(crate) starts: Vec<*const f32>,
    source: PhantomData<&'a [f32]>,
}

// SAFETY: the pointers stand for shared borrows of `f32`, which may cross threads.
unsafe impl Sync for Rows<'_> {}

impl<'a> Rows<'a> {
    /// No rows yet; each will be `span` floats long.
    pub fn new(span: usize) -> Self {
        Self { span, starts: Vec::new(), source: PhantomData }
    }

    /// All rows of a contiguous matrix `(data.len() / span, span)`.
    pub fn contiguous(data: &'a [f32], span: usize) -> Self {
        let mut rows = Self::new(span);
        rows.push(data, span, data.len() / span.max(1));
        rows
    }

    /// Adds `count` rows, row `i` from `data[i * stride]` on.
    ///
    /// # Panics
    /// If the last row would end after `data`.
    pub fn push(&mut self, data: &'a [f32], stride: usize, count: usize) {
        if count == 0 {
            return;
        }
        // No slice reaches to where a sum or a product saturates.
        let end = (count - 1).saturating_mul(stride).saturating_add(self.span);
        assert!(end <= data.len(), "the last row ends at {end}, the slice at {}", data.len());
        // SAFETY: every offset is at most `end`, which lies in the slice.
        self.starts.extend((0..count).map(|i| unsafe { data.as_ptr().add(i * stride) }));
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }
}

/// The runs that a row is made of.
#[derive(Clone, Copy)]
pub(crate) struct Runs {
    pub(crate) length: usize,
    pub(crate) stride: usize,
}
