//! Products as parts of a step: what convolutions and dense layers launch.

use mimi_cuda::{Norm, Product, Span, Weights, Window};
use mimi_kernels::Activation;

use super::card::Card;
use super::values::Ready;
use crate::error::Result;
use crate::ops::Signal;

/// What a product is taken of, `(rows, steps, channels)`, and what is done before and after it.
pub(super) struct Factors<'a> {
    pub(super) input: Span<'a>,
    pub(super) rows: usize,
    pub(super) steps: usize,
    pub(super) window: Window,
    pub(super) norm: Option<Norm<'a>>,
    pub(super) residual: Option<&'a Signal>,
    pub(super) activation: Option<Activation>,
}

impl Card {
    /// The product with weights whose rows are `stride` outputs of a step each: `(rows, outputs * stride, columns / stride)`.
    pub(super) fn product(&self, weights: &Weights, factors: Factors<'_>, stride: usize) -> Result<Signal> {
        let Factors { input, rows, steps, window, norm, residual, activation } = factors;
        let (residual, current) = (Ready::optional(residual, self)?, self.current()?);
        let outputs = steps.div_ceil(window.stride);
        self.signal([rows, outputs * stride, weights.columns() / stride], |output| {
            let product = Product {
                weights,
                input,
                output,
                residual: residual.as_ref().map(Ready::span).transpose()?,
                rows,
                steps,
                outputs,
                window,
                norm,
                activation,
                sessions: current.sessions(),
                faults: current.faults(),
            };
            Ok(mimi_cuda::product(self.gpu(), &product)?)
        })
    }
}
