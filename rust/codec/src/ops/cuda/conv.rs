//! Causal convolution: one product over the time-major input, or channel by channel.

use std::sync::Arc;

use mimi_cuda::{Buffer, Rows, Weights, Window};
use mimi_kernels::{Precision, Strided};

use super::card::Card;
use super::memory::Sessions;
use super::product::Factors;
use super::values::Ready;
use crate::error::Result;
use crate::ops::state::{Block, Slot, Slots};
use crate::ops::{Activation, ConvShape, Edge, Operation, Signal, groups};

/// All groups in one product.
pub(super) struct Conv {
    shape: ConvShape,
    history: Slot,
    /// `(kernel * c_in, c_out)`.
    weights: Weights,
    card: Arc<Card>,
}

impl Conv {
    pub(super) fn new(
        card: &Arc<Card>,
        memory: &mut Slots,
        shape: ConvShape,
        precision: Precision,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let ConvShape { c_in, c_out, kernel, .. } = shape;
        let inputs = (0..kernel).flat_map(|tap| (0..c_in).map(move |input| input * kernel + tap));
        let outputs = (0..c_out).map(|output| output * c_in * kernel);
        let dense = groups::ungrouped(weight, c_out, c_in, kernel, shape.groups);
        Ok(Self {
            shape,
            history: memory.slot(&[shape.history(), c_in]),
            weights: Weights::new(card.gpu(), precision, &Strided::new(&dense, inputs, outputs), bias)?,
            card: Arc::clone(card),
        })
    }
}

impl Operation for Conv {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal> {
        let ConvShape { c_in, kernel, stride, dilation, .. } = self.shape;
        let ([rows, steps, _], x) = (x.dims(), Ready::of(x, &self.card)?);
        let window = Window {
            channels: c_in,
            taps: kernel,
            stride,
            dilation,
            history: self.shape.history(),
            history_at: block.memory::<Sessions>()?.start(self.history),
            edge: edge(self.shape.edge),
        };
        let activation = self.shape.activation.map(Activation::of_kernels);
        let factors = Factors { input: x.span()?, rows, steps, window, norm: None, residual, activation };
        self.card.product(&self.weights, factors, 1)
    }

    fn bytes(&self) -> usize {
        self.weights.bytes()
    }
}

fn edge(edge: Edge) -> mimi_cuda::Edge {
    match edge {
        Edge::Zero => mimi_cuda::Edge::Zero,
        Edge::Replicate => mimi_cuda::Edge::Replicate,
    }
}

/// Each channel on its own.
pub(super) struct Depthwise {
    shape: ConvShape,
    history: Slot,
    /// `(kernel, channels)`.
    taps: Buffer,
    bias: Option<Buffer>,
    card: Arc<Card>,
}

impl Depthwise {
    pub(super) fn new(
        card: &Arc<Card>,
        memory: &mut Slots,
        shape: ConvShape,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        Ok(Self {
            shape,
            history: memory.slot(&[shape.history(), shape.c_in]),
            taps: card.kept(&groups::taps(weight, shape.c_in, shape.kernel))?,
            bias: bias.map(|bias| card.kept(bias)).transpose()?,
            card: Arc::clone(card),
        })
    }
}

impl Operation for Depthwise {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal> {
        let ConvShape { c_in: channels, kernel, stride, dilation, .. } = self.shape;
        let [rows, steps, _] = x.dims();
        let (x, residual) = (Ready::of(x, &self.card)?, Ready::optional(residual, &self.card)?);
        let (current, history_at) = (self.card.current()?, block.memory::<Sessions>()?.start(self.history));
        self.card.signal([rows, steps.div_ceil(stride), channels], |out| {
            let conv = mimi_cuda::Depthwise {
                channels,
                kernel,
                stride,
                dilation,
                edge: edge(self.shape.edge),
                activation: self.shape.activation.map(Activation::of_kernels),
                taps: self.taps.span(),
                bias: self.bias.as_ref().map(Buffer::span),
                history_at,
                x: x.span()?,
                residual: residual.as_ref().map(Ready::span).transpose()?,
                out,
                faults: current.faults(),
            };
            let rows = Rows { sessions: current.sessions(), rows, steps };
            Ok(mimi_cuda::depthwise(self.card.gpu(), &rows, &conv)?)
        })
    }

    fn bytes(&self) -> usize {
        self.taps.span().bytes() + self.bias.as_ref().map_or(0, |bias| bias.span().bytes())
    }
}
