//! Causal transposed convolution: a product over `[x[t - 1], x[t]]`, or channel by channel.

use candle_core::Tensor;
use mimi_kernels::{DepthwiseUpsample, Epilogue, PackedMatrix, Rows, Strided, product, upsample};

use super::{Kernels, host, kernels_activation};
use crate::error::Result;
use crate::finite::check_finite;
use crate::ops::state::{Block, Slot, Slots};
use crate::ops::{ConvTransposeShape, Operation, Signal, transposed};

/// All groups in one product whose rows are `stride` outputs.
pub(super) struct Dense {
    shape: ConvTransposeShape,
    previous: Slot,
    weight: PackedMatrix,
    kernels: Kernels,
}

impl Dense {
    pub(super) fn new(
        kernels: &Kernels,
        memory: &mut Slots,
        shape: ConvTransposeShape,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Self {
        let dense = transposed::ungrouped(weight, &shape);
        let (inputs, outputs) = transposed::offsets(&shape);
        let matrix = Strided::new(&dense, inputs, outputs);
        let repeated = bias.map(|bias| bias.repeat(shape.stride));
        let precision = kernels.precision_for(shape.rows_per_frame);
        Self {
            shape,
            previous: memory.slot(&[1, shape.c_in]),
            weight: PackedMatrix::new(kernels.level, precision, &matrix, repeated.as_deref()),
            kernels: kernels.clone(),
        }
    }
}

impl Operation for Dense {
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, block: &Block<'_>) -> Result<Signal> {
        let ConvTransposeShape { c_in, c_out, stride, activation, .. } = self.shape;
        let (rows, steps, _) = x.dims3()?;
        let previous = block.gather(self.previous)?;
        let y = host::with_floats(x, |x| {
            host::with_floats(&previous, |previous| {
                let mut edges = Vec::with_capacity(2 * rows * c_in);
                for (previous, x) in previous.chunks_exact(c_in).zip(x.chunks_exact(steps * c_in)) {
                    // What will be remembered.
                    check_finite(&x[(steps - 1) * c_in..], "inputs of a convolution")?;
                    edges.extend_from_slice(previous);
                    edges.extend_from_slice(&x[..c_in]);
                }
                let mut left = Rows::new(2 * c_in);
                for (edge, x) in edges.chunks_exact(2 * c_in).zip(x.chunks_exact(steps * c_in)) {
                    left.push(edge, c_in, 1);
                    left.push(x, c_in, steps - 1);
                }
                host::with_optional_floats(residual, |residual| {
                    self.kernels.write((rows, steps * stride, c_out), |out| {
                        let epilogue = Epilogue { residual, activation: activation.map(kernels_activation) };
                        product(&left, (2 * c_in, 0), &self.weight, epilogue, out, &self.kernels.threads);
                        Ok(())
                    })
                })
            })
        })?;
        block.remember(self.previous, x)?;
        Ok(y)
    }

    fn bytes(&self) -> usize {
        self.weight.bytes()
    }
}

/// Each channel on its own, with neither bias nor activation.
pub(super) struct Depthwise {
    shape: ConvTransposeShape,
    previous: Slot,
    /// `(2 stride, channels)`.
    taps: Vec<f32>,
    kernels: Kernels,
}

impl Depthwise {
    pub(super) fn new(kernels: &Kernels, memory: &mut Slots, shape: ConvTransposeShape, weight: &[f32]) -> Self {
        let (previous, taps) = (memory.slot(&[1, shape.c_in]), transposed::taps(weight, &shape));
        Self { shape, previous, taps, kernels: kernels.clone() }
    }
}

impl Operation for Depthwise {
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, block: &Block<'_>) -> Result<Signal> {
        let ConvTransposeShape { c_in: channels, stride, .. } = self.shape;
        let (rows, steps, _) = x.dims3()?;
        let previous = block.gather(self.previous)?;
        let y = host::with_floats(x, |x| {
            host::with_floats(&previous, |previous| {
                self.kernels.write((rows, steps * stride, channels), |out| {
                    let weights = DepthwiseUpsample { taps: &self.taps, channels, stride };
                    let rows = previous.chunks_exact(channels).zip(x.chunks_exact(steps * channels));
                    for ((previous, x), out) in rows.zip(out.chunks_exact_mut(steps * stride * channels)) {
                        check_finite(&x[(steps - 1) * channels..], "inputs of a convolution")?;
                        upsample(self.kernels.level, &weights, previous, x, out);
                    }
                    Ok(())
                })
            })
        })?;
        block.remember(self.previous, x)?;
        match residual {
            Some(residual) => Ok((&*y + residual)?.into()),
            None => Ok(y),
        }
    }

    fn bytes(&self) -> usize {
        self.taps.len() * size_of::<f32>()
    }
}
