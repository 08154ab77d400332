//! Causal convolution: one product over the time-major input, or channel by channel.

use candle_core::Tensor;
use mimi_kernels::{self as kernels, Array, Arrays as _, Epilogue, Numbers, PackedMatrix, Rows, Strided, product};

use super::{BIAS, Kernels, TAPS, host};
use crate::error::Result;
use crate::finite::check_finite;
use crate::ops::signal::tensors;
use crate::ops::state::{Block, Slot, Slots};
use crate::ops::{Activation, Arrays, ConvShape, Operation, Signal, Weights, edge, groups, precisions};

/// All groups in one product.
pub(super) struct Conv {
    shape: ConvShape,
    history: Slot,
    /// `(kernel * c_in, c_out)`: the left matrix has the inputs in the order of time.
    weight: PackedMatrix,
    kernels: Kernels,
}

impl Conv {
    pub(super) fn new(kernels: &Kernels, memory: &mut Slots, shape: ConvShape, weights: Weights<'_>) -> Result<Self> {
        let ConvShape { c_in, c_out, kernel, rows_per_frame, .. } = shape;
        let precision = precisions::of_convolution(kernels.precision, rows_per_frame);
        let weight = kernels.matrix(precision, (kernel * c_in, c_out), weights, |weight, bias| {
            let inputs = (0..kernel).flat_map(|tap| (0..c_in).map(move |input| input * kernel + tap));
            let outputs = (0..c_out).map(|output| output * c_in * kernel);
            let dense = groups::ungrouped(weight, c_out, c_in, kernel, shape.groups);
            PackedMatrix::new(kernels.level, precision, &Strided::new(&dense, inputs, outputs), bias)
        })?;
        Ok(Self { shape, history: memory.slot(&[shape.history(), c_in]), weight, kernels: kernels.clone() })
    }

    /// One product for all rows. Outputs that see the history read it from a short copy, history and first inputs in
    /// one piece; the others read `x` where it lies.
    fn multiply(&self, x: &Tensor, residual: Option<&Tensor>, block: &Block<'_>) -> Result<Signal> {
        let ConvShape { c_in, c_out, stride, dilation, .. } = self.shape;
        let (rows, steps, _) = x.dims3()?;
        let outputs = steps / stride;
        let history = self.shape.history();
        let from_history = outputs.min(history.div_ceil(stride));
        // Inputs that the outputs at the edge see: at most `steps`, as each output takes `stride` new ones.
        let first_inputs = (from_history * stride).min(steps);
        let (edge_len, span) = ((history + first_inputs) * c_in, self.shape.reach() * c_in);
        let runs = if dilation == 1 { (span, 0) } else { (c_in, dilation * c_in) };
        let old = block.slot(self.history)?;
        host::with_floats(x, |x| {
            host::with_floats(old, |old| {
                let mut edges = Vec::with_capacity(rows * edge_len);
                for (&row, x) in block.rows.iter().zip(x.chunks_exact(steps * c_in)) {
                    // What will be remembered.
                    check_finite(&x[steps.saturating_sub(history) * c_in..], "inputs of a convolution")?;
                    edges.extend_from_slice(&old[row * history * c_in..][..history * c_in]);
                    edges.extend_from_slice(&x[..first_inputs * c_in]);
                }
                let mut left = Rows::new(span);
                for (row, x) in x.chunks_exact(steps * c_in).enumerate() {
                    left.push(&edges[row * edge_len..][..edge_len], stride * c_in, from_history);
                    if outputs > from_history {
                        left.push(
                            &x[(from_history * stride - history) * c_in..],
                            stride * c_in,
                            outputs - from_history,
                        );
                    }
                }
                host::with_optional_floats(residual, |residual| {
                    self.kernels.write((rows, outputs, c_out), |out| {
                        let activation = self.shape.activation.map(Activation::of_kernels);
                        let epilogue = Epilogue { residual, activation };
                        product(&left, runs, &self.weight, epilogue, out, &self.kernels.threads);
                        Ok(())
                    })
                })
            })
        })
    }
}

impl Operation for Conv {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal> {
        let (x, residual) = tensors(x, residual)?;
        edge::begin(&self.shape, self.history, x, block)?;
        let x = &edge::fill_up(&self.shape, x, block)?;
        let y = self.multiply(x, residual, block)?;
        if self.shape.history() > 0 {
            block.remember(self.history, x)?;
        }
        Ok(y)
    }

    fn arrays(&self) -> Arrays {
        self.weight.arrays()
    }
}

/// Each channel on its own.
pub(super) struct Depthwise {
    shape: ConvShape,
    history: Slot,
    /// `(kernel, channels)`.
    taps: Numbers<f32>,
    bias: Option<Numbers<f32>>,
    kernels: Kernels,
}

impl Depthwise {
    pub(super) fn new(kernels: &Kernels, memory: &mut Slots, shape: ConvShape, weights: Weights<'_>) -> Result<Self> {
        let ConvShape { c_in: channels, kernel, .. } = shape;
        let (taps, bias) = match weights {
            Weights::Tensors(weight, bias) => {
                (groups::taps(&weight, channels, kernel).into(), bias.map(|bias| bias.to_vec().into()))
            }
            Weights::Packed(layer, bias) => {
                let bias = bias.then(|| layer.find(BIAS, channels)).transpose()?;
                (layer.find(TAPS, kernel * channels)?, bias)
            }
        };
        Ok(Self { shape, history: memory.slot(&[shape.history(), channels]), taps, bias, kernels: kernels.clone() })
    }
}

impl Operation for Depthwise {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal> {
        let (x, residual) = tensors(x, residual)?;
        edge::begin(&self.shape, self.history, x, block)?;
        let x = &edge::fill_up(&self.shape, x, block)?;
        let ConvShape { c_in: channels, stride, dilation, .. } = self.shape;
        let (rows, steps, _) = x.dims3()?;
        let (history, outputs) = (self.shape.history(), steps / stride);
        let old = block.gather(self.history)?;
        let y = host::with_floats(x, |x| {
            host::with_floats(&old, |old| {
                host::with_optional_floats(residual, |residual| {
                    self.kernels.write((rows, outputs, channels), |out| {
                        let weights = kernels::Depthwise {
                            taps: &self.taps,
                            bias: self.bias.as_deref(),
                            channels,
                            stride,
                            dilation,
                        };
                        let len = outputs * channels;
                        let parts = x.chunks_exact(steps * channels).zip(out.chunks_exact_mut(len));
                        for (row, (x, out)) in parts.enumerate() {
                            // What will be remembered.
                            check_finite(&x[steps.saturating_sub(history) * channels..], "inputs of a convolution")?;
                            let old = &old[row * history * channels..][..history * channels];
                            let residual = residual.map(|residual| &residual[row * len..][..len]);
                            let epilogue =
                                Epilogue { residual, activation: self.shape.activation.map(Activation::of_kernels) };
                            let Kernels { level, threads, .. } = &self.kernels;
                            kernels::depthwise(*level, &weights, old, x, epilogue, out, threads);
                        }
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
        let taps = (TAPS, Array::Float32(self.taps.clone()));
        let bias = self.bias.clone().map(|bias| (BIAS, Array::Float32(bias)));
        std::iter::once(taps).chain(bias).collect()
    }
}
