//! Streams: what a codec does to clips as they come, in either direction.
//!
//! A [`Stream`] is the one way in which a codec computes. A whole clip (`clip.rs`) is a stream that is thrown away.

mod clip;
mod drive;
#[cfg(feature = "cuda")]
mod on_device;
mod queue;
mod room;
mod saved;
#[cfg(test)]
mod tests;

pub use clip::Padding;

use std::fmt;

use crate::error::{Error, Result};
use crate::model::{Half, Model};
use crate::ops::State;
use crate::values::{Direction, Input, Output, check_latents, check_pcm};

/// Asked between blocks: whether to give up with [`Error::Interrupted`].
pub type StopFn<'a> = &'a (dyn Fn() -> bool + Sync);

/// Never stops.
const GO_ON: StopFn<'static> = &|| false;

/// Rows that go through a codec side by side, each a clip of its own that has its own position.
///
/// Samples may come in pieces of any length: a frame is coded when it is whole, and [`Stream::flush`] codes the rest.
/// Codes and latents come in whole frames. What comes out is that of the whole clip, bit for bit, however it was cut. Rows
/// share the reading of the weights and are otherwise independent. Memory does not grow, and there is no limit of length.
///
/// After an error the stream is as it was before the call.
pub struct Stream {
    model: Model,
    direction: Direction,
    /// The memory of the layers, and the clock: the frames that each row has seen.
    state: State,
    rows: Vec<Row>,
}

/// What a row keeps besides the layers' memory.
#[derive(Clone, Default)]
struct Row {
    /// Less than a frame of samples.
    pending: Vec<f32>,
    /// Whether it takes no more until it is reset.
    ended: bool,
}

impl Stream {
    /// A stream of `rows` rows.
    ///
    /// # Errors
    /// [`Error::Codes`] for more codebooks than are loaded or a codec without codebooks, [`Error::Stream`] for no rows,
    /// [`Error::Config`] for a model without the half that is needed.
    pub fn new(model: &Model, direction: Direction, rows: usize) -> Result<Self> {
        match direction {
            Direction::ToCodes(codebooks) => model.check_codebooks(codebooks)?,
            Direction::FromCodes => model.takes_codes()?,
            Direction::ToLatents | Direction::FromLatents => {}
        }
        if rows == 0 {
            return Err(Error::Stream("expected at least one session, got a batch size of 0".into()));
        }
        let state = sessions(model, direction, rows)?;
        Ok(Self { model: model.clone(), direction, state, rows: vec![Row::default(); rows] })
    }

    /// The model that the stream runs.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What the stream takes and gives.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Samples that each row holds back until they are a frame.
    pub fn pending(&self) -> Vec<usize> {
        self.rows.iter().map(|row| row.pending.len()).collect()
    }

    /// Frames that each row has seen since its start.
    pub fn frames(&self) -> Vec<u64> {
        self.state.frames().to_vec()
    }

    /// Takes input for each row, none for those that rest, and gives what it completes.
    ///
    /// # Errors
    /// [`Error::Audio`], [`Error::Codes`] or [`Error::Latents`] for an input that the stream does not take;
    /// [`Error::Stream`] for a wrong number of inputs or a row that was flushed and not reset.
    pub fn push(&mut self, inputs: &[Option<Input<'_>>]) -> Result<Vec<Output>> {
        self.push_until(inputs, GO_ON)
    }

    /// [`Stream::push`] that can be stopped.
    ///
    /// # Errors
    /// Those of [`Stream::push`], and [`Error::Interrupted`] when `stop` says so.
    pub fn push_until(&mut self, inputs: &[Option<Input<'_>>], stop: StopFn<'_>) -> Result<Vec<Output>> {
        if inputs.len() != self.rows.len() {
            let rows = self.rows.len();
            return Err(Error::Stream(format!("expected input for {rows} sessions, got {}", inputs.len())));
        }
        for (row, input) in inputs.iter().enumerate() {
            if let Some(input) = input {
                self.check_open(row)?;
                self.check_input(*input)?;
            }
        }
        self.advance(inputs, None, stop)
    }

    /// Ends the clips of the rows in `mask`, of all without one: gives the frame that was not whole, if any. A row takes no
    /// more until it is reset.
    ///
    /// # Errors
    /// [`Error::Stream`] for a mask of another length, or a row already flushed.
    pub fn flush(&mut self, mask: Option<&[bool]>, padding: Padding) -> Result<Vec<Output>> {
        let mut inputs = vec![None; self.rows.len()];
        for row in self.masked(mask)? {
            self.check_open(row)?;
            inputs[row] = Some(self.direction.nothing());
        }
        self.advance(&inputs, Some(padding), GO_ON)
    }

    /// Makes the rows in `mask`, all without one, as they were at the start.
    ///
    /// # Errors
    /// [`Error::Stream`] for a mask of another length.
    pub fn reset(&mut self, mask: Option<&[bool]>) -> Result<()> {
        let rows = self.masked(mask)?;
        self.state.reset(&rows)?;
        rows.into_iter().for_each(|row| self.rows[row] = Row::default());
        Ok(())
    }

    /// A stream that goes on from here on its own.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the device has no room.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self {
            model: self.model.clone(),
            direction: self.direction,
            state: self.state.copy()?,
            rows: self.rows.clone(),
        })
    }

    /// The half of the model that the stream goes through.
    fn half(&self) -> Result<&Half> {
        half(&self.model, self.direction)
    }

    /// What a mask names; all without one.
    fn masked(&self, mask: Option<&[bool]>) -> Result<Vec<usize>> {
        let rows = self.rows.len();
        match mask {
            None => Ok((0..rows).collect()),
            Some(mask) if mask.len() == rows => Ok((0..rows).filter(|&row| mask[row]).collect()),
            Some(mask) => Err(Error::Stream(format!("expected a mask of {rows} sessions, got {}", mask.len()))),
        }
    }

    fn check_open(&self, row: usize) -> Result<()> {
        if self.rows[row].ended {
            return Err(Error::Stream(format!("cannot go on with session {row} after its flush: reset it first")));
        }
        Ok(())
    }

    fn check_input(&self, input: Input<'_>) -> Result<()> {
        match (self.direction, input) {
            (Direction::ToCodes(_) | Direction::ToLatents, Input::Pcm(pcm)) => check_pcm(pcm),
            (Direction::FromCodes, Input::Codes(codes)) => self.model.check_codes(codes),
            (Direction::FromLatents, Input::Latents(latents)) => {
                check_latents(latents, self.model.decoder_latent_dim().unwrap_or(0))
            }
            (direction, _) => Err(Error::Stream(format!("expected {}, got something else", direction.wanted()))),
        }
    }
}

/// The state of sessions that have seen nothing.
fn sessions(model: &Model, direction: Direction, rows: usize) -> Result<State> {
    let layout = &half(model, direction)?.memory;
    State::new(layout, rows, model.backend().memory(layout, rows)?)
}

/// The half of a model that a direction needs.
fn half(model: &Model, direction: Direction) -> Result<&Half> {
    if direction.is_encoder() { model.encoder() } else { model.decoder() }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Stream");
        debug.field("direction", &self.direction).field("frames", &self.state.frames()).finish_non_exhaustive()
    }
}
