//! The product of a signal, or of what a convolution sees of it, and weights.

pub(super) mod arguments;
pub(super) mod plan;

use mimi_kernels::Activation;

use super::check::{are_apart, floats, has_bytes, is_tensor, number};
use super::session::{FAULTS, Session};
use super::{Launch, Normalise, Rows, normalise};
use crate::driver::{Gpu, Span};
use crate::weights::Weights;
use crate::{Error, Result};
use arguments::ProductArguments;
pub(super) use arguments::activation_number;
use plan::{Plan, Task};

/// `output[r][t][n] = activation(bias[n] + sum_k left[r][t][k] * weights[k][n] + residual[r][t][n])`, where row `t` of `left`
/// is what the window sees of the input.
///
/// Every sum is taken in the order of the CPU's kernels with 16 lanes, whatever the number of rows and outputs, so that the
/// bits are the same.
#[derive(Clone, Copy)]
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

/// Launches a product; where a norm before it cannot be taken in the same launch, that first.
///
/// # Errors
/// [`Error::Shape`] where lengths do not fit each other or the output lies in the input; [`Error::Memory`];
/// [`Error::Driver`].
pub fn product(gpu: &Gpu, product: &Product<'_>) -> Result<()> {
    product.check()?;
    if product.rows == 0 || product.outputs == 0 || product.weights.columns() == 0 {
        return Ok(());
    }
    let task = product.task()?;
    if let Some(norm) = product.norm.filter(|_| !task.takes_norm()) {
        let normalised = gpu.piece(product.input.bytes())?;
        let Product { sessions, rows, steps, window, input: x, .. } = *product;
        let norm = Normalise { channels: window.channels, norm, x, out: normalised.span() };
        normalise(gpu, &Rows { sessions, rows, steps }, &norm)?;
        let product = Product { input: normalised.span(), norm: None, ..*product };
        return launch(gpu, &product, &Task { norm: false, ..task });
    }
    launch(gpu, product, &task)
}

fn launch(gpu: &Gpu, product: &Product<'_>, task: &Task) -> Result<()> {
    let plan = Plan::of(task, gpu.info().multiprocessors);
    let sums = plan.splits.then(|| gpu.piece(product.sums(&plan)?)).transpose()?;
    prepare(product, &plan, sums.as_ref().map_or(0, |sums| sums.span().address()))?.on(gpu)
}

/// The launch of a checked product, with room for its sums where the plan splits them.
pub(super) fn prepare(product: &Product<'_>, plan: &Plan, sums: u64) -> Result<Launch<ProductArguments>> {
    let arguments = ProductArguments::of(product, plan, sums)?;
    Ok(Launch { name: plan.kernel, grid: plan.grid, block: plan.threads, shared: plan.shared, arguments })
}

impl Product<'_> {
    /// The bytes of the parts of all sums.
    pub(super) fn sums(&self, plan: &Plan) -> Result<usize> {
        floats(&[plan.parts as usize, self.rows * self.outputs, self.weights.columns()])
    }

    pub(super) fn check(&self) -> Result<()> {
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

    pub(super) fn task(&self) -> Result<Task> {
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
