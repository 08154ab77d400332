//! Snake: a sine with a rate and a scale for each channel.

use mimi_kernels as kernels;

use super::{Kernels, host};
use crate::error::Result;
use crate::ops::state::Block;
use crate::ops::{Operation, Signal, without_residual};

pub(super) struct Snake {
    rates: Vec<f32>,
    scales: Vec<f32>,
    kernels: Kernels,
}

impl Snake {
    pub(super) fn new(kernels: &Kernels, rates: &[f32], scales: &[f32]) -> Self {
        Self { rates: rates.to_vec(), scales: scales.to_vec(), kernels: kernels.clone() }
    }
}

impl Operation for Snake {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a snake")?;
        let x = x.tensor()?;
        let Kernels { level, threads, .. } = &self.kernels;
        host::with_floats(x, |floats| {
            self.kernels.write(x.shape(), |out| {
                kernels::snake(*level, floats, &self.rates, &self.scales, out, threads);
                Ok(())
            })
        })
    }

    fn bytes(&self) -> usize {
        (self.rates.len() + self.scales.len()) * size_of::<f32>()
    }
}
