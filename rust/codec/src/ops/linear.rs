//! A dense layer over the last dimension.

use candle_core::Tensor;
use mimi_kernels::{Epilogue, PackedMatrix, Rows, Strided, product};

use super::activation::finish;
use super::{Activation, Backend, Host, Signal, host};
use crate::Result;

/// `activation(x W^T + bias + residual)`.
pub(crate) struct Linear {
    body: Body,
    activation: Option<Activation>,
}

enum Body {
    Kernels { weight: PackedMatrix, host: Host },
    Composed { weight: Tensor, bias: Option<Tensor> },
}

impl Linear {
    /// `weight` is `(c_out, c_in)`, row-major, as PyTorch has it.
    pub(crate) fn new(
        backend: &Backend,
        (c_in, c_out): (usize, usize),
        weight: &[f32],
        bias: Option<&[f32]>,
        activation: Option<Activation>,
    ) -> Result<Self> {
        let body = match backend {
            Backend::Kernels(host) => Body::Kernels {
                weight: PackedMatrix::new(host.level, host.precision, &Strided::transposed(weight, c_in), bias),
                host: host.clone(),
            },
            Backend::Composed(_) => Body::Composed {
                weight: backend.tensor(weight, &[c_out, c_in])?.t()?.contiguous()?,
                bias: bias.map(|bias| backend.tensor(bias, &[c_out])).transpose()?,
            },
        };
        Ok(Self { body, activation })
    }

    /// `(rows, steps, c_in)` to `(rows, steps, c_out)`; a residual has the output's shape.
    pub(crate) fn forward(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Signal> {
        let (rows, steps, _) = x.dims3()?;
        match &self.body {
            Body::Kernels { weight, host } => host::with_floats(x, |x| {
                host::with_optional_floats(residual, |residual| {
                    Signal::write(host, (rows, steps, weight.columns()), |out| {
                        let left = Rows::contiguous(x, weight.depth());
                        let epilogue = Epilogue { residual, activation: self.activation };
                        product(&left, (weight.depth(), 0), weight, epilogue, out, &host.threads);
                        Ok(())
                    })
                })
            }),
            Body::Composed { weight, bias } => {
                let y = x.broadcast_matmul(weight)?;
                let y = match bias {
                    Some(bias) => y.broadcast_add(bias)?,
                    None => y,
                };
                finish(y, residual, self.activation)
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.body {
            Body::Kernels { weight, .. } => weight.bytes(),
            Body::Composed { weight, bias } => host::bytes([Some(weight), bias.as_ref()]),
        }
    }
}
