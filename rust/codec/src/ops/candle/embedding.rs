//! A table of rows, of which means are taken.

use candle_core::Tensor;

use super::{Composed, bytes};
use crate::error::Result;
use crate::ops::{Embedding, Indices, Signal, embedding_rows};

pub(super) struct Table {
    /// `(rows, dim)`.
    rows: Tensor,
    /// Rows of a codebook.
    entries: usize,
}

impl Table {
    pub(super) fn new(backend: &Composed, dim: usize, entries: usize, rows: &[f32]) -> Result<Self> {
        Ok(Self { rows: backend.tensor(rows, &[rows.len() / dim, dim])?, entries })
    }
}

impl Embedding for Table {
    fn mean(&self, codes: &Indices) -> Result<Signal> {
        crate::ops::fault_point()?;
        let rows: Vec<u32> = embedding_rows(codes.codes()?, codes.count, self.entries).collect();
        let chosen =
            self.rows.index_select(&Tensor::from_vec(rows, codes.vectors * codes.count, self.rows.device())?, 0)?;
        Signal::of(chosen.reshape((1, codes.vectors, codes.count, self.rows.dim(1)?))?.mean(2)?)
    }

    fn bytes(&self) -> usize {
        bytes([Some(&self.rows)])
    }
}
