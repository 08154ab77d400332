//! Normalisation over the channels, which waits for the product that follows it.

use std::sync::Arc;

use mimi_cuda::{Buffer, Normalise as Launch, Rows, Span, normalise};

use super::card::Card;
use super::values::Values;
use crate::error::Result;
use crate::ops::state::Block;
use crate::ops::{Operation, Signal, fault_point, without_residual};

/// What a norm needs.
pub(super) struct Norm {
    weight: Buffer,
    /// None of an RMS norm.
    bias: Option<Buffer>,
    epsilon: f32,
}

impl Norm {
    /// As a product takes it along.
    pub(super) fn before_product(&self) -> mimi_cuda::Norm<'_> {
        let (weight, epsilon) = (self.weight.span(), self.epsilon);
        match &self.bias {
            Some(bias) => mimi_cuda::Norm::Layer { weight, bias: bias.span(), epsilon },
            None => mimi_cuda::Norm::Rms { weight, epsilon },
        }
    }

    /// The norm of `x`, for others than products.
    pub(super) fn take(&self, x: Span<'_>, dims: [usize; 3], card: &Card) -> Result<Signal> {
        let [rows, steps, channels] = dims;
        let current = card.current()?;
        card.signal(dims, |out| {
            let norm = Launch { channels, norm: self.before_product(), x, out };
            Ok(normalise(card.gpu(), &Rows { sessions: current.sessions(), rows, steps }, &norm)?)
        })
    }
}

pub(super) struct Normalise {
    norm: Arc<Norm>,
    card: Arc<Card>,
}

impl Normalise {
    pub(super) fn new(card: &Arc<Card>, weight: &[f32], bias: Option<&[f32]>, epsilon: f64) -> Result<Self> {
        let (weight, bias) = (card.kept(weight)?, bias.map(|bias| card.kept(bias)).transpose()?);
        let norm = Norm { weight, bias, epsilon: epsilon as f32 };
        Ok(Self { norm: Arc::new(norm), card: Arc::clone(card) })
    }
}

impl Operation for Normalise {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a norm")?;
        fault_point()?;
        Values::normed(x, &self.norm, &self.card)
    }

    fn bytes(&self) -> usize {
        let Norm { weight, bias, .. } = &*self.norm;
        weight.span().bytes() + bias.as_ref().map_or(0, |bias| bias.span().bytes())
    }
}
