//! All that a stream remembers, apart from the weights.
//!
//! When a model is built, each layer that looks back asks a [`Slots`] for a [`Slot`]. A [`State`] then holds one
//! tensor `(sessions, ...)` per slot, all zero at the start of a clip, and the one clock: how many frames each session has
//! seen.
//! Everything a stream can do with its state (reset, copy, save, load, take back a call that failed) is done here, for
//! all layers alike.

mod journal;

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use mimi_kernels::Strips;

use super::fault_point;
use crate::error::Result;
use crate::memory;
use journal::Journal;

/// The tensors that a model's layers remember between blocks.
#[derive(Default)]
pub(crate) struct Slots {
    shapes: Vec<Vec<usize>>,
}

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(usize);

impl Slots {
    /// Reserves a tensor of `shape` for each session.
    pub(crate) fn slot(&mut self, shape: &[usize]) -> Slot {
        self.shapes.push(shape.to_vec());
        Slot(self.shapes.len() - 1)
    }
}

/// The memory of `sessions` sessions.
pub(crate) struct State {
    slots: Vec<Tensor>,
    frames: Vec<u64>,
    /// Layers write through a shared [`Block`].
    journal: Mutex<Journal>,
}

impl State {
    pub(crate) fn new(layout: &Slots, sessions: usize, device: &Device) -> Result<Self> {
        let zeros = |shape: &Vec<usize>| {
            let shape: Vec<usize> = std::iter::once(sessions).chain(shape.iter().copied()).collect();
            Ok(Tensor::zeros(shape, DType::F32, device)?)
        };
        let floats = |shape: &Vec<usize>| shape.iter().product::<usize>();
        memory::check_room::<f32>(layout.shapes.iter().map(floats).sum::<usize>().saturating_mul(sessions))?;
        let slots = layout.shapes.iter().map(zeros).collect::<Result<_>>()?;
        let mut frames = memory::with_room(sessions)?;
        frames.resize(sessions, 0);
        Ok(Self::of(slots, frames))
    }

    /// Makes sessions as they were at the start, all of them or none.
    pub(crate) fn reset(&mut self, sessions: &[usize]) -> Result<()> {
        let zeros = self.slots.iter().map(|slot| {
            fault_point()?;
            Ok(slot.narrow(0, 0, 1)?.zeros_like()?)
        });
        let zeros = zeros.collect::<Result<Vec<_>>>()?;
        for &session in sessions {
            for (slot, zeros) in self.slots.iter().zip(&zeros) {
                slot.slice_set(zeros, 0, session)?;
            }
            self.frames[session] = 0;
        }
        Ok(())
    }

    /// From here on changes can be taken back, until they are [settled](State::settle).
    pub(crate) fn begin(&mut self) {
        let Self { slots, frames, journal } = self;
        journal.get_mut().unwrap_or_else(PoisonError::into_inner).begin(frames, slots.len());
    }

    /// Ends what [`State::begin`] began: after an error everything is as it was then.
    pub(crate) fn settle<T>(&mut self, result: Result<T>) -> Result<T> {
        let Self { slots, frames, journal } = self;
        let journal = journal.get_mut().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(_) => journal.clear(),
            Err(_) => {
                if let Some(before) = journal.undo(slots)? {
                    *frames = before;
                }
            }
        }
        result
    }

    pub(crate) fn copy(&self) -> Result<Self> {
        memory::check_room::<f32>(self.slots.iter().map(Tensor::elem_count).sum())?;
        let slots = self.slots.iter().map(|slot| Ok(slot.copy()?)).collect::<Result<_>>()?;
        Ok(Self::of(slots, self.frames.clone()))
    }

    /// Counts `frames` more for the sessions of a block.
    pub(crate) fn advance(&mut self, rows: &[usize], frames: usize) {
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
        (0..self.slots.len()).map(Slot)
    }

    /// The shape of a session's part of a slot.
    pub(crate) fn row_shape(&self, slot: Slot) -> &[usize] {
        &self.slots[slot.0].dims()[1..]
    }

    /// A session's part of a slot.
    pub(crate) fn row(&self, slot: Slot, session: usize) -> Result<Vec<f32>> {
        Ok(self.slots[slot.0].narrow(0, session, 1)?.flatten_all()?.to_vec1()?)
    }

    const fn of(slots: Vec<Tensor>, frames: Vec<u64>) -> Self {
        Self { slots, frames, journal: Mutex::new(Journal::new()) }
    }
}

/// A block of frames on its way through the layers, or a piece of one: which sessions it belongs to, and whether their
/// clips end with it.
pub(crate) struct Block<'a> {
    state: &'a State,
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
        static NOTHING: State = State::of(Vec::new(), Vec::new());
        Self::new(&NOTHING, &[], false)
    }
}

impl<'a> Block<'a> {
    pub(crate) fn new(state: &'a State, rows: &'a [usize], end: bool) -> Self {
        Self { state, rows, end, offset: 0 }
    }

    /// The part of some rows from a frame on; `last` tells whether it goes to the end.
    pub(crate) fn piece(&self, rows: std::ops::Range<usize>, frame: usize, last: bool) -> Self {
        let (end, offset) = (self.end && last, self.offset + frame);
        Self { state: self.state, rows: &self.rows[rows], end, offset }
    }

    /// The tensor `(sessions, ...)` of a slot, to be read.
    pub(crate) fn slot(&self, slot: Slot) -> &Tensor {
        &self.state.slots[slot.0]
    }

    /// The rows' part of a slot, `(rows, ...)`.
    pub(crate) fn gather(&self, slot: Slot) -> Result<Tensor> {
        let rows = self.rows.iter().map(|&row| self.slot(slot).narrow(0, row, 1));
        Ok(Tensor::cat(&rows.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
    }

    /// Writes the rows' part of a slot back.
    pub(crate) fn scatter(&self, slot: Slot, values: &Tensor) -> Result<()> {
        (0..self.rows.len()).try_for_each(|i| self.set(slot, i, &values.narrow(0, i, 1)?.contiguous()?))
    }

    /// Writes `(1, ...)`, one row's part of a slot.
    pub(crate) fn set(&self, slot: Slot, row: usize, values: &Tensor) -> Result<()> {
        self.journal(|journal| journal.keep_all(&self.state.slots, slot.0, self.rows[row]))?;
        fault_point()?;
        Ok(self.slot(slot).slice_set(values, 0, self.rows[row])?)
    }

    /// A slot that is written in place, for each row of the block in the `written(row)` strips of its part. Calls must
    /// come round to all of the part before they write anything twice.
    pub(crate) fn slot_to_write<I: Iterator<Item = Strips>>(
        &self,
        slot: Slot,
        written: impl Fn(usize) -> I,
    ) -> Result<&Tensor> {
        self.journal(|journal| {
            let mut rows = self.rows.iter().enumerate();
            rows.try_for_each(|(i, &row)| journal.keep_strips(&self.state.slots, slot.0, row, written(i)))
        })?;
        Ok(self.slot(slot))
    }

    fn journal<T>(&self, keep: impl FnOnce(&mut Journal) -> T) -> T {
        keep(&mut self.state.journal.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the last rows of what a slot `(sessions, steps, channels)` held and `x` `(rows, steps, channels)` adds.
    pub(crate) fn remember(&self, slot: Slot, x: &Tensor) -> Result<()> {
        let (kept, steps) = (self.slot(slot).dim(1)?, x.dim(1)?);
        let newest = if kept <= steps {
            x.narrow(1, steps - kept, kept)?
        } else {
            Tensor::cat(&[&self.gather(slot)?.narrow(1, steps, kept - steps)?, x], 1)?
        };
        self.scatter(slot, &newest)
    }

    /// Steps that the session of a row has seen before, of which a frame has so many.
    pub(crate) fn position(&self, row: usize, steps_per_frame: usize) -> u64 {
        self.state.frames[self.rows[row]].wrapping_add(self.offset as u64).wrapping_mul(steps_per_frame as u64)
    }
}
