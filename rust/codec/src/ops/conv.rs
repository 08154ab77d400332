//! Causal convolution.

use candle_core::Tensor;
use mimi_kernels::{Epilogue, PackedMatrix, Rows, Strided, product};

use super::activation::finish;
use super::{Activation, Backend, Host, Signal, host};
use crate::Result;
use crate::state::{Block, Slot, StateLayout};

/// What a convolution computes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvShape {
    pub(crate) c_in: usize,
    pub(crate) c_out: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) edge: Edge,
    /// Whether a step of the transformer is a single output: the weights may then be stored in less.
    pub(crate) slow: bool,
    pub(crate) activation: Option<Activation>,
}

/// What lies before the first input and after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// Zeros.
    Zero,
    /// The first input, and the last.
    Replicate,
}

impl ConvShape {
    /// Inputs from the first to the last that an output sees.
    fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// Inputs before a block that its outputs see: Transformers' `padding_total`.
    fn history(&self) -> usize {
        self.reach().saturating_sub(self.stride)
    }
}

/// `y[t] = activation(bias + sum_k W[k] x[t stride - history + k dilation] + residual[t])`.
///
/// A block has a multiple of `stride` steps, but for the last of a clip, which is filled up at its edge: each
/// convolution on its own input, as Transformers does it.
pub(crate) struct Conv {
    shape: ConvShape,
    history: Slot,
    body: Body,
}

enum Body {
    /// Weights `(kernel * c_in, c_out)`: the left matrix has the inputs in the order of time.
    Kernels {
        weight: PackedMatrix,
        host: Host,
    },
    Composed {
        weight: Tensor,
        bias: Option<Tensor>,
    },
}

impl Conv {
    /// `weight` is `(c_out, c_in, kernel)`, row-major, as PyTorch has it.
    pub(crate) fn new(
        backend: &Backend,
        layout: &mut StateLayout,
        shape: ConvShape,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let ConvShape { c_in, c_out, kernel, .. } = shape;
        let body = match backend {
            Backend::Kernels(host) => {
                let inputs = (0..kernel).flat_map(|tap| (0..c_in).map(move |input| input * kernel + tap));
                let outputs = (0..c_out).map(|output| output * c_in * kernel);
                let matrix = Strided::new(weight, inputs, outputs);
                let weight = PackedMatrix::new(host.level, host.precision_if(shape.slow), &matrix, bias);
                Body::Kernels { weight, host: host.clone() }
            }
            Backend::Composed(_) => Body::Composed {
                weight: backend.tensor(weight, &[c_out, c_in, kernel])?,
                bias: bias.map(|bias| backend.tensor(bias, &[c_out])).transpose()?,
            },
        };
        Ok(Self { shape, history: layout.slot(&[shape.history(), c_in]), body })
    }

    /// `(rows, steps, c_in)` to `(rows, ceil(steps / stride), c_out)`; a residual has the output's shape.
    pub(crate) fn forward(&self, x: &Tensor, residual: Option<&Tensor>, block: &Block<'_>) -> Result<Signal> {
        self.begin(x, block)?;
        let x = &self.fill_up(x, block)?;
        let y = match &self.body {
            Body::Kernels { weight, host } => self.multiply(weight, host, x, residual, block)?,
            Body::Composed { weight, bias } => {
                let signal = Tensor::cat(&[&block.gather(self.history)?, x], 1)?.transpose(1, 2)?.contiguous()?;
                let y = signal.conv1d(weight, 0, self.shape.stride, self.shape.dilation, 1)?.transpose(1, 2)?;
                let y = match bias {
                    Some(bias) => y.broadcast_add(bias)?,
                    None => y,
                };
                finish(y.contiguous()?, residual, self.shape.activation)?
            }
        };
        if self.shape.history() > 0 {
            block.remember(self.history, x)?;
        }
        Ok(y)
    }

    /// A history of zeros is there from the start; the first input repeated is only known now.
    fn begin(&self, x: &Tensor, block: &Block<'_>) -> Result<()> {
        if self.shape.edge == Edge::Replicate {
            for (i, &row) in block.rows.iter().enumerate().filter(|&(i, _)| block.position(i) == 0) {
                let first = x.narrow(0, i, 1)?.narrow(1, 0, 1)?.repeat((1, self.shape.history(), 1))?;
                block.slot(self.history).slice_set(&first, 0, row)?;
            }
        }
        Ok(())
    }

    fn fill_up(&self, x: &Tensor, block: &Block<'_>) -> Result<Tensor> {
        let steps = x.dim(1)?;
        let missing = steps.next_multiple_of(self.shape.stride) - steps;
        if missing == 0 || !block.end {
            return Ok(x.clone());
        }
        let last = x.narrow(1, steps - 1, 1)?;
        let edge = match self.shape.edge {
            Edge::Zero => last.zeros_like()?,
            Edge::Replicate => last,
        };
        Ok(Tensor::cat(&[x, &edge.repeat((1, missing, 1))?], 1)?)
    }

    /// One product for all rows. Outputs that see the history read it from a short copy, history and first inputs in
    /// one piece; the others read `x` where it lies.
    fn multiply(
        &self,
        weight: &PackedMatrix,
        host: &Host,
        x: &Tensor,
        residual: Option<&Tensor>,
        block: &Block<'_>,
    ) -> Result<Signal> {
        let ConvShape { c_in, c_out, stride, dilation, .. } = self.shape;
        let (rows, steps, _) = x.dims3()?;
        let outputs = steps / stride;
        let history = self.shape.history();
        let from_history = outputs.min(history.div_ceil(stride));
        // Inputs that the outputs at the edge see: at most `steps`, as each output takes `stride` new ones.
        let first_inputs = (from_history * stride).min(steps);
        let (edge_len, span) = ((history + first_inputs) * c_in, self.shape.reach() * c_in);
        let runs = if dilation == 1 { (span, 0) } else { (c_in, dilation * c_in) };
        let old = block.slot(self.history);
        host::with_floats(x, |x| {
            host::with_floats(old, |old| {
                let mut edges = Vec::with_capacity(rows * edge_len);
                for (&row, x) in block.rows.iter().zip(x.chunks_exact(steps * c_in)) {
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
                    Signal::write(host, (rows, outputs, c_out), |out| {
                        let epilogue = Epilogue { residual, activation: self.shape.activation };
                        product(&left, runs, weight, epilogue, out, &host.threads);
                        Ok(())
                    })
                })
            })
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.body {
            Body::Kernels { weight, .. } => weight.bytes(),
            Body::Composed { weight, bias } => host::bytes([Some(weight), bias.as_ref()]),
        }
    }
}
