//! Layer normalisation over the channels.

use candle_core::{D, Tensor};
use mimi_kernels as kernels;

use super::{Backend, Host, Signal, host};
use crate::Result;

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
pub(crate) struct LayerNorm {
    body: Body,
    epsilon: f64,
}

enum Body {
    Kernels { weight: Vec<f32>, bias: Vec<f32>, host: Host },
    Composed { weight: Tensor, bias: Tensor },
}

impl LayerNorm {
    pub(crate) fn new(backend: &Backend, weight: Vec<f32>, bias: Vec<f32>, epsilon: f64) -> Result<Self> {
        let body = match backend {
            Backend::Kernels(host) => Body::Kernels { weight, bias, host: host.clone() },
            Backend::Composed(_) => Body::Composed {
                weight: backend.tensor(&weight, &[weight.len()])?,
                bias: backend.tensor(&bias, &[bias.len()])?,
            },
        };
        Ok(Self { body, epsilon })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Signal> {
        match &self.body {
            Body::Kernels { weight, bias, host } => host::with_floats(x, |floats| {
                Signal::write(host, x.shape(), |out| {
                    kernels::layer_norm(host.level, floats, weight, bias, self.epsilon as f32, out);
                    Ok(())
                })
            }),
            Body::Composed { weight, bias } => {
                let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
                let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?.sqrt()?;
                Ok(centred.broadcast_div(&deviation)?.broadcast_mul(weight)?.broadcast_add(bias)?.into())
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.body {
            Body::Kernels { weight, bias, .. } => (weight.len() + bias.len()) * size_of::<f32>(),
            Body::Composed { weight, bias } => host::bytes([Some(weight), Some(bias)]),
        }
    }
}
