//! Dense layers, norms and functions of values: what has no memory.

use candle_core::{D, Tensor};

use super::{Composed, activate, bytes, finish, product};
use crate::error::Result;
use crate::ops::state::Block;
use crate::ops::{Activation, Backend, LinearShape, Operation, Signal, without_residual};

pub(super) struct Linear {
    /// `(c_in, c_out)`.
    weight: Tensor,
    bias: Option<Tensor>,
    activation: Option<Activation>,
}

impl Linear {
    pub(super) fn new(backend: &Composed, shape: LinearShape, weight: &[f32], bias: Option<&[f32]>) -> Result<Self> {
        let weight = backend.tensor(weight, &[shape.c_out, shape.c_in])?.t()?.contiguous()?;
        Ok(Self { weight, bias: backend.optional(bias)?, activation: shape.activation })
    }
}

impl Operation for Linear {
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, _: &Block<'_>) -> Result<Signal> {
        finish(product(x, &self.weight)?, self.bias.as_ref(), residual, self.activation)
    }

    fn bytes(&self) -> usize {
        bytes([Some(&self.weight), self.bias.as_ref()])
    }
}

pub(super) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    pub(super) fn new(backend: &Composed, weight: &[f32], bias: &[f32], epsilon: f64) -> Result<Self> {
        let vector = |values: &[f32]| backend.tensor(values, &[values.len()]);
        Ok(Self { weight: vector(weight)?, bias: vector(bias)?, epsilon })
    }
}

impl Operation for LayerNorm {
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a layer norm")?;
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?.sqrt()?;
        let normed = centred.broadcast_div(&deviation)?;
        Ok(normed.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)?.into())
    }

    fn bytes(&self) -> usize {
        bytes([Some(&self.weight), Some(&self.bias)])
    }
}

pub(super) struct RmsNorm {
    weight: Tensor,
    epsilon: f64,
}

impl RmsNorm {
    pub(super) fn new(backend: &Composed, weight: &[f32], epsilon: f64) -> Result<Self> {
        Ok(Self { weight: backend.tensor(weight, &[weight.len()])?, epsilon })
    }
}

impl Operation for RmsNorm {
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a norm")?;
        let size = (x.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?.sqrt()?;
        Ok(x.broadcast_div(&size)?.broadcast_mul(&self.weight)?.into())
    }

    fn bytes(&self) -> usize {
        bytes([Some(&self.weight)])
    }
}

pub(super) struct Snake {
    rates: Tensor,
    scales: Tensor,
}

impl Snake {
    pub(super) fn new(backend: &Composed, rates: &[f32], scales: &[f32]) -> Result<Self> {
        let vector = |values: &[f32]| backend.tensor(values, &[values.len()]);
        Ok(Self { rates: vector(rates)?, scales: vector(scales)? })
    }
}

impl Operation for Snake {
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a snake")?;
        let sine = x.broadcast_mul(&self.rates)?.sin()?;
        Ok((x + sine.sqr()?.broadcast_mul(&self.scales)?)?.into())
    }

    fn bytes(&self) -> usize {
        bytes([Some(&self.rates), Some(&self.scales)])
    }
}

pub(super) struct Gate {
    pub(super) activation: Activation,
    pub(super) channels: usize,
}

impl Operation for Gate {
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a gate")?;
        let gate = activate(&x.narrow(D::Minus1, 0, self.channels)?, self.activation)?;
        Ok((&*gate * x.narrow(D::Minus1, self.channels, self.channels)?)?.into())
    }

    fn bytes(&self) -> usize {
        0
    }
}

pub(super) struct Activate(pub(super) Activation);

impl Operation for Activate {
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "an activation")?;
        activate(x, self.0)
    }

    fn bytes(&self) -> usize {
        0
    }
}
