//! The product of a signal, or of what a convolution sees of it, and weights.

mod arguments;
mod plan;
#[cfg(test)]
mod tests;

use mimi_kernels::Activation;

use super::check::{are_apart, floats, has_bytes, is_tensor, number};
use super::session::{FAULTS, Session};
use crate::driver::{Gpu, Span};
use crate::weights::Weights;
use crate::{Error, Result};
use arguments::Arguments;
pub(super) use arguments::activation_number;
use plan::{Plan, Task};

/// `output[r][t][n] = activation(bias[n] + sum_k left[r][t][k] * weights[k][n] + residual[r][t][n])`, where row `t` of `left`
/// is what the window sees of the input.
///
/// Every sum is taken in the order of the CPU's kernels with 16 lanes, whatever the number of rows and outputs, so that the
/// bits are the same.
pub struct Product<'a> {
    /// `(window.taps * window.channels, columns)`.
    pub weights: &'a Weights,
    /// `(rows, steps, window.channels)`.
    pub input: Span<'a>,
    /// `(rows, outputs, columns)`; nothing is written for a row that rests.
    pub output: Span<'a>,
    /// As long as the output; may be the same memory.
    pub residual: Option<Span<'a>>,
    /// Sessions, each with its own input.
    pub rows: usize,
    /// Inputs of each.
    pub steps: usize,
    /// Outputs of each: `steps / stride`, rounded up at the end of a clip, where the missing inputs are what the edge says.
    pub outputs: usize,
    /// What an output sees of the input.
    pub window: Window,
    /// A normalisation of the input before the product, for a window of one input.
    pub norm: Option<Norm<'a>>,
    /// What is applied to each sum.
    pub activation: Option<Activation>,
    /// `(rows)` of [`Session`]: where each row's history lies. Without, every row is at its beginning, and nothing is
    /// remembered or reported.
    pub sessions: Option<Span<'a>>,
    /// [`FAULTS`] words. An input that is remembered and is not finite sets [`super::Fault::Convolution`].
    pub faults: Span<'a>,
}

/// What an output sees of the input: output `t` the inputs `t * stride - history + tap * dilation`.
///
/// With stride `s`, transposed convolutions have `history + 1` taps, stride 1, and `s * c_out` columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Floats of an input.
    pub channels: usize,
    /// Inputs that an output sees.
    pub taps: usize,
    /// Inputs from one output to the next.
    pub stride: usize,
    /// Inputs from one tap to the next.
    pub dilation: usize,
    /// Inputs before the first that the first output sees.
    pub history: usize,
    /// Floats in a session's state before the two copies of the history, `(2, history, channels)`.
    pub history_at: usize,
    /// What lies before the first input of a clip and after the last.
    pub edge: Edge,
}

impl Window {
    /// The input as it is: a dense layer.
    #[must_use]
    pub fn dense(channels: usize) -> Self {
        Self { channels, taps: 1, stride: 1, dilation: 1, history: 0, history_at: 0, edge: Edge::Zero }
    }
}

/// What lies before the first input of a clip and after the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edge {
    /// Zeros.
    #[default]
    Zero,
    /// The first input, and the last.
    Replicate,
}

/// A normalisation over the channels of each input.
#[derive(Clone, Copy)]
pub enum Norm<'a> {
    /// `(x - mean(x)) / sqrt(var(x) + epsilon) * weight + bias`.
    Layer {
        /// `(channels)`.
        weight: Span<'a>,
        /// `(channels)`.
        bias: Span<'a>,
        /// Added to the variance.
        epsilon: f32,
    },
    /// `x / sqrt(mean(x^2) + epsilon) * weight`.
    Rms {
        /// `(channels)`.
        weight: Span<'a>,
        /// Added to the mean of the squares.
        epsilon: f32,
    },
}

/// Launches a product.
///
/// # Errors
/// [`Error::Shape`] where lengths do not fit each other or the output lies in the input; [`Error::Memory`];
/// [`Error::Driver`].
pub fn product(gpu: &Gpu, product: &Product<'_>) -> Result<()> {
    product.check()?;
    if product.rows == 0 || product.outputs == 0 || product.weights.columns() == 0 {
        return Ok(());
    }
    let plan = Plan::of(&product.task()?, gpu.info().multiprocessors)?;
    let sums = if plan.splits {
        let outputs = product.rows * product.outputs;
        Some(gpu.piece(floats(&[plan.parts as usize, outputs, product.weights.columns()])?)?)
    } else {
        None
    };
    let arguments = Arguments::of(product, &plan, sums.as_ref().map_or(0, |sums| sums.span().address()))?;
    // SAFETY: the spans are as long as the kernel expects, as checked; the weights and the room for sums live until the
    // stream has come past this launch, as what is freed or taken again later comes after it in the stream.
    unsafe { gpu.launch(plan.kernel, plan.grid, plan.threads, plan.shared, &arguments) }
}

impl Product<'_> {
    fn check(&self) -> Result<()> {
        let Window { channels, taps, stride, dilation, history, .. } = self.window;
        let depth = taps.checked_mul(channels);
        if depth != Some(self.weights.depth()) || depth == Some(0) || stride == 0 || dilation == 0 {
            let (window, depth) = (self.window, self.weights.depth());
            return Err(Error::Shape(format!("expected a window of {depth} floats, got {window:?}")));
        }
        // The last output must see an input, and no more than its stride's inputs may be missing.
        let (steps, outputs) = (self.steps, self.outputs);
        if outputs != steps.div_ceil(stride) {
            let expected = steps.div_ceil(stride);
            return Err(Error::Shape(format!("expected {expected} outputs of {steps} inputs, got {outputs}")));
        }
        let reach = (taps - 1).checked_mul(dilation).and_then(|reach| reach.checked_add(1));
        if reach.is_none_or(|reach| reach > history.saturating_add(stride)) {
            return Err(Error::Shape(format!(
                "expected a history of what a window of {taps} taps, {dilation} apart, sees before its {stride} newest \
                 inputs, got {history}"
            )));
        }
        let out = [self.rows, outputs, self.weights.columns()];
        is_tensor("an input", self.input, &[self.rows, steps, channels])?;
        is_tensor("an output", self.output, &out)?;
        are_apart("input and output", self.input, self.output)?;
        if let Some(residual) = self.residual {
            is_tensor("a residual", residual, &out)?;
            if residual.address() != self.output.address() {
                are_apart("residual and output", residual, self.output)?;
            }
        }
        if let Some(sessions) = self.sessions {
            has_bytes("sessions", sessions, self.rows.saturating_mul(size_of::<Session>()), &[self.rows])?;
        }
        has_bytes("faults", self.faults, FAULTS * size_of::<u32>(), &[FAULTS])?;
        match self.norm {
            None => Ok(()),
            Some(_) if taps > 1 || history > 0 || stride > 1 => {
                Err(Error::Shape(format!("expected a norm before a dense layer, got {:?}", self.window)))
            }
            Some(Norm::Layer { weight, bias, .. }) => {
                is_tensor("a norm's weight", weight, &[channels])?;
                is_tensor("a norm's bias", bias, &[channels])
            }
            Some(Norm::Rms { weight, .. }) => is_tensor("a norm's weight", weight, &[channels]),
        }
    }

    fn task(&self) -> Result<Task> {
        let depth = self.weights.depth();
        let run = if self.window.dilation == 1 { depth } else { self.window.channels };
        Ok(Task {
            outputs: number("outputs", self.rows.saturating_mul(self.outputs))?,
            depth: number("depth", depth)?,
            columns: number("columns", self.weights.columns())?,
            run: number("channels", run)?,
            precision: self.weights.precision(),
            column: self.weights.is_column(),
            norm: self.norm.is_some(),
        })
    }
}
