//! Normalisation over the channels.

use mimi_kernels::{layer_norm, rms_norm};

use super::{Kernels, host};
use crate::error::Result;
use crate::ops::state::Block;
use crate::ops::{Operation, Signal, without_residual};

pub(super) struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
    kernels: Kernels,
}

impl LayerNorm {
    pub(super) fn new(kernels: &Kernels, weight: &[f32], bias: &[f32], epsilon: f64) -> Self {
        Self { weight: weight.to_vec(), bias: bias.to_vec(), epsilon: epsilon as f32, kernels: kernels.clone() }
    }
}

impl Operation for LayerNorm {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a layer norm")?;
        let x = x.tensor()?;
        host::with_floats(x, |floats| {
            self.kernels.write(x.shape(), |out| {
                let Kernels { level, threads, .. } = &self.kernels;
                layer_norm(*level, floats, &self.weight, &self.bias, self.epsilon, out, threads);
                Ok(())
            })
        })
    }

    fn bytes(&self) -> usize {
        (self.weight.len() + self.bias.len()) * size_of::<f32>()
    }
}

pub(super) struct RmsNorm {
    weight: Vec<f32>,
    epsilon: f32,
    kernels: Kernels,
}

impl RmsNorm {
    pub(super) fn new(kernels: &Kernels, weight: &[f32], epsilon: f64) -> Self {
        Self { weight: weight.to_vec(), epsilon: epsilon as f32, kernels: kernels.clone() }
    }
}

impl Operation for RmsNorm {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a norm")?;
        let x = x.tensor()?;
        let Kernels { level, threads, .. } = &self.kernels;
        host::with_floats(x, |floats| {
            self.kernels.write(x.shape(), |out| {
                rms_norm(*level, floats, &self.weight, self.epsilon, out, threads);
                Ok(())
            })
        })
    }

    fn bytes(&self) -> usize {
        self.weight.len() * size_of::<f32>()
    }
}
