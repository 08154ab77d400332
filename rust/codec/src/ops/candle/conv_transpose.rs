//! Causal transposed convolution.
//!
//! candle's own is of no use here: on the CPU it gives wrong results for a batch of signals that lie channel by channel, on
//! CUDA it takes no others, and it goes through groups one by one. With a kernel of two strides it is a product.

use candle_core::Tensor;

use super::{Composed, bytes, finish, product};
use crate::error::Result;
use crate::ops::state::{Block, Slot, Slots};
use crate::ops::{Backend, ConvTransposeShape, Operation, Signal, transposed};

pub(super) struct ConvTranspose {
    shape: ConvTransposeShape,
    previous: Slot,
    weight: Weight,
    /// `(c_out,)`.
    bias: Option<Tensor>,
}

enum Weight {
    /// `(2 c_in, stride * c_out)`: a row of the product is `stride` outputs.
    Dense(Tensor),
    /// Each `(stride, channels)`: what an input adds to its own outputs, and to the next input's.
    Depthwise { now: Tensor, next: Tensor },
}

impl ConvTranspose {
    pub(super) fn new(
        backend: &Composed,
        memory: &mut Slots,
        shape: ConvTransposeShape,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let ConvTransposeShape { c_in, c_out, stride, .. } = shape;
        let weight = if shape.depthwise() {
            let taps = transposed::taps(weight, &shape);
            let (now, next) = taps.split_at(stride * c_in);
            let half = |taps: &[f32]| backend.tensor(taps, &[stride, c_in]);
            Weight::Depthwise { now: half(now)?, next: half(next)? }
        } else {
            let dense = transposed::ungrouped(weight, &shape);
            let (inputs, outputs) = transposed::offsets(&shape);
            let outputs: Vec<usize> = outputs.collect();
            let arranged: Vec<f32> =
                inputs.flat_map(|input| outputs.iter().map(move |output| input + output)).map(|at| dense[at]).collect();
            Weight::Dense(backend.tensor(&arranged, &[2 * c_in, stride * c_out])?)
        };
        Ok(Self { shape, previous: memory.slot(&[1, c_in]), weight, bias: backend.optional(bias)? })
    }
}

impl Operation for ConvTranspose {
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, block: &Block<'_>) -> Result<Signal> {
        let ConvTransposeShape { c_in, c_out, stride, activation, .. } = self.shape;
        let (rows, steps, _) = x.dims3()?;
        // Each input's predecessor.
        let before = Tensor::cat(&[&block.gather(self.previous)?, &x.narrow(1, 0, steps - 1)?], 1)?;
        let y = match &self.weight {
            Weight::Dense(weight) => product(&Tensor::cat(&[&before, x], 2)?, weight)?,
            Weight::Depthwise { now, next } => {
                let each = |x: &Tensor, taps| x.reshape((rows, steps, 1, c_in))?.broadcast_mul(taps);
                (each(x, now)? + each(&before, next)?)?
            }
        };
        let y = finish(y.reshape((rows, steps * stride, c_out))?, self.bias.as_ref(), residual, activation)?;
        block.remember(self.previous, x)?;
        Ok(y)
    }

    fn bytes(&self) -> usize {
        let bias = self.bias.as_ref();
        match &self.weight {
            Weight::Dense(weight) => bytes([Some(weight), bias]),
            Weight::Depthwise { now, next } => bytes([Some(now), Some(next), bias]),
        }
    }
}
