//! Passes over all elements that no other kernel could take on its way.

use mimi_kernels::Activation;

use super::{Launch, Rows, activation_number, arguments, elementwise, floats, number, run};
use crate::{Error, Gpu, Result, Span};

arguments! {
    #[derive(Default)]
    pub(in crate::launch) struct PointwiseArguments {
        x: u64,
        second: u64,
        out: u64,
        sessions: u64,
        length: u64,
        lead: u64,
        channels: u32,
        activation: u32,
        steps_per_frame: u32,
        padding: u32,
    }
}

/// `out = activation(x)`, all `(rows, steps, channels)`; `out` may be `x`.
///
/// # Errors
/// [`Error::Shape`] where lengths differ, and those of a launch.
pub fn activate(
    gpu: &Gpu,
    rows: &Rows<'_>,
    channels: usize,
    activation: Activation,
    x: Span<'_>,
    out: Span<'_>,
) -> Result<()> {
    run(gpu, activation_launch(rows, channels, activation, x, out)?)
}

pub(super) fn activation_launch(
    rows: &Rows<'_>,
    channels: usize,
    activation: Activation,
    x: Span<'_>,
    out: Span<'_>,
) -> Result<Option<Launch<PointwiseArguments>>> {
    let arguments =
        PointwiseArguments { activation: activation_number(Some(activation)), ..same(rows, channels, x, out)? };
    pointwise("activation", rows, arguments)
}

/// `out = x + y`, all `(rows, steps, channels)`; `out` may be one of them.
///
/// # Errors
/// [`Error::Shape`] where lengths differ, and those of a launch.
pub fn add(gpu: &Gpu, rows: &Rows<'_>, channels: usize, x: Span<'_>, y: Span<'_>, out: Span<'_>) -> Result<()> {
    run(gpu, add_launch(rows, channels, x, y, out)?)
}

pub(super) fn add_launch(
    rows: &Rows<'_>,
    channels: usize,
    x: Span<'_>,
    y: Span<'_>,
    out: Span<'_>,
) -> Result<Option<Launch<PointwiseArguments>>> {
    let second = floats(y, &rows.shape(channels), "the second input")?;
    pointwise("add", rows, PointwiseArguments { second, ..same(rows, channels, x, out)? })
}

/// `out = activation(x[..channels]) * x[channels..]`: `x` is `(rows, steps, 2 channels)`, `out` `(rows, steps, channels)`.
///
/// # Errors
/// [`Error::Shape`] where lengths differ, and those of a launch.
pub fn gate(
    gpu: &Gpu,
    rows: &Rows<'_>,
    channels: usize,
    activation: Activation,
    x: Span<'_>,
    out: Span<'_>,
) -> Result<()> {
    run(gpu, gate_launch(rows, channels, activation, x, out)?)
}

pub(super) fn gate_launch(
    rows: &Rows<'_>,
    channels: usize,
    activation: Activation,
    x: Span<'_>,
    out: Span<'_>,
) -> Result<Option<Launch<PointwiseArguments>>> {
    let activation = activation_number(Some(activation));
    let x = floats(x, &rows.shape(channels.saturating_mul(2)), "the input of a gate")?;
    pointwise("gate", rows, PointwiseArguments { x, activation, ..same(rows, channels, out, out)? })
}

/// `out = x + scale sin^2(rate x)` with `parameters` `(2, channels)`, the rates, then the scales; `out` may be `x`.
///
/// # Errors
/// [`Error::Shape`] where lengths differ, and those of a launch.
pub fn snake(
    gpu: &Gpu,
    rows: &Rows<'_>,
    channels: usize,
    parameters: Span<'_>,
    x: Span<'_>,
    out: Span<'_>,
) -> Result<()> {
    run(gpu, snake_launch(rows, channels, parameters, x, out)?)
}

pub(super) fn snake_launch(
    rows: &Rows<'_>,
    channels: usize,
    parameters: Span<'_>,
    x: Span<'_>,
    out: Span<'_>,
) -> Result<Option<Launch<PointwiseArguments>>> {
    let second = floats(parameters, &[2, channels], "rates and scales")?;
    pointwise("snake", rows, PointwiseArguments { second, ..same(rows, channels, x, out)? })
}

/// `out = x` with zeros in place of each row's steps that are among the first `lead` of its clip, of which a frame has
/// `steps_per_frame`; `out` may be `x`.
///
/// # Errors
/// [`Error::Shape`] where lengths differ, and those of a launch.
pub fn silence(
    gpu: &Gpu,
    rows: &Rows<'_>,
    channels: usize,
    (lead, steps_per_frame): (usize, usize),
    x: Span<'_>,
    out: Span<'_>,
) -> Result<()> {
    run(gpu, silence_launch(rows, channels, (lead, steps_per_frame), x, out)?)
}

pub(super) fn silence_launch(
    rows: &Rows<'_>,
    channels: usize,
    (lead, steps_per_frame): (usize, usize),
    x: Span<'_>,
    out: Span<'_>,
) -> Result<Option<Launch<PointwiseArguments>>> {
    let steps_per_frame = number("steps of a frame", steps_per_frame)?;
    let own = PointwiseArguments { lead: lead as u64, steps_per_frame, ..same(rows, channels, x, out)? };
    pointwise("silence", rows, own)
}

/// What all of them have: an input and an output of one shape.
fn same(rows: &Rows<'_>, channels: usize, x: Span<'_>, out: Span<'_>) -> Result<PointwiseArguments> {
    if channels == 0 {
        return Err(Error::Shape("expected channels, got none".into()));
    }
    Ok(PointwiseArguments {
        x: floats(x, &rows.shape(channels), "the input")?,
        out: floats(out, &rows.shape(channels), "the output")?,
        sessions: rows.sessions()?,
        length: rows.steps.saturating_mul(channels) as u64,
        channels: number("channels", channels)?,
        ..PointwiseArguments::default()
    })
}

fn pointwise(
    name: &'static str,
    rows: &Rows<'_>,
    arguments: PointwiseArguments,
) -> Result<Option<Launch<PointwiseArguments>>> {
    elementwise(name, rows.rows, arguments.length as usize, arguments)
}

/// Runs of floats that are copied from one tensor to another: of each row `runs` of `length` floats.
#[derive(Clone, Copy, Debug)]
pub struct Runs<'a> {
    /// Rows.
    pub rows: usize,
    /// Runs of a row.
    pub runs: usize,
    /// Floats of a run.
    pub length: usize,
    /// Where the first run begins, and what else is read.
    pub x: Span<'a>,
    /// Floats of `x` from one row to the next, and from one run to the next.
    pub x_strides: (usize, usize),
    /// Where the first run goes to, and what else is written. It does not overlap `x`.
    pub out: Span<'a>,
    /// The same of `out`.
    pub out_strides: (usize, usize),
}

arguments! {
    pub(in crate::launch) struct CopyArguments {
        x: u64,
        out: u64,
        x_row: u64,
        x_run: u64,
        out_row: u64,
        out_run: u64,
        length: u64,
        runs: u32,
        padding: u32,
    }
}

/// Copies runs of floats.
///
/// # Errors
/// [`Error::Shape`] where a run reaches over the end of its tensor, and those of a launch.
pub fn copy_runs(gpu: &Gpu, copy: &Runs<'_>) -> Result<()> {
    run(gpu, copy_launch(copy)?)
}

pub(super) fn copy_launch(copy: &Runs<'_>) -> Result<Option<Launch<CopyArguments>>> {
    let Runs { rows, runs, length, .. } = *copy;
    let reaching = |span: Span<'_>, (row, run): (usize, usize), what: &str| {
        let (last_row, last_run) =
            (rows.saturating_sub(1).saturating_mul(row), runs.saturating_sub(1).saturating_mul(run));
        let end = last_row.saturating_add(last_run).saturating_add(length);
        if ![rows, runs, length].contains(&0) && end > span.bytes() / size_of::<f32>() {
            return Err(Error::Shape(format!("expected {what} of at least {end} floats, got {} bytes", span.bytes())));
        }
        Ok(span.address())
    };
    let arguments = CopyArguments {
        x: reaching(copy.x, copy.x_strides, "the source of a copy")?,
        out: reaching(copy.out, copy.out_strides, "the target of a copy")?,
        x_row: copy.x_strides.0 as u64,
        x_run: copy.x_strides.1 as u64,
        out_row: copy.out_strides.0 as u64,
        out_run: copy.out_strides.1 as u64,
        length: length as u64,
        runs: number("runs", runs)?,
        padding: 0,
    };
    elementwise("copy", rows, runs.saturating_mul(length), arguments)
}
