//! Snake: a sine with a rate and a scale for each channel.

use mimi_kernels::{self as kernels, Array, Arrays as _, Numbers};

use super::{Kernels, host};
use crate::error::Result;
use crate::ops::state::Block;
use crate::ops::{Arrays, Operation, Signal, Weights, without_residual};

/// What the arrays are called.
const RATES: &str = "rates";
const SCALES: &str = "scales";

pub(super) struct Snake {
    rates: Numbers<f32>,
    scales: Numbers<f32>,
    kernels: Kernels,
}

impl Snake {
    pub(super) fn new(kernels: &Kernels, channels: usize, weights: Weights<'_>) -> Result<Self> {
        let (rates, scales) = match weights {
            Weights::Tensors(rates, scales) => (rates.into_owned().into(), scales.unwrap_or_default().to_vec().into()),
            Weights::Packed(layer, _) => (layer.find(RATES, channels)?, layer.find(SCALES, channels)?),
        };
        Ok(Self { rates, scales, kernels: kernels.clone() })
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

    fn arrays(&self) -> Arrays {
        vec![(RATES, Array::Float32(self.rates.clone())), (SCALES, Array::Float32(self.scales.clone()))]
    }
}
