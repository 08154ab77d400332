//! Causal transposed convolution.
//!
//! candle's own is of no use here: on the CPU it gives wrong results for a batch of signals that lie channel by channel, on
//! CUDA it takes no others, and it goes through groups one by one. With a kernel of whole strides it is a product.

use candle_core::Tensor;

use super::{Composed, bytes, finish, product};
use crate::error::Result;
use crate::ops::signal::tensors;
use crate::ops::state::{Block, Slot, Slots};
use crate::ops::{ConvTransposeShape, Operation, Signal, groups, transposed};

pub(super) struct ConvTranspose {
    shape: ConvTransposeShape,
    history: Slot,
    weight: Weight,
    /// `(c_out,)`.
    bias: Option<Tensor>,
}

enum Weight {
    /// `(kernel / stride * c_in, stride * c_out)`: a row of the product is `stride` outputs.
    Dense(Tensor),
    /// Each `(stride, channels)`: what an input adds to its own outputs, to the next input's, and so on.
    Depthwise(Vec<Tensor>),
}

impl ConvTranspose {
    pub(super) fn new(
        backend: &Composed,
        memory: &mut Slots,
        shape: ConvTransposeShape,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let ConvTransposeShape { c_in, c_out, kernel, stride, .. } = shape;
        let weight = if shape.depthwise() {
            let taps = groups::taps(weight, c_in, kernel);
            let parts = taps.chunks_exact(stride * c_in).map(|taps| backend.tensor(taps, &[stride, c_in]));
            Weight::Depthwise(parts.collect::<Result<_>>()?)
        } else {
            let dense = groups::ungrouped(weight, c_in, c_out, kernel, shape.groups);
            let (inputs, outputs) = transposed::offsets(&shape);
            let outputs: Vec<usize> = outputs.collect();
            let arranged: Vec<f32> =
                inputs.flat_map(|input| outputs.iter().map(move |output| input + output)).map(|at| dense[at]).collect();
            Weight::Dense(backend.tensor(&arranged, &[kernel / stride * c_in, stride * c_out])?)
        };
        Ok(Self { shape, history: memory.slot(&[shape.history(), c_in]), weight, bias: backend.optional(bias)? })
    }
}

impl Operation for ConvTranspose {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal> {
        let (x, residual) = tensors(x, residual)?;
        let ConvTransposeShape { c_in, c_out, stride, activation, .. } = self.shape;
        let (rows, steps, _) = x.dims3()?;
        let history = self.shape.history();
        let seen = Tensor::cat(&[&block.gather(self.history)?, x], 1)?;
        // The inputs so many steps before each.
        let before = |back: usize| seen.narrow(1, history - back, steps);
        let y = match &self.weight {
            Weight::Dense(weight) => {
                let inputs = (0..=history).rev().map(before).collect::<candle_core::Result<Vec<_>>>()?;
                product(&Tensor::cat(&inputs, 2)?, weight)?
            }
            Weight::Depthwise(taps) => {
                let mut sum = Tensor::zeros((rows, steps, stride, c_in), x.dtype(), x.device())?;
                for (back, taps) in taps.iter().enumerate().rev() {
                    sum = (sum + before(back)?.reshape((rows, steps, 1, c_in))?.broadcast_mul(taps)?)?;
                }
                sum
            }
        };
        let y = finish(y.reshape((rows, steps * stride, c_out))?, self.bias.as_ref(), residual, activation)?;
        if history > 0 {
            block.remember(self.history, x)?;
        }
        Ok(y)
    }

    fn bytes(&self) -> usize {
        let bias = self.bias.as_ref();
        match &self.weight {
            Weight::Dense(weight) => bytes([Some(weight), bias]),
            Weight::Depthwise(taps) => bytes(taps.iter().map(Some).chain([bias])),
        }
    }
}
