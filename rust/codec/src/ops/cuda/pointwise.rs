//! Passes over all elements that no product could take on its way.

use std::sync::Arc;

use mimi_cuda::{Buffer, Rows, activate, gate, silence, snake};
use mimi_kernels as kernels;

use super::card::Card;
use super::values::Ready;
use crate::error::Result;
use crate::ops::state::Block;
use crate::ops::{Activation, Operation, Signal, without_residual};

pub(super) struct Activate {
    activation: kernels::Activation,
    card: Arc<Card>,
}

impl Activate {
    pub(super) fn new(card: &Arc<Card>, activation: Activation) -> Self {
        Self { activation: activation.of_kernels(), card: Arc::clone(card) }
    }
}

impl Operation for Activate {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "an activation")?;
        let ([rows, steps, channels], current) = (x.dims(), self.card.current()?);
        let x = Ready::of(x, &self.card)?;
        self.card.signal([rows, steps, channels], |out| {
            let rows = Rows { sessions: current.sessions(), rows, steps };
            Ok(activate(self.card.gpu(), &rows, channels, self.activation, x.span()?, out)?)
        })
    }

    fn bytes(&self) -> usize {
        0
    }
}

pub(super) struct Gate {
    activation: kernels::Activation,
    channels: usize,
    card: Arc<Card>,
}

impl Gate {
    pub(super) fn new(card: &Arc<Card>, activation: Activation, channels: usize) -> Self {
        Self { activation: activation.of_kernels(), channels, card: Arc::clone(card) }
    }
}

impl Operation for Gate {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a gate")?;
        let ([rows, steps, _], current) = (x.dims(), self.card.current()?);
        let x = Ready::of(x, &self.card)?;
        self.card.signal([rows, steps, self.channels], |out| {
            let rows = Rows { sessions: current.sessions(), rows, steps };
            Ok(gate(self.card.gpu(), &rows, self.channels, self.activation, x.span()?, out)?)
        })
    }

    fn bytes(&self) -> usize {
        0
    }
}

pub(super) struct Snake {
    /// `(2, channels)`: rates, then scales.
    parameters: Buffer,
    card: Arc<Card>,
}

impl Snake {
    pub(super) fn new(card: &Arc<Card>, rates: &[f32], scales: &[f32]) -> Result<Self> {
        Ok(Self { parameters: card.kept(&[rates, scales].concat())?, card: Arc::clone(card) })
    }
}

impl Operation for Snake {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a snake")?;
        let ([rows, steps, channels], current) = (x.dims(), self.card.current()?);
        let x = Ready::of(x, &self.card)?;
        self.card.signal([rows, steps, channels], |out| {
            let rows = Rows { sessions: current.sessions(), rows, steps };
            Ok(snake(self.card.gpu(), &rows, channels, self.parameters.span(), x.span()?, out)?)
        })
    }

    fn bytes(&self) -> usize {
        self.parameters.span().bytes()
    }
}

/// Zeros in place of the steps that lie before each row's clip.
pub(super) struct Silence {
    lead: usize,
    steps_per_frame: usize,
    card: Arc<Card>,
}

impl Silence {
    pub(super) fn new(card: &Arc<Card>, lead: usize, steps_per_frame: usize) -> Self {
        Self { lead, steps_per_frame, card: Arc::clone(card) }
    }
}

impl Operation for Silence {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "silence")?;
        let ([rows, steps, channels], current) = (x.dims(), self.card.current()?);
        let x = Ready::of(x, &self.card)?;
        self.card.signal([rows, steps, channels], |out| {
            let rows = Rows { sessions: current.sessions(), rows, steps };
            let (lead, per_frame) = (self.lead, self.steps_per_frame);
            Ok(silence(self.card.gpu(), &rows, channels, (lead, per_frame), x.span()?, out)?)
        })
    }

    fn bytes(&self) -> usize {
        0
    }
}
