//! A table of rows, of which means are taken.

use super::Kernels;
use crate::error::Result;
use crate::ops::{Embedding, Signal};

pub(super) struct Table {
    dim: usize,
    rows: Vec<f32>,
    kernels: Kernels,
}

impl Table {
    pub(super) fn new(kernels: &Kernels, dim: usize, rows: Vec<f32>) -> Self {
        Self { dim, rows, kernels: kernels.clone() }
    }
}

impl Embedding for Table {
    fn mean(&self, rows: &[u32], count: usize) -> Result<Signal> {
        let (vectors, dim) = (rows.len() / count, self.dim);
        self.kernels.write((1, vectors, dim), |out| {
            out.fill(0.0);
            for (rows, mean) in rows.chunks_exact(count).zip(out.chunks_exact_mut(dim)) {
                for &row in rows {
                    let entry = &self.rows[row as usize * dim..][..dim];
                    mean.iter_mut().zip(entry).for_each(|(sum, value)| *sum += value);
                }
                mean.iter_mut().for_each(|sum| *sum /= count as f32);
            }
            Ok(())
        })
    }

    fn bytes(&self) -> usize {
        self.rows.len() * size_of::<f32>()
    }
}
