//! Dense layers, which take a norm along that waits for them.

use std::sync::Arc;

use mimi_cuda::{Weights, Window};
use mimi_kernels::{self as kernels, Precision, Strided};

use super::card::Card;
use super::product::Factors;
use super::values::Values;
use crate::error::Result;
use crate::ops::state::Block;
use crate::ops::{Activation, LinearShape, Operation, Signal};

pub(super) struct Linear {
    weights: Weights,
    activation: Option<kernels::Activation>,
    card: Arc<Card>,
}

impl Linear {
    pub(super) fn new(
        card: &Arc<Card>,
        shape: LinearShape,
        precision: Precision,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let matrix = Strided::transposed(weight, shape.c_in);
        Ok(Self {
            weights: Weights::new(card.gpu(), precision, &matrix, bias)?,
            activation: shape.activation.map(Activation::of_kernels),
            card: Arc::clone(card),
        })
    }
}

impl Operation for Linear {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        let [rows, steps, channels] = x.dims();
        let (input, norm) = Values::before_norm(x)?;
        let (window, norm) = (Window::dense(channels), norm.map(|norm| norm.before_product()));
        let factors = Factors { input, rows, steps, window, norm, residual, activation: self.activation };
        self.card.product(&self.weights, factors, 1)
    }

    fn bytes(&self) -> usize {
        self.weights.bytes()
    }
}
