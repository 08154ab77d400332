//! The seam between the layers and the devices.
//!
//! Layers are written once, over candle tensors `(rows, steps, channels)`, and call the operations of this module. Each
//! operation is made for a [`Backend`] when the model is loaded and holds its weights in the form that backend wants:
//! packed for the CPU kernels, or plain tensors for the composition of candle operations that defines what it
//! computes and runs on every device. Nothing outside this module asks where it runs.

mod activation;
mod attention;
mod codebooks;
mod conv;
mod conv_transpose;
mod host;
mod linear;
mod norm;
mod signal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use candle_core::{Device, Tensor};
use mimi_kernels::{Precision, Threads, simd::Level};

pub(crate) use activation::{Activation, elu};
pub(crate) use attention::{Attention, AttentionShape, Rotary};
pub(crate) use codebooks::Codebooks;
pub(crate) use conv::{Conv, ConvShape, Edge};
pub(crate) use conv_transpose::{ConvTranspose, ConvTransposeShape};
pub(crate) use linear::Linear;
pub(crate) use norm::LayerNorm;
pub(crate) use signal::Signal;

use crate::Result;
use signal::Spare;

/// Where a model's operations run, decided once when it is loaded.
#[derive(Clone)]
pub(crate) enum Backend {
    /// The CPU kernels.
    Kernels(Host),
    /// Compositions of candle operations on a device.
    Composed(Device),
}

/// What the CPU kernels need to know.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) level: Level,
    pub(crate) threads: Arc<Threads>,
    pub(crate) spare: Arc<Spare>,
    /// How weights are stored that a stream reads for a few rows at a time: their size is what such a product costs.
    pub(crate) precision: Precision,
}

impl Backend {
    /// The fastest kernels of this processor on `threads` threads.
    pub(crate) fn kernels(threads: usize, precision: Precision) -> Self {
        let (level, threads) = (Level::detect(), Arc::new(Threads::new(threads)));
        Self::Kernels(Host { level, threads, spare: Arc::default(), precision })
    }

    /// The same with all weights as they are.
    pub(crate) fn exact(&self) -> Self {
        match self {
            Self::Kernels(host) => Self::Kernels(Host { precision: Precision::Float32, ..host.clone() }),
            Self::Composed(device) => Self::Composed(device.clone()),
        }
    }

    pub(crate) fn device(&self) -> &Device {
        match self {
            Self::Kernels(_) => &Device::Cpu,
            Self::Composed(device) => device,
        }
    }

    /// The instruction set of the kernels, or the device's kind.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Kernels(host) => host.level.name(),
            Self::Composed(Device::Cpu) => "candle-cpu",
            Self::Composed(Device::Cuda(_)) => "candle-cuda",
            Self::Composed(Device::Metal(_)) => "candle-metal",
        }
    }

    pub(crate) fn tensor(&self, data: &[f32], shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::from_slice(data, shape, self.device())?)
    }
}

impl Host {
    /// The precision of weights that are read for few rows (`slow`), or for many.
    fn precision_if(&self, slow: bool) -> Precision {
        if slow { self.precision } else { Precision::Float32 }
    }
}
