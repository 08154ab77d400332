//! The first half of the channels, through a function, times the second half.

use mimi_kernels as kernels;

use super::{Kernels, host};
use crate::error::Result;
use crate::ops::state::Block;
use crate::ops::{Activation, Operation, Signal, without_residual};

pub(super) struct Gate {
    activation: kernels::Activation,
    channels: usize,
    kernels: Kernels,
}

impl Gate {
    pub(super) fn new(kernels: &Kernels, activation: Activation, channels: usize) -> Self {
        Self { activation: activation.of_kernels(), channels, kernels: kernels.clone() }
    }
}

impl Operation for Gate {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a gate")?;
        let x = x.tensor()?;
        let (rows, steps, _) = x.dims3()?;
        let Kernels { level, threads, .. } = &self.kernels;
        host::with_floats(x, |floats| {
            self.kernels.write((rows, steps, self.channels), |out| {
                kernels::gated(*level, self.activation, floats, out, self.channels, threads);
                Ok(())
            })
        })
    }
}
