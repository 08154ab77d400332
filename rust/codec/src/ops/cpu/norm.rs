//! Normalisation over the channels.

use mimi_kernels::{Array, Arrays as _, Numbers, layer_norm, rms_norm};

use super::{Kernels, host};
use crate::error::Result;
use crate::ops::state::Block;
use crate::ops::{Arrays, Operation, Signal, Weights, without_residual};

/// What the arrays are called.
const WEIGHT: &str = "weight";
const BIAS: &str = "bias";

pub(super) struct LayerNorm {
    weight: Numbers<f32>,
    bias: Numbers<f32>,
    epsilon: f32,
    kernels: Kernels,
}

impl LayerNorm {
    pub(super) fn new(kernels: &Kernels, channels: usize, weights: Weights<'_>, epsilon: f64) -> Result<Self> {
        let (weight, bias) = match weights {
            Weights::Tensors(weight, bias) => (weight.into_owned().into(), bias.unwrap_or_default().to_vec().into()),
            Weights::Packed(layer, _) => (layer.find(WEIGHT, channels)?, layer.find(BIAS, channels)?),
        };
        Ok(Self { weight, bias, epsilon: epsilon as f32, kernels: kernels.clone() })
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

    fn arrays(&self) -> Arrays {
        vec![(WEIGHT, Array::Float32(self.weight.clone())), (BIAS, Array::Float32(self.bias.clone()))]
    }
}

pub(super) struct RmsNorm {
    weight: Numbers<f32>,
    epsilon: f32,
    kernels: Kernels,
}

impl RmsNorm {
    pub(super) fn new(kernels: &Kernels, channels: usize, weights: Weights<'_>, epsilon: f64) -> Result<Self> {
        let weight = match weights {
            Weights::Tensors(weight, _) => weight.into_owned().into(),
            Weights::Packed(layer, _) => layer.find(WEIGHT, channels)?,
        };
        Ok(Self { weight, epsilon: epsilon as f32, kernels: kernels.clone() })
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

    fn arrays(&self) -> Arrays {
        vec![(WEIGHT, Array::Float32(self.weight.clone()))]
    }
}
