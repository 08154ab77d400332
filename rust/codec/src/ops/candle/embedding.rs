//! A table of rows, of which means are taken.

use candle_core::Tensor;

use super::{Composed, bytes};
use crate::error::Result;
use crate::ops::{Backend, Embedding, Signal};

pub(super) struct Table {
    /// `(rows, dim)`.
    rows: Tensor,
}

impl Table {
    pub(super) fn new(backend: &Composed, dim: usize, rows: &[f32]) -> Result<Self> {
        Ok(Self { rows: backend.tensor(rows, &[rows.len() / dim, dim])? })
    }
}

impl Embedding for Table {
    fn mean(&self, rows: &[u32], count: usize) -> Result<Signal> {
        crate::ops::fault_point()?;
        let chosen = self.rows.index_select(&Tensor::from_slice(rows, rows.len(), self.rows.device())?, 0)?;
        Ok(chosen.reshape((1, rows.len() / count, count, self.rows.dim(1)?))?.mean(2)?.into())
    }

    fn bytes(&self) -> usize {
        bytes([Some(&self.rows)])
    }
}
