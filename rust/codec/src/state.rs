//! All that a stream remembers, apart from the weights.
//!
//! When a model is built, each layer that looks back asks a [`StateLayout`] for a [`Slot`]. A [`State`] then holds one
//! tensor `(sessions, ...)` per slot, all zero at the start of a clip, and how many steps each session has seen.
//! Everything a stream can do with its state (reset, copy, save, load, take back a call that failed) is done here, for
//! all layers alike.

mod journal;

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use mimi_kernels::Strips;

use crate::Result;
use crate::ops::fault_point;
use journal::Journal;

/// The tensors that a model's layers remember between blocks.
#[derive(Default)]
pub(crate) struct StateLayout {
    shapes: Vec<Vec<usize>>,
}

/// One of them.
#[derive(Clone, Copy)]
pub(crate) struct Slot(usize);

impl StateLayout {
    /// Reserves a tensor of `shape` for each session.
    pub(crate) fn slot(&mut self, shape: &[usize]) -> Slot {
        self.shapes.push(shape.to_vec());
        Slot(self.shapes.len() - 1)
    }
}

/// The memory of `sessions` sessions.
pub(crate) struct State {
    slots: Vec<Tensor>,
    positions: Vec<u64>,
    /// Layers write through a shared [`Block`].
    journal: Mutex<Journal>,
}

impl State {
    pub(crate) fn new(layout: &StateLayout, sessions: usize, device: &Device) -> Result<Self> {
        let zeros = |shape: &Vec<usize>| {
            let shape: Vec<usize> = std::iter::once(sessions).chain(shape.iter().copied()).collect();
            Ok(Tensor::zeros(shape, DType::F32, device)?)
        };
        let slots = layout.shapes.iter().map(zeros).collect::<Result<_>>()?;
        Ok(Self::from_parts(slots, vec![0; sessions]))
    }

    pub(crate) fn sessions(&self) -> usize {
        self.positions.len()
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
            self.positions[session] = 0;
        }
        Ok(())
    }

    /// From here on changes can be taken back, until they are [settled](State::settle).
    pub(crate) fn begin(&mut self) {
        let Self { slots, positions, journal } = self;
        journal.get_mut().unwrap_or_else(PoisonError::into_inner).begin(positions, slots.len());
    }

    /// Ends what [`State::begin`] began: after an error everything is as it was then.
    pub(crate) fn settle<T>(&mut self, result: Result<T>) -> Result<T> {
        let Self { slots, positions, journal } = self;
        let journal = journal.get_mut().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(_) => journal.clear(),
            Err(_) => {
                if let Some(before) = journal.undo(slots)? {
                    *positions = before;
                }
            }
        }
        result
    }

    pub(crate) fn copy(&self) -> Result<Self> {
        let slots = self.slots.iter().map(|slot| Ok(slot.copy()?)).collect::<Result<_>>()?;
        Ok(Self::from_parts(slots, self.positions.clone()))
    }

    /// Counts `steps` more for the sessions of a block.
    pub(crate) fn advance(&mut self, rows: &[usize], steps: usize) {
        for &row in rows {
            self.positions[row] += steps as u64;
        }
    }

    /// Every tensor and the steps seen, in the layout's order.
    pub(crate) fn parts(&self) -> (&[Tensor], &[u64]) {
        (&self.slots, &self.positions)
    }

    /// The inverse of [`State::parts`]; shapes are the caller's to check.
    pub(crate) const fn from_parts(slots: Vec<Tensor>, positions: Vec<u64>) -> Self {
        Self { slots, positions, journal: Mutex::new(Journal::new()) }
    }
}

/// A block of steps on its way through the layers: which sessions it belongs to, and whether their clip ends with it.
pub(crate) struct Block<'a> {
    pub(crate) state: &'a State,
    /// The session of each row, no session twice.
    pub(crate) rows: &'a [usize],
    pub(crate) end: bool,
}

impl Block<'static> {
    /// For operations that remember nothing.
    pub(crate) fn without_state() -> Self {
        static NOTHING: State = State::from_parts(Vec::new(), Vec::new());
        Self { state: &NOTHING, rows: &[], end: false }
    }
}

impl Block<'_> {
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

    /// Steps that the session of a row has seen before this block.
    pub(crate) fn position(&self, row: usize) -> u64 {
        self.state.positions[self.rows[row]]
    }
}
