//! Causal transposed convolution with kernel `2 stride`.

use std::borrow::Cow;

use candle_core::Tensor;
use mimi_kernels::{DepthwiseUpsample, Epilogue, PackedMatrix, Rows, Strided, product, upsample};

use super::activation::finish;
use super::{Activation, Backend, Host, Signal, host};
use crate::Result;
use crate::state::{Block, Slot, StateLayout};

/// What a transposed convolution computes. `groups` is 1 or divides both channel counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvTransposeShape {
    pub(crate) c_in: usize,
    pub(crate) c_out: usize,
    pub(crate) stride: usize,
    pub(crate) groups: usize,
    /// Whether a step of the transformer is a single input: the weights may then be stored in less.
    pub(crate) slow: bool,
    pub(crate) activation: Option<Activation>,
}

/// `y[t stride + j] = activation(bias + W[j] x[t] + W[stride + j] x[t - 1])`.
pub(crate) struct ConvTranspose {
    shape: ConvTransposeShape,
    previous: Slot,
    body: Body,
}

enum Body {
    /// Weights `(2 c_in, stride * c_out)`: a product's row is `stride` outputs.
    Dense {
        weight: PackedMatrix,
        host: Host,
    },
    /// Weights `(2 stride, channels)`.
    Depthwise {
        taps: Vec<f32>,
        host: Host,
    },
    Composed {
        weight: Tensor,
        bias: Option<Tensor>,
    },
}

impl ConvTranspose {
    /// `weight` is `(c_in, c_out / groups, 2 stride)`, row-major, as PyTorch has it.
    pub(crate) fn new(
        backend: &Backend,
        layout: &mut StateLayout,
        shape: ConvTransposeShape,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let ConvTransposeShape { c_in, c_out, stride, groups, slow, activation } = shape;
        let (kernel, group_out) = (2 * stride, c_out / groups);
        let depthwise = groups == c_in && groups == c_out && bias.is_none() && activation.is_none();
        let body = match backend {
            Backend::Kernels(host) if depthwise => {
                let taps = (0..kernel * c_in).map(|i| weight[i % c_in * kernel + i / c_in]).collect();
                Body::Depthwise { taps, host: host.clone() }
            }
            Backend::Kernels(host) => {
                let dense = ungrouped(weight, shape);
                // The first half of a row is x[t - 1], the second x[t].
                let inputs = [stride, 0].into_iter().flat_map(|tap| (0..c_in).map(move |i| i * c_out * kernel + tap));
                let outputs = (0..stride).flat_map(|tap| (0..c_out).map(move |output| output * kernel + tap));
                let matrix = Strided::new(&dense, inputs, outputs);
                let repeated = bias.map(|bias| bias.repeat(stride));
                let weight = PackedMatrix::new(host.level, host.precision_if(slow), &matrix, repeated.as_deref());
                Body::Dense { weight, host: host.clone() }
            }
            Backend::Composed(_) => Body::Composed {
                weight: backend.tensor(weight, &[c_in, group_out, kernel])?,
                bias: bias.map(|bias| backend.tensor(bias, &[c_out])).transpose()?,
            },
        };
        Ok(Self { shape, previous: layout.slot(&[1, c_in]), body })
    }

    /// `(rows, steps, c_in)` to `(rows, steps * stride, c_out)`.
    pub(crate) fn forward(&self, x: &Tensor, block: &Block<'_>) -> Result<Signal> {
        let ConvTransposeShape { c_in, c_out, stride, groups, activation, .. } = self.shape;
        let (rows, steps, _) = x.dims3()?;
        let previous = block.gather(self.previous)?;
        let shape = (rows, steps * stride, c_out);
        let y = match &self.body {
            Body::Dense { weight, host } => host::with_floats(x, |x| {
                host::with_floats(&previous, |previous| {
                    let mut edges = Vec::with_capacity(2 * rows * c_in);
                    for (previous, x) in previous.chunks_exact(c_in).zip(x.chunks_exact(steps * c_in)) {
                        edges.extend_from_slice(previous);
                        edges.extend_from_slice(&x[..c_in]);
                    }
                    let mut left = Rows::new(2 * c_in);
                    for (edge, x) in edges.chunks_exact(2 * c_in).zip(x.chunks_exact(steps * c_in)) {
                        left.push(edge, c_in, 1);
                        left.push(x, c_in, steps - 1);
                    }
                    Signal::write(host, shape, |out| {
                        let epilogue = Epilogue { residual: None, activation };
                        product(&left, (2 * c_in, 0), weight, epilogue, out, &host.threads);
                        Ok(())
                    })
                })
            })?,
            Body::Depthwise { taps, host } => host::with_floats(x, |x| {
                host::with_floats(&previous, |previous| {
                    Signal::write(host, shape, |out| {
                        let weights = DepthwiseUpsample { taps, channels: c_in, stride };
                        let rows = previous.chunks_exact(c_in).zip(x.chunks_exact(steps * c_in));
                        for ((previous, x), out) in rows.zip(out.chunks_exact_mut(steps * stride * c_out)) {
                            upsample(host.level, &weights, previous, x, out);
                        }
                        Ok(())
                    })
                })
            })?,
            Body::Composed { weight, bias } => {
                // Not made contiguous: candle 0.11 multiplies a batch of channels-major signals as if it were time-major.
                let signal = Tensor::cat(&[&previous, x], 1)?.transpose(1, 2)?;
                let y = signal.conv_transpose1d(weight, 0, 0, stride, 1, groups)?;
                let y = y.narrow(2, stride, steps * stride)?.transpose(1, 2)?;
                let y = match bias {
                    Some(bias) => y.broadcast_add(bias)?,
                    None => y,
                };
                finish(y.contiguous()?, None, activation)?
            }
        };
        block.remember(self.previous, x)?;
        Ok(y)
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.body {
            Body::Dense { weight, .. } => weight.bytes(),
            Body::Depthwise { taps, .. } => taps.len() * size_of::<f32>(),
            Body::Composed { weight, bias } => host::bytes([Some(weight), bias.as_ref()]),
        }
    }
}

/// Weights `(c_in, c_out, 2 stride)` with zeros between the groups.
fn ungrouped(weight: &[f32], shape: ConvTransposeShape) -> Cow<'_, [f32]> {
    let ConvTransposeShape { c_in, c_out, stride, groups, .. } = shape;
    if groups == 1 {
        return Cow::Borrowed(weight);
    }
    let group = c_out / groups * 2 * stride;
    let mut dense = vec![0.0; c_in * c_out * 2 * stride];
    let inputs = dense.chunks_exact_mut(c_out * 2 * stride).zip(weight.chunks_exact(group));
    for (input, (outputs, weights)) in inputs.enumerate() {
        outputs[input / (c_in / groups) * group..][..group].copy_from_slice(weights);
    }
    Cow::Owned(dense)
}
