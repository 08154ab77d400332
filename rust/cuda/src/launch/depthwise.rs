//! Causal convolution of each channel by itself.

use mimi_kernels::Activation;

use super::{Edge, Launch, Rows, activation_number, arguments, elementwise, faults, floats, number, optional, run};
use crate::{Error, Gpu, Result, Span};

/// `out[t] = activation(bias + sum_k taps[k] * x[t stride - history + k dilation] + residual[t])`, channel by channel.
///
/// The inputs before `x` are those that the rows' states remember. Of a row without any, and past the last input, they are
/// zeros or the first and the last input: the end of a clip is filled up to a multiple of the stride.
#[derive(Clone, Copy, Debug)]
pub struct Depthwise<'a> {
    /// Values of a step.
    pub channels: usize,
    /// Taps of a channel.
    pub kernel: usize,
    /// Inputs for each output.
    pub stride: usize,
    /// Inputs from one tap to the next.
    pub dilation: usize,
    /// What lies before the first input of a clip and after the last.
    pub edge: Edge,
    /// Taken of each output.
    pub activation: Option<Activation>,
    /// `(kernel, channels)`, the tap of the oldest input first.
    pub taps: Span<'a>,
    /// `(channels)`.
    pub bias: Option<Span<'a>>,
    /// Where two copies of the history `(2, history, channels)` lie in the state of a row, in floats.
    pub history_at: usize,
    /// `(rows, steps, channels)`.
    pub x: Span<'a>,
    /// As `out`.
    pub residual: Option<Span<'a>>,
    /// `(rows, ceil(steps / stride), channels)`. It may be the residual, but not `x`.
    pub out: Span<'a>,
    /// Words of [`Fault`](super::Fault).
    pub faults: Span<'a>,
}

impl Depthwise<'_> {
    /// Inputs before a step that its outputs see.
    pub fn history(&self) -> usize {
        let reach = self.kernel.saturating_sub(1).saturating_mul(self.dilation);
        reach.saturating_add(1).saturating_sub(self.stride)
    }
}

arguments! {
    pub(in crate::launch) struct DepthwiseArguments {
        x: u64,
        taps: u64,
        bias: u64,
        residual: u64,
        out: u64,
        sessions: u64,
        faults: u64,
        offset: u64,
        steps: u32,
        outputs: u32,
        channels: u32,
        kernel: u32,
        stride: u32,
        dilation: u32,
        history: u32,
        replicate: u32,
        activation: u32,
        padding: u32,
    }
}

/// Convolves each channel of each row, and keeps what the next step will see.
///
/// # Errors
/// [`Error::Shape`] where lengths differ, and those of a launch.
pub fn depthwise(gpu: &Gpu, rows: &Rows<'_>, conv: &Depthwise<'_>) -> Result<()> {
    run(gpu, prepare(rows, conv)?)
}

pub(super) fn prepare(rows: &Rows<'_>, conv: &Depthwise<'_>) -> Result<Option<Launch<DepthwiseArguments>>> {
    let Depthwise { channels, kernel, stride, dilation, .. } = *conv;
    if [channels, kernel, stride, dilation].contains(&0) {
        let got = format!("{channels}, {kernel}, {stride} and {dilation}");
        return Err(Error::Shape(format!("expected channels, a kernel, a stride and a dilation above 0, got {got}")));
    }
    let (outputs, history) = (rows.steps.div_ceil(stride), conv.history());
    let out = [rows.rows, outputs, channels];
    let arguments = DepthwiseArguments {
        x: floats(conv.x, &rows.shape(channels), "the input of a convolution")?,
        taps: floats(conv.taps, &[kernel, channels], "taps")?,
        bias: optional(conv.bias, &[channels], "the bias of a convolution")?,
        residual: optional(conv.residual, &out, "the residual of a convolution")?,
        out: floats(conv.out, &out, "the output of a convolution")?,
        sessions: rows.sessions()?,
        faults: faults(conv.faults)?,
        offset: conv.history_at as u64,
        steps: number("steps", rows.steps)?,
        outputs: number("outputs", outputs)?,
        channels: number("channels", channels)?,
        kernel: number("taps", kernel)?,
        stride: number("a stride", stride)?,
        dilation: number("a dilation", dilation)?,
        history: number("a history", history)?,
        replicate: (conv.edge == Edge::Replicate).into(),
        activation: activation_number(conv.activation),
        padding: 0,
    };
    let work = if rows.steps == 0 { 0 } else { outputs.saturating_add(history).saturating_mul(channels) };
    elementwise("depthwise", rows.rows, work, arguments)
}
