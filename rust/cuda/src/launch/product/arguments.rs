//! The arguments of the products' kernels, as `struct Product` in `kernels/product.cu` has them.

use bytemuck::{Pod, Zeroable};
use mimi_kernels::Activation;

use super::plan::{Plan, common};
use super::{Edge, Norm, Product, Window};
use crate::Result;
use crate::launch::check::number;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct Arguments {
    pub(crate) x: u64,
    pub(crate) weights: u64,
    pub(crate) scales: u64,
    pub(crate) bias: u64,
    pub(crate) residual: u64,
    pub(crate) out: u64,
    pub(crate) sessions: u64,
    pub(crate) sums: u64,
    pub(crate) arrived: u64,
    pub(crate) faults: u64,
    pub(crate) norm_weight: u64,
    pub(crate) norm_bias: u64,
    pub(crate) history_at: u64,
    pub(crate) rows: u32,
    pub(crate) steps: u32,
    pub(crate) outputs: u32,
    pub(crate) c_in: u32,
    pub(crate) columns: u32,
    pub(crate) depth: u32,
    pub(crate) stride: u32,
    pub(crate) dilation: u32,
    pub(crate) history: u32,
    pub(crate) edge: u32,
    pub(crate) run: u32,
    pub(crate) common: u32,
    pub(crate) activation: u32,
    pub(crate) norm: u32,
    pub(crate) epsilon: f32,
    pub(crate) wide: u32,
    pub(crate) splits: u32,
    pub(crate) block_rows: u32,
    pub(crate) panel_bits: u32,
    pub(crate) segment_bits: u32,
    pub(crate) block_depth: u32,
    pub(crate) padding: u32,
}

impl Arguments {
    /// The arguments of a product that was checked, with room for sums where it splits them.
    pub(crate) fn of(product: &Product<'_>, plan: &Plan, sums: u64) -> Result<Self> {
        let Product { weights, input, output, residual, rows, steps, outputs, window, norm, activation, .. } = *product;
        let Window { channels, taps, stride, dilation, history, history_at, edge } = window;
        // What is not longer than a row of the left matrix, or the history, is counted in 32 bits.
        number("a window", history.saturating_add((taps - 1) * dilation).saturating_add(1).saturating_mul(channels))?;
        let (depth, run) = (weights.depth(), if dilation == 1 { weights.depth() } else { channels });
        let address = |span: Option<crate::Span<'_>>| span.map_or(0, |span| span.address());
        let (norm, norm_weight, norm_bias, epsilon) = match norm {
            None => (0, 0, 0, 0.0),
            Some(Norm::Layer { weight, bias, epsilon }) => (1, weight.address(), bias.address(), epsilon),
            Some(Norm::Rms { weight, epsilon }) => (2, weight.address(), 0, epsilon),
        };
        let (depth, run) = (number("depth", depth)?, number("channels", run)?);
        Ok(Self {
            x: input.address(),
            weights: weights.values_at(),
            scales: weights.scales_at(),
            bias: weights.bias_at(),
            residual: address(residual),
            out: output.address(),
            sessions: address(product.sessions),
            sums,
            arrived: weights.arrived_at(),
            faults: product.faults.address(),
            norm_weight,
            norm_bias,
            history_at: history_at as u64,
            rows: number("rows", rows)?,
            steps: number("steps", steps)?,
            outputs: number("outputs", outputs)?,
            c_in: number("channels", channels)?,
            columns: number("columns", weights.columns())?,
            depth,
            stride: number("stride", stride)?,
            dilation: number("dilation", dilation)?,
            history: number("history", history)?,
            edge: match edge {
                Edge::Zero => 0,
                Edge::Replicate => 1,
            },
            run,
            common: common(depth, run),
            activation: activation_number(activation),
            norm,
            epsilon,
            // Pieces of a session's state begin at multiples of 16 bytes.
            wide: (channels.is_multiple_of(4) && input.address().is_multiple_of(16) && history_at.is_multiple_of(4))
                .into(),
            splits: plan.splits.into(),
            block_rows: plan.block_rows,
            panel_bits: plan.panel_bits,
            segment_bits: plan.segment_bits,
            block_depth: plan.block_depth,
            padding: 0,
        })
    }
}

/// The number that the kernels know a function by (`enum Activation` in `kernels/math.cu`).
pub(crate) fn activation_number(activation: Option<Activation>) -> u32 {
    match activation {
        None => 0,
        Some(Activation::Elu) => 1,
        Some(Activation::GeluErf) => 2,
        Some(Activation::GeluTanh) => 3,
        Some(Activation::Silu) => 4,
        Some(Activation::Clamp) => 5,
    }
}
