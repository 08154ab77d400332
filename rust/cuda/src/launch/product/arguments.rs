//! The arguments of the products' kernels, as `kernels/product.cu` has them.

use mimi_kernels::Activation;

use super::plan::{Plan, common};
use super::{Edge, Norm, Product, Window};
use crate::Result;
use crate::launch::arguments;
use crate::launch::check::number;

arguments! {
    pub(in crate::launch) struct ProductArguments {
        x: u64,
        weights: u64,
        scales: u64,
        bias: u64,
        residual: u64,
        out: u64,
        sessions: u64,
        sums: u64,
        arrived: u64,
        faults: u64,
        norm_weight: u64,
        norm_bias: u64,
        history_at: u64,
        rows: u32,
        steps: u32,
        outputs: u32,
        c_in: u32,
        columns: u32,
        depth: u32,
        stride: u32,
        dilation: u32,
        history: u32,
        edge: u32,
        run: u32,
        common: u32,
        activation: u32,
        norm: u32,
        epsilon: f32,
        wide: u32,
        splits: u32,
        block_rows: u32,
        panel_bits: u32,
        segment_bits: u32,
        block_depth: u32,
        padding: u32,
    }
}

impl ProductArguments {
    /// The arguments of a product that was checked, with room for sums where it splits them.
    pub(crate) fn of(product: &Product<'_>, plan: &Plan, sums: u64) -> Result<Self> {
        let Product { weights, input, output, residual, rows, steps, outputs, window, norm, activation, .. } = *product;
        let Window { channels, taps, stride, dilation, history, history_at, edge } = window;
        // What is not longer than a row of the left matrix, or the history, is counted in 32 bits.
        number("a window", history.saturating_add((taps - 1) * dilation).saturating_add(1).saturating_mul(channels))?;
        number("inputs that are remembered", rows.saturating_mul(history).saturating_mul(channels))?;
        let stored = weights.stored();
        let (depth, run) = (stored.depth, if dilation == 1 { stored.depth } else { channels });
        let address = |span: Option<crate::Span<'_>>| span.map_or(0, |span| span.address());
        let (norm, norm_weight, norm_bias, epsilon) = match norm {
            None => (0, 0, 0, 0.0),
            Some(Norm::Layer { weight, bias, epsilon }) => (1, weight.address(), bias.address(), epsilon),
            Some(Norm::Rms { weight, epsilon }) => (2, weight.address(), 0, epsilon),
        };
        let (depth, run) = (number("depth", depth)?, number("channels", run)?);
        Ok(Self {
            x: input.address(),
            weights: stored.values,
            scales: stored.scales,
            bias: stored.bias,
            residual: address(residual),
            out: output.address(),
            sessions: address(product.sessions),
            sums,
            arrived: stored.arrived,
            faults: product.faults.address(),
            norm_weight,
            norm_bias,
            history_at: history_at as u64,
            rows: number("rows", rows)?,
            steps: number("steps", steps)?,
            outputs: number("outputs", outputs)?,
            c_in: number("channels", channels)?,
            columns: number("columns", stored.columns)?,
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
