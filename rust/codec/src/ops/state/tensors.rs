//! The memory of sessions in candle's tensors, one `(sessions, ...)` for each slot.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use mimi_kernels::Strips;

use super::journal::Journal;
use super::{Block, Memory, Slot, Slots};
use crate::error::Result;
use crate::memory;
use crate::ops::fault_point;

/// The tensors, and what a call that may fail has changed of them.
pub(crate) struct Tensors {
    slots: Vec<Tensor>,
    /// Layers write through a shared [`Block`].
    journal: Mutex<Journal>,
}

impl Tensors {
    pub(crate) fn new(layout: &Slots, sessions: usize, device: &Device) -> Result<Self> {
        let zeros = |shape: &Vec<usize>| {
            let shape: Vec<usize> = std::iter::once(sessions).chain(shape.iter().copied()).collect();
            Ok(Tensor::zeros(shape, DType::F32, device)?)
        };
        let floats = |shape: &Vec<usize>| shape.iter().product::<usize>();
        memory::check_room::<f32>(layout.shapes().iter().map(floats).sum::<usize>().saturating_mul(sessions))?;
        Ok(Self::of(layout.shapes().iter().map(zeros).collect::<Result<_>>()?))
    }

    fn of(slots: Vec<Tensor>) -> Self {
        Self { slots, journal: Mutex::new(Journal::new()) }
    }

    fn journal<T>(&self, keep: impl FnOnce(&mut Journal) -> T) -> T {
        keep(&mut self.journal.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes `(1, ...)`, a session's part of a slot.
    fn set(&self, slot: Slot, session: usize, values: &Tensor) -> Result<()> {
        self.journal(|journal| journal.keep_all(&self.slots, slot.index(), session))?;
        fault_point()?;
        Ok(self.slots[slot.index()].slice_set(values, 0, session)?)
    }
}

impl Memory for Tensors {
    fn reset(&mut self, sessions: &[usize]) -> Result<()> {
        let zeros = self.slots.iter().map(|slot| {
            fault_point()?;
            Ok(slot.narrow(0, 0, 1)?.zeros_like()?)
        });
        let zeros = zeros.collect::<Result<Vec<_>>>()?;
        for &session in sessions {
            for (slot, zeros) in self.slots.iter().zip(&zeros) {
                slot.slice_set(zeros, 0, session)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, frames: &[u64]) {
        let Self { slots, journal } = self;
        journal.get_mut().unwrap_or_else(PoisonError::into_inner).begin(frames.len(), slots.len());
    }

    fn keep(&mut self) {
        self.journal.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn undo(&mut self) -> Result<()> {
        let Self { slots, journal } = self;
        journal.get_mut().unwrap_or_else(PoisonError::into_inner).undo(slots)
    }

    fn advance(&mut self, _: &[usize]) {}

    fn copy(&self) -> Result<Box<dyn Memory>> {
        memory::check_room::<f32>(self.slots.iter().map(Tensor::elem_count).sum())?;
        let slots = self.slots.iter().map(|slot| Ok(slot.copy()?)).collect::<Result<_>>()?;
        Ok(Box::new(Self::of(slots)))
    }

    fn read(&self, slot: Slot, session: usize, _: u64) -> Result<Vec<f32>> {
        Ok(self.slots[slot.index()].narrow(0, session, 1)?.flatten_all()?.to_vec1()?)
    }

    fn write(&self, slot: Slot, session: usize, values: &[f32]) -> Result<()> {
        let held = &self.slots[slot.index()];
        let shape: Vec<usize> = std::iter::once(1).chain(held.dims()[1..].iter().copied()).collect();
        self.set(slot, session, &Tensor::from_vec(memory::copy(values)?, shape, held.device())?)
    }
}

/// How operations on candle's tensors read and write the slots of a block's rows.
impl Block<'_> {
    /// The tensor `(sessions, ...)` of a slot, to be read.
    pub(crate) fn slot(&self, slot: Slot) -> Result<&Tensor> {
        Ok(&self.memory::<Tensors>()?.slots[slot.index()])
    }

    /// The rows' part of a slot, `(rows, ...)`.
    pub(crate) fn gather(&self, slot: Slot) -> Result<Tensor> {
        let held = self.slot(slot)?;
        let rows = self.rows.iter().map(|&row| held.narrow(0, row, 1));
        Ok(Tensor::cat(&rows.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
    }

    /// Writes the rows' part of a slot back.
    pub(crate) fn scatter(&self, slot: Slot, values: &Tensor) -> Result<()> {
        (0..self.rows.len()).try_for_each(|i| self.set(slot, i, &values.narrow(0, i, 1)?.contiguous()?))
    }

    /// Writes `(1, ...)`, one row's part of a slot.
    pub(crate) fn set(&self, slot: Slot, row: usize, values: &Tensor) -> Result<()> {
        self.memory::<Tensors>()?.set(slot, self.rows[row], values)
    }

    /// A slot that is written in place, for each row of the block in the `written(row)` strips of its part. Calls must
    /// come round to all of the part before they write anything twice.
    pub(crate) fn slot_to_write<I: Iterator<Item = Strips>>(
        &self,
        slot: Slot,
        written: impl Fn(usize) -> I,
    ) -> Result<&Tensor> {
        let memory = self.memory::<Tensors>()?;
        memory.journal(|journal| {
            let mut rows = self.rows.iter().enumerate();
            rows.try_for_each(|(i, &row)| journal.keep_strips(&memory.slots, slot.index(), row, written(i)))
        })?;
        self.slot(slot)
    }

    /// Keeps the last rows of what a slot `(sessions, steps, channels)` held and `x` `(rows, steps, channels)` adds.
    pub(crate) fn remember(&self, slot: Slot, x: &Tensor) -> Result<()> {
        let (kept, steps) = (self.slot(slot)?.dim(1)?, x.dim(1)?);
        let newest = if kept <= steps {
            x.narrow(1, steps - kept, kept)?
        } else {
            Tensor::cat(&[&self.gather(slot)?.narrow(1, steps, kept - steps)?, x], 1)?
        };
        self.scatter(slot, &newest)
    }
}
