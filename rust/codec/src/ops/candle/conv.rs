//! Causal convolution.

use candle_core::Tensor;

use super::{Composed, bytes, finish};
use crate::error::Result;
use crate::ops::state::{Block, Slot, Slots};
use crate::ops::{Backend, ConvShape, Operation, Signal, edge};

pub(super) struct Conv {
    shape: ConvShape,
    history: Slot,
    /// `(c_out, c_in, kernel)`.
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Conv {
    pub(super) fn new(
        backend: &Composed,
        memory: &mut Slots,
        shape: ConvShape,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        Ok(Self {
            shape,
            history: memory.slot(&[shape.history(), shape.c_in]),
            weight: backend.tensor(weight, &[shape.c_out, shape.c_in, shape.kernel])?,
            bias: backend.optional(bias)?,
        })
    }
}

impl Operation for Conv {
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, block: &Block<'_>) -> Result<Signal> {
        edge::begin(&self.shape, self.history, x, block)?;
        let x = &edge::fill_up(&self.shape, x, block)?;
        let signal = Tensor::cat(&[&block.gather(self.history)?, x], 1)?.transpose(1, 2)?.contiguous()?;
        let y = signal.conv1d(&self.weight, 0, self.shape.stride, self.shape.dilation, 1)?;
        let y = y.transpose(1, 2)?.contiguous()?;
        let y = finish(y, self.bias.as_ref(), residual, self.shape.activation)?;
        if self.shape.history() > 0 {
            block.remember(self.history, x)?;
        }
        Ok(y)
    }

    fn bytes(&self) -> usize {
        bytes([Some(&self.weight), self.bias.as_ref()])
    }
}
