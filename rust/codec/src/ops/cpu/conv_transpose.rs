//! Causal transposed convolution: a product over the inputs that an output sees, or channel by channel.

use mimi_kernels::{
    Array, Arrays as _, DepthwiseUpsample, Epilogue, Numbers, PackedMatrix, Rows, Strided, product, upsample,
};

use super::{Kernels, TAPS, host};
use crate::error::Result;
use crate::finite::check_finite;
use crate::ops::signal::tensors;
use crate::ops::state::{Block, Slot, Slots};
use crate::ops::{Activation, Arrays, ConvTransposeShape, Operation, Signal, Weights, groups, precisions, transposed};

/// All groups in one product whose rows are `stride` outputs.
pub(super) struct Dense {
    shape: ConvTransposeShape,
    history: Slot,
    weight: PackedMatrix,
    kernels: Kernels,
}

impl Dense {
    pub(super) fn new(
        kernels: &Kernels,
        memory: &mut Slots,
        shape: ConvTransposeShape,
        weights: Weights<'_>,
    ) -> Result<Self> {
        let ConvTransposeShape { c_in, c_out, kernel, stride, .. } = shape;
        let precision = precisions::of_convolution(kernels.precision, shape.rows_per_frame);
        let size = ((shape.history() + 1) * c_in, stride * c_out);
        let weight = kernels.matrix(precision, size, weights, |weight, bias| {
            let dense = groups::ungrouped(weight, c_in, c_out, kernel, shape.groups);
            let (inputs, outputs) = transposed::offsets(&shape);
            let repeated = bias.map(|bias| bias.repeat(stride));
            PackedMatrix::new(kernels.level, precision, &Strided::new(&dense, inputs, outputs), repeated.as_deref())
        })?;
        Ok(Self { shape, history: memory.slot(&[shape.history(), c_in]), weight, kernels: kernels.clone() })
    }
}

impl Operation for Dense {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal> {
        let (x, residual) = tensors(x, residual)?;
        let ConvTransposeShape { c_in, c_out, stride, activation, .. } = self.shape;
        let (rows, steps, _) = x.dims3()?;
        let history = self.shape.history();
        let span = (history + 1) * c_in;
        // Inputs whose outputs see the history; these are read from a short copy, the others where they lie.
        let first = history.min(steps);
        let old = block.gather(self.history)?;
        let y = host::with_floats(x, |x| {
            host::with_floats(&old, |old| {
                let edge = (history + first) * c_in;
                let mut edges = Vec::with_capacity(rows * edge);
                for (row, x) in x.chunks_exact(steps * c_in).enumerate() {
                    // What will be remembered.
                    check_finite(&x[(steps - first) * c_in..], "inputs of a convolution")?;
                    edges.extend_from_slice(&old[row * history * c_in..][..history * c_in]);
                    edges.extend_from_slice(&x[..first * c_in]);
                }
                let mut left = Rows::new(span);
                for (row, x) in x.chunks_exact(steps * c_in).enumerate() {
                    left.push(&edges[row * edge..][..edge], c_in, first);
                    left.push(x, c_in, steps - first);
                }
                host::with_optional_floats(residual, |residual| {
                    self.kernels.write((rows, steps * stride, c_out), |out| {
                        let epilogue = Epilogue { residual, activation: activation.map(Activation::of_kernels) };
                        product(&left, (span, 0), &self.weight, epilogue, out, &self.kernels.threads);
                        Ok(())
                    })
                })
            })
        })?;
        if history > 0 {
            block.remember(self.history, x)?;
        }
        Ok(y)
    }

    fn arrays(&self) -> Arrays {
        self.weight.arrays()
    }
}

/// Each channel on its own, with neither bias nor activation.
pub(super) struct Depthwise {
    shape: ConvTransposeShape,
    history: Slot,
    /// `(kernel, channels)`.
    taps: Numbers<f32>,
    kernels: Kernels,
}

impl Depthwise {
    pub(super) fn new(
        kernels: &Kernels,
        memory: &mut Slots,
        shape: ConvTransposeShape,
        weights: Weights<'_>,
    ) -> Result<Self> {
        let history = memory.slot(&[shape.history(), shape.c_in]);
        let taps = match weights {
            Weights::Tensors(weight, _) => groups::taps(&weight, shape.c_in, shape.kernel).into(),
            Weights::Packed(layer, _) => layer.find(TAPS, shape.kernel * shape.c_in)?,
        };
        Ok(Self { shape, history, taps, kernels: kernels.clone() })
    }
}

impl Operation for Depthwise {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal> {
        let (x, residual) = tensors(x, residual)?;
        let ConvTransposeShape { c_in: channels, stride, .. } = self.shape;
        let (rows, steps, _) = x.dims3()?;
        let history = self.shape.history();
        let old = block.gather(self.history)?;
        let y = host::with_floats(x, |x| {
            host::with_floats(&old, |old| {
                self.kernels.write((rows, steps * stride, channels), |out| {
                    let weights = DepthwiseUpsample { taps: &self.taps, channels, stride };
                    let parts = x.chunks_exact(steps * channels).zip(out.chunks_exact_mut(steps * stride * channels));
                    for (row, (x, out)) in parts.enumerate() {
                        check_finite(&x[steps.saturating_sub(history) * channels..], "inputs of a convolution")?;
                        let old = &old[row * history * channels..][..history * channels];
                        upsample(self.kernels.level, &weights, old, x, out);
                    }
                    Ok(())
                })
            })
        })?;
        if history > 0 {
            block.remember(self.history, x)?;
        }
        match residual {
            Some(residual) => Signal::of((y.tensor()? + residual)?),
            None => Ok(y),
        }
    }

    fn arrays(&self) -> Arrays {
        vec![(TAPS, Array::Float32(self.taps.clone()))]
    }
}
