//! An activation alone.

use mimi_kernels as kernels;

use super::{Kernels, host};
use crate::error::Result;
use crate::ops::state::Block;
use crate::ops::{Activation, Operation, Signal, without_residual};

pub(super) struct Activate {
    activation: kernels::Activation,
    kernels: Kernels,
}

impl Activate {
    pub(super) fn new(kernels: &Kernels, activation: Activation) -> Self {
        Self { activation: activation.of_kernels(), kernels: kernels.clone() }
    }
}

impl Operation for Activate {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "an activation")?;
        let x = x.tensor()?;
        let Kernels { level, threads, .. } = &self.kernels;
        host::with_floats(x, |floats| {
            self.kernels.write(x.shape(), |out| {
                kernels::activate(*level, self.activation, floats, out, threads);
                Ok(())
            })
        })
    }
}
