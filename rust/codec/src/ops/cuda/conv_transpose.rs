//! Causal transposed convolution: a product over the inputs that an output sees, or channel by channel.

use std::sync::Arc;

use mimi_cuda::{Buffer, Edge, Rows, Upsample, Weights, Window};
use mimi_kernels::{Precision, Strided};

use super::card::Card;
use super::memory::Sessions;
use super::product::Factors;
use super::values::Ready;
use crate::error::Result;
use crate::ops::state::{Block, Slot, Slots};
use crate::ops::{Activation, ConvTransposeShape, Operation, Signal, groups, transposed};

/// All groups in one product whose rows are `stride` outputs.
pub(super) struct Dense {
    shape: ConvTransposeShape,
    history: Slot,
    /// `((history + 1) * c_in, stride * c_out)`.
    weights: Weights,
    card: Arc<Card>,
}

impl Dense {
    pub(super) fn new(
        card: &Arc<Card>,
        memory: &mut Slots,
        shape: ConvTransposeShape,
        precision: Precision,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let ConvTransposeShape { c_in, c_out, kernel, .. } = shape;
        let dense = groups::ungrouped(weight, c_in, c_out, kernel, shape.groups);
        let (inputs, outputs) = transposed::offsets(&shape);
        let matrix = Strided::new(&dense, inputs, outputs);
        let repeated = bias.map(|bias| bias.repeat(shape.stride));
        Ok(Self {
            shape,
            history: memory.slot(&[shape.history(), c_in]),
            weights: Weights::new(card.gpu(), precision, &matrix, repeated.as_deref())?,
            card: Arc::clone(card),
        })
    }
}

impl Operation for Dense {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal> {
        let ConvTransposeShape { c_in, stride, .. } = self.shape;
        let ([rows, steps, _], x, history) = (x.dims(), Ready::of(x, &self.card)?, self.shape.history());
        let window = Window {
            channels: c_in,
            taps: history + 1,
            stride: 1,
            dilation: 1,
            history,
            history_at: block.memory::<Sessions>()?.start(self.history),
            edge: Edge::Zero,
        };
        let activation = self.shape.activation.map(Activation::of_kernels);
        let factors = Factors { input: x.span()?, rows, steps, window, norm: None, residual, activation };
        self.card.product(&self.weights, factors, stride)
    }

    fn bytes(&self) -> usize {
        self.weights.bytes()
    }
}

/// Each channel on its own, with neither bias nor activation.
pub(super) struct Depthwise {
    shape: ConvTransposeShape,
    history: Slot,
    /// `(kernel, channels)`.
    taps: Buffer,
    card: Arc<Card>,
}

impl Depthwise {
    pub(super) fn new(card: &Arc<Card>, memory: &mut Slots, shape: ConvTransposeShape, weight: &[f32]) -> Result<Self> {
        let history = memory.slot(&[shape.history(), shape.c_in]);
        let taps = card.kept(&groups::taps(weight, shape.c_in, shape.kernel))?;
        Ok(Self { shape, history, taps, card: Arc::clone(card) })
    }
}

impl Operation for Depthwise {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal> {
        let ConvTransposeShape { c_in: channels, stride, .. } = self.shape;
        let [rows, steps, _] = x.dims();
        let (x, residual) = (Ready::of(x, &self.card)?, Ready::optional(residual, &self.card)?);
        let (current, history_at) = (self.card.current()?, block.memory::<Sessions>()?.start(self.history));
        self.card.signal([rows, steps * stride, channels], |out| {
            let conv = Upsample {
                channels,
                stride,
                history: self.shape.history(),
                taps: self.taps.span(),
                history_at,
                x: x.span()?,
                residual: residual.as_ref().map(Ready::span).transpose()?,
                out,
                faults: current.faults(),
            };
            let rows = Rows { sessions: current.sessions(), rows, steps };
            Ok(mimi_cuda::upsample(self.card.gpu(), &rows, &conv)?)
        })
    }

    fn bytes(&self) -> usize {
        self.taps.span().bytes()
    }
}
