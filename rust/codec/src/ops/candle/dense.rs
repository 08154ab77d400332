//! Dense layers, norms and functions of values: what has no memory.

use candle_core::{D, Tensor};

use super::{Composed, activate, bytes, finish, product};
use crate::error::Result;
use crate::ops::signal::tensors;
use crate::ops::state::Block;
use crate::ops::{Activation, LinearShape, Operation, Signal, without_residual};

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
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        let (x, residual) = tensors(x, residual)?;
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
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a layer norm")?;
        let x = x.tensor()?;
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?.sqrt()?;
        let normed = centred.broadcast_div(&deviation)?;
        Signal::of(normed.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)?)
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
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a norm")?;
        let x = x.tensor()?;
        let size = (x.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?.sqrt()?;
        Signal::of(x.broadcast_div(&size)?.broadcast_mul(&self.weight)?)
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
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a snake")?;
        let x = x.tensor()?;
        let sine = x.broadcast_mul(&self.rates)?.sin()?;
        Signal::of((x + sine.sqr()?.broadcast_mul(&self.scales)?)?)
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
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "a gate")?;
        let x = x.tensor()?;
        let gate = activate(&x.narrow(D::Minus1, 0, self.channels)?, self.activation)?;
        Signal::of((gate * x.narrow(D::Minus1, self.channels, self.channels)?)?)
    }

    fn bytes(&self) -> usize {
        0
    }
}

pub(super) struct Activate(pub(super) Activation);

impl Operation for Activate {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, _: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "an activation")?;
        let x = x.tensor()?;
        Signal::of(activate(x, self.0)?)
    }

    fn bytes(&self) -> usize {
        0
    }
}
