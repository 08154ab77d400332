//! A table of rows, of which means are taken.

use mimi_kernels::{Array, Arrays as _, Numbers};

use super::Kernels;
use crate::error::Result;
use crate::ops::{Arrays, Embedding, Indices, Signal, TableShape, Weights, embedding_rows};

/// What the array is called.
const ROWS: &str = "rows";

pub(super) struct Table {
    dim: usize,
    /// Rows of a codebook.
    entries: usize,
    rows: Numbers<f32>,
    kernels: Kernels,
}

impl Table {
    pub(super) fn new(kernels: &Kernels, shape: TableShape, table: Weights<'_>) -> Result<Self> {
        let TableShape { codebooks, entries, dim } = shape;
        let rows = match table {
            Weights::Tensors(rows, _) => rows.into_owned().into(),
            Weights::Packed(layer, _) => layer.find(ROWS, codebooks.saturating_mul(entries).saturating_mul(dim))?,
        };
        Ok(Self { dim, entries, rows, kernels: kernels.clone() })
    }
}

impl Embedding for Table {
    fn mean(&self, codes: &Indices) -> Result<Signal> {
        let (count, dim, codes_of_all) = (codes.count, self.dim, codes.codes()?);
        self.kernels.write((1, codes.vectors, dim), |out| {
            out.fill(0.0);
            for (codes, mean) in codes_of_all.chunks_exact(count).zip(out.chunks_exact_mut(dim)) {
                for row in embedding_rows(codes, count, self.entries) {
                    let entry = &self.rows[row as usize * dim..][..dim];
                    mean.iter_mut().zip(entry).for_each(|(sum, value)| *sum += value);
                }
                mean.iter_mut().for_each(|sum| *sum /= count as f32);
            }
            Ok(())
        })
    }

    fn arrays(&self) -> Arrays {
        vec![(ROWS, Array::Float32(self.rows.clone()))]
    }
}
