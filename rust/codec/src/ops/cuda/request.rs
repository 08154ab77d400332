//! A block that is to go through layers on the device: its rows, where its input comes from, and where its output goes.

use std::sync::Arc;

use mimi_cuda::Gpu;

use super::area::Area;
use super::card::floats;
use super::memory::Sessions;
use super::tensors::Part;
use super::values::{CodeValues, Values};
use crate::error::Result;
use crate::ops::{Block, Flow, Route, Source, Step, fault_point};

/// What a step is asked for.
pub(super) struct Request<'a> {
    pub(super) block: &'a Block<'a>,
    pub(super) route: Route,
    pub(super) frames: usize,
    /// The memory of the block's sessions, where layers look back.
    pub(super) sessions: Option<&'a Sessions>,
    pub(super) rows: usize,
    pub(super) input: Input<'a>,
    /// What its output is written to; without, it is brought to the host.
    pub(super) output: Option<Part<'a>>,
}

/// Where the input is.
pub(super) enum Input<'a> {
    Host(Source),
    /// On the device; codes are less than so many.
    Device(Part<'a>, usize),
}

impl Input<'_> {
    /// What is on the host.
    pub(super) fn source(&self) -> Option<&Source> {
        if let Self::Host(source) = self { Some(source) } else { None }
    }
}

impl<'a> Request<'a> {
    /// From the host and back.
    pub(super) fn of(step: Step<'a>) -> Self {
        let Step { block, input, frames, route } = step;
        let rows = match &input {
            Source::Floats(_, [rows, ..]) => *rows,
            Source::Codes(codes, count) => codes.len() / count / frames,
        };
        let (sessions, input) = (block.memory().ok(), Input::Host(input));
        Self { block, route, frames, sessions, rows, input, output: None }
    }

    /// Bytes of the input of so many rows, those that rest included.
    pub(super) fn input_bytes(&self, rows: usize) -> usize {
        let of_a_row = match &self.input {
            Input::Host(Source::Floats(floats, _)) => floats.len() / self.rows,
            Input::Host(Source::Codes(codes, _)) => codes.len() / self.rows,
            Input::Device(part, _) => part.steps * part.channels(),
        };
        floats(of_a_row * rows)
    }

    /// Brings an input that is on the device to its place.
    pub(super) fn bring(&self, gpu: &Gpu, area: &Area) -> Result<()> {
        if let Input::Device(part, entries) = &self.input {
            fault_point()?;
            let bytes = self.input_bytes(self.rows);
            part.bring(gpu, area.input()?.part(0..bytes)?, *entries, area.faults())?;
        }
        Ok(())
    }

    /// The input in its place, as layers take it.
    pub(super) fn flow(&self, area: &Arc<Area>, rows: usize) -> Flow {
        let (codes, steps, channels) = match &self.input {
            Input::Host(Source::Floats(_, [_, steps, channels])) => (false, *steps, *channels),
            Input::Host(Source::Codes(_, count)) => (true, self.frames, *count),
            Input::Device(part, _) => (part.has_codes(), part.steps, part.channels()),
        };
        if codes {
            Flow::Codes(CodeValues::input(area, rows * steps, channels))
        } else {
            Flow::Signal(Values::input(area, [rows, steps, channels]))
        }
    }
}
