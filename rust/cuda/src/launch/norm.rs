//! Normalisation over the channels of each step.

use super::{Launch, Norm, Rows, arguments, floats, number, optional, run};
use crate::{Error, Gpu, Result, Span};

/// A normalisation over the channels of each step, that is not the beginning of a product.
#[derive(Clone, Copy)]
pub struct Normalise<'a> {
    /// Values of a step.
    pub channels: usize,
    /// What is done with them.
    pub norm: Norm<'a>,
    /// `(rows, steps, channels)`.
    pub x: Span<'a>,
    /// As `x`, and may be it.
    pub out: Span<'a>,
}

arguments! {
    pub(in crate::launch) struct NormArguments {
        x: u64,
        weight: u64,
        bias: u64,
        out: u64,
        sessions: u64,
        rows: u32,
        steps: u32,
        channels: u32,
        epsilon: f32,
    }
}

/// Steps of a block, half a warp each. Few, so that few rows have several multiprocessors to themselves.
const STEPS: usize = 4;

/// Normalises each step.
///
/// # Errors
/// [`Error::Shape`] where lengths differ, and those of a launch.
pub fn normalise(gpu: &Gpu, rows: &Rows<'_>, norm: &Normalise<'_>) -> Result<()> {
    run(gpu, prepare(rows, norm)?)
}

pub(super) fn prepare(rows: &Rows<'_>, norm: &Normalise<'_>) -> Result<Option<Launch<NormArguments>>> {
    let channels = norm.channels;
    if channels == 0 {
        return Err(Error::Shape("expected channels to be normalised, got none".into()));
    }
    let (weight, bias, epsilon) = match norm.norm {
        Norm::Layer { weight, bias, epsilon } => (weight, Some(bias), epsilon),
        Norm::Rms { weight, epsilon } => (weight, None, epsilon),
    };
    let arguments = NormArguments {
        x: floats(norm.x, &rows.shape(channels), "the input of a norm")?,
        weight: floats(weight, &[channels], "the weight of a norm")?,
        bias: optional(bias, &[channels], "the bias of a norm")?,
        out: floats(norm.out, &rows.shape(channels), "the output of a norm")?,
        sessions: rows.sessions()?,
        rows: number("rows", rows.rows)?,
        steps: number("steps", rows.steps)?,
        channels: number("channels", channels)?,
        epsilon,
    };
    let count = rows.rows.saturating_mul(rows.steps);
    if count == 0 {
        return Ok(None);
    }
    let grid = [number("steps", count.div_ceil(STEPS))?, 1, 1];
    Ok(Some(Launch { name: "normalise", grid, block: (STEPS * 16) as u32, shared: 0, arguments }))
}
