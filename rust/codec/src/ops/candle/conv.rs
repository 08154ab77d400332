//! Causal convolution.

use candle_core::Tensor;

use super::{Composed, bytes, finish};
use crate::error::Result;
use crate::ops::signal::tensors;
use crate::ops::state::{Block, Slot, Slots};
use crate::ops::{ConvShape, Operation, Signal, edge, groups};

pub(super) struct Conv {
    shape: ConvShape,
    history: Slot,
    weight: Weight,
    bias: Option<Tensor>,
}

enum Weight {
    /// `(c_out, c_in, kernel)`.
    Dense(Tensor),
    /// `(channels,)` for each tap: candle goes through groups one by one.
    Depthwise(Vec<Tensor>),
}

impl Conv {
    pub(super) fn new(
        backend: &Composed,
        memory: &mut Slots,
        shape: ConvShape,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let ConvShape { c_in, c_out, kernel, .. } = shape;
        let weight = if shape.depthwise() && shape.stride == 1 {
            let taps = groups::taps(weight, c_in, kernel);
            Weight::Depthwise(taps.chunks_exact(c_in).map(|tap| backend.tensor(tap, &[c_in])).collect::<Result<_>>()?)
        } else {
            let dense = groups::ungrouped(weight, c_out, c_in, kernel, shape.groups);
            Weight::Dense(backend.tensor(&dense, &[c_out, c_in, kernel])?)
        };
        Ok(Self { shape, history: memory.slot(&[shape.history(), c_in]), weight, bias: backend.optional(bias)? })
    }
}

impl Operation for Conv {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal> {
        let (x, residual) = tensors(x, residual)?;
        edge::begin(&self.shape, self.history, x, block)?;
        let x = &edge::fill_up(&self.shape, x, block)?;
        let signal = Tensor::cat(&[&block.gather(self.history)?, x], 1)?;
        let y = match &self.weight {
            Weight::Dense(weight) => {
                let signal = signal.transpose(1, 2)?.contiguous()?;
                signal.conv1d(weight, 0, self.shape.stride, self.shape.dilation, 1)?.transpose(1, 2)?.contiguous()?
            }
            Weight::Depthwise(taps) => {
                let mut sum = x.zeros_like()?;
                for (k, tap) in taps.iter().enumerate() {
                    let seen = signal.narrow(1, k * self.shape.dilation, x.dim(1)?)?;
                    sum = (sum + seen.broadcast_mul(tap)?)?;
                }
                sum
            }
        };
        let y = finish(y, self.bias.as_ref(), residual, self.shape.activation)?;
        if self.shape.history() > 0 {
            block.remember(self.history, x)?;
        }
        Ok(y)
    }

    fn bytes(&self) -> usize {
        match &self.weight {
            Weight::Dense(weight) => bytes([Some(weight), self.bias.as_ref()]),
            Weight::Depthwise(taps) => bytes(taps.iter().map(Some).chain([self.bias.as_ref()])),
        }
    }
}
