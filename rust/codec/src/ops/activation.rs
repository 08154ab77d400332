//! Element-wise functions, alone or at the end of a product.

use candle_core::Tensor;
use mimi_kernels as kernels;

use super::{Backend, Signal, host};
use crate::Result;

pub(crate) use kernels::Activation;

/// `x` above zero, `e^x - 1` below.
pub(crate) fn elu(backend: &Backend, x: &Tensor) -> Result<Signal> {
    match backend {
        Backend::Kernels(host) => host::with_floats(x, |x_floats| {
            Signal::write(host, x.shape(), |out| {
                kernels::elu(host.level, x_floats, out, &host.threads);
                Ok(())
            })
        }),
        Backend::Composed(_) => Ok(x.elu(1.0)?.into()),
    }
}

/// The plain definition of what a product does at its end.
pub(crate) fn finish(x: Tensor, residual: Option<&Tensor>, activation: Option<Activation>) -> Result<Signal> {
    let x = match residual {
        Some(residual) => (x + residual)?,
        None => x,
    };
    let x = match activation {
        None => x,
        Some(Activation::Elu) => x.elu(1.0)?,
        Some(Activation::GeluErf) => x.gelu_erf()?,
        Some(Activation::GeluTanh) => x.gelu()?,
    };
    Ok(x.into())
}
