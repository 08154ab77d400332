//! The depthwise transposed convolution with a kernel of whole strides.

use super::{Launch, Rows, arguments, elementwise, faults, floats, number, optional, run};
use crate::{Error, Gpu, Result, Span};

/// `out[t stride + j] = sum_i x[t - i] * taps[i stride + j] + residual[t stride + j]`, `i` from `history` down to 0, channel by
/// channel.
#[derive(Clone, Copy, Debug)]
pub struct Upsample<'a> {
    /// Values of a step.
    pub channels: usize,
    /// Outputs for each input.
    pub stride: usize,
    /// Inputs before a step that its outputs see: the kernel is `history + 1` strides long.
    pub history: usize,
    /// `((history + 1) * stride, channels)`, tap by tap.
    pub taps: Span<'a>,
    /// Where two copies of the history `(2, history, channels)` lie in the state of a row, in floats.
    pub history_at: usize,
    /// `(rows, steps, channels)`.
    pub x: Span<'a>,
    /// As `out`.
    pub residual: Option<Span<'a>>,
    /// `(rows, steps * stride, channels)`. It may be the residual, but not `x`.
    pub out: Span<'a>,
    /// Words of [`Fault`](super::Fault).
    pub faults: Span<'a>,
}

arguments! {
    pub(in crate::launch) struct UpsampleArguments {
        x: u64,
        taps: u64,
        residual: u64,
        out: u64,
        sessions: u64,
        faults: u64,
        offset: u64,
        steps: u32,
        channels: u32,
        stride: u32,
        history: u32,
    }
}

/// Convolves each channel of each row, and keeps what the next step will see.
///
/// # Errors
/// [`Error::Shape`] where lengths differ, and those of a launch.
pub fn upsample(gpu: &Gpu, rows: &Rows<'_>, conv: &Upsample<'_>) -> Result<()> {
    run(gpu, prepare(rows, conv)?)
}

pub(super) fn prepare(rows: &Rows<'_>, conv: &Upsample<'_>) -> Result<Option<Launch<UpsampleArguments>>> {
    let Upsample { channels, stride, history, .. } = *conv;
    if channels == 0 || stride == 0 {
        return Err(Error::Shape(format!("expected channels and a stride above 0, got {channels} and {stride}")));
    }
    let out = [rows.rows, rows.steps, stride, channels];
    let arguments = UpsampleArguments {
        x: floats(conv.x, &rows.shape(channels), "the input of a convolution")?,
        taps: floats(conv.taps, &[history.saturating_add(1), stride, channels], "taps")?,
        residual: optional(conv.residual, &out, "the residual of a convolution")?,
        out: floats(conv.out, &out, "the output of a convolution")?,
        sessions: rows.sessions()?,
        faults: faults(conv.faults)?,
        offset: conv.history_at as u64,
        steps: number("steps", rows.steps)?,
        channels: number("channels", channels)?,
        stride: number("a stride", stride)?,
        history: number("a history", history)?,
    };
    let work = if rows.steps == 0 {
        0
    } else {
        rows.steps.saturating_mul(stride).saturating_add(history).saturating_mul(channels)
    };
    elementwise("upsample", rows.rows, work, arguments)
}
