//! All that a stream remembers, apart from the weights.
//!
//! When a model is built, each layer that looks back asks a [`Slots`] for a [`Slot`]. A [`State`] then holds what these
//! need for each session, in the [`Memory`] of its backend, and the one clock: how many frames each session has seen.
//! Everything a stream can do with its state (reset, copy, save, load, take back a call that failed) is said here, for
//! all layers alike.

mod journal;
mod tensors;

use std::any::Any;

pub(crate) use tensors::Tensors;

use crate::error::{Error, Result};
use crate::memory::with_room;

/// What a model's layers remember between blocks.
#[derive(Default)]
pub(crate) struct Slots {
    layout: Vec<Vec<usize>>,
}

/// One of the things that they remember.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(usize);

impl Slots {
    /// Reserves floats of `shape` for each session.
    pub(crate) fn slot(&mut self, shape: &[usize]) -> Slot {
        self.layout.push(shape.to_vec());
        Slot(self.layout.len() - 1)
    }

    /// The shapes that are reserved for a session, in their order.
    pub(super) fn shapes(&self) -> &[Vec<usize>] {
        &self.layout
    }
}

impl Slot {
    /// Its number among all, in the order in which they were reserved.
    pub(super) fn index(self) -> usize {
        self.0
    }
}

/// Where a backend keeps what the sessions of a stream remember. All of it is zero for a session that has seen nothing.
pub(crate) trait Memory: Any + Send + Sync {
    /// Makes sessions as they were at the start, all of them or none.
    fn reset(&mut self, sessions: &[usize]) -> Result<()>;

    /// From here on changes can be taken back, until they are kept. `frames` are those that the sessions have seen.
    fn begin(&mut self, frames: &[u64]);

    /// What was changed since [`Memory::begin`] stays.
    fn keep(&mut self);

    /// Takes back what was changed since [`Memory::begin`].
    fn undo(&mut self) -> Result<()>;

    /// A block of `sessions` has gone through all layers.
    fn advance(&mut self, sessions: &[usize]);

    /// The same in memory of its own.
    fn copy(&self) -> Result<Box<dyn Memory>>;

    /// What a slot holds of a session that has seen so many frames.
    fn read(&self, slot: Slot, session: usize, frames: u64) -> Result<Vec<f32>>;

    /// Writes what a slot holds of a session.
    fn write(&self, slot: Slot, session: usize, values: &[f32]) -> Result<()>;
}

/// The memory of sessions, and their clock.
pub(crate) struct State {
    memory: Box<dyn Memory>,
    shapes: Vec<Vec<usize>>,
    frames: Vec<u64>,
    /// The clock at the beginning of what can be taken back.
    before: Vec<u64>,
}

impl State {
    /// The state of sessions that have seen nothing, in fresh memory.
    pub(crate) fn new(layout: &Slots, sessions: usize, memory: Box<dyn Memory>) -> Result<Self> {
        let mut frames = with_room(sessions)?;
        frames.resize(sessions, 0);
        Ok(Self { memory, shapes: layout.shapes().to_vec(), frames, before: Vec::new() })
    }

    /// Makes sessions as they were at the start, all of them or none.
    pub(crate) fn reset(&mut self, sessions: &[usize]) -> Result<()> {
        self.memory.reset(sessions)?;
        sessions.iter().for_each(|&session| self.frames[session] = 0);
        Ok(())
    }

    /// From here on changes can be taken back, until they are [settled](State::settle).
    pub(crate) fn begin(&mut self) {
        self.before.clone_from(&self.frames);
        self.memory.begin(&self.frames);
    }

    /// Ends what [`State::begin`] began: after an error everything is as it was then.
    pub(crate) fn settle<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.is_ok() {
            self.memory.keep();
        } else {
            self.memory.undo()?;
            self.frames.clone_from(&self.before);
        }
        result
    }

    pub(crate) fn copy(&self) -> Result<Self> {
        let (shapes, frames) = (self.shapes.clone(), self.frames.clone());
        Ok(Self { memory: self.memory.copy()?, shapes, frames, before: Vec::new() })
    }

    /// Counts `frames` more for the sessions of a block that has gone through all layers.
    pub(crate) fn advance(&mut self, rows: &[usize], frames: usize) {
        self.memory.advance(rows);
        for &row in rows {
            self.frames[row] = self.frames[row].wrapping_add(frames as u64);
        }
    }

    /// Frames that each session has seen since its start.
    pub(crate) fn frames(&self) -> &[u64] {
        &self.frames
    }

    /// Sets the clock of a session.
    pub(crate) fn set_frames(&mut self, session: usize, frames: u64) {
        self.frames[session] = frames;
    }

    /// All slots, in the order in which they were reserved.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.shapes.len()).map(Slot)
    }

    /// The shape of a session's part of a slot.
    pub(crate) fn row_shape(&self, slot: Slot) -> &[usize] {
        &self.shapes[slot.0]
    }

    /// A session's part of a slot.
    pub(crate) fn row(&self, slot: Slot, session: usize) -> Result<Vec<f32>> {
        self.memory.read(slot, session, self.frames[session])
    }

    /// Writes a session's part of a slot.
    pub(crate) fn set_row(&self, slot: Slot, session: usize, values: &[f32]) -> Result<()> {
        self.memory.write(slot, session, values)
    }
}

/// A block of frames on its way through the layers, or a piece of one: which sessions it belongs to, and whether their
/// clips end with it.
pub(crate) struct Block<'a> {
    state: Option<&'a State>,
    /// The session of each row, no session twice.
    pub(crate) rows: &'a [usize],
    /// Whether the last frame may be a part of one, which layers fill up.
    pub(crate) end: bool,
    /// Frames of the block before this piece of it.
    offset: usize,
}

impl Block<'static> {
    /// For operations that remember nothing.
    pub(crate) fn without_state() -> Self {
        Self { state: None, rows: &[], end: false, offset: 0 }
    }
}

impl<'a> Block<'a> {
    pub(crate) fn new(state: &'a State, rows: &'a [usize], end: bool) -> Self {
        Self { state: Some(state), rows, end, offset: 0 }
    }

    /// The part of some rows from a frame on; `last` tells whether it goes to the end.
    pub(crate) fn piece(&self, rows: std::ops::Range<usize>, frame: usize, last: bool) -> Self {
        let (end, offset) = (self.end && last, self.offset + frame);
        Self { state: self.state, rows: &self.rows[rows], end, offset }
    }

    /// Steps that the session of a row has seen before, of which a frame has so many.
    pub(crate) fn position(&self, row: usize, steps_per_frame: usize) -> u64 {
        let frames = self.state.map_or(0, |state| state.frames[self.rows[row]]);
        frames.wrapping_add(self.offset as u64).wrapping_mul(steps_per_frame as u64)
    }

    /// The memory of the sessions, which is that of the operations' backend.
    pub(crate) fn memory<M: Memory>(&self) -> Result<&'a M> {
        let memory = self.state.and_then(|state| (&*state.memory as &dyn Any).downcast_ref());
        memory.ok_or_else(|| Error::from(candle_core::Error::Msg("expected a state of this backend".into())))
    }
}
