//! All that a stream remembers, apart from the weights.
//!
//! When a model is built, each layer that looks back asks a [`StateLayout`] for a [`Slot`]. A [`State`] then holds one
//! tensor `(sessions, ...)` per slot, all zero at the start of a clip, and how many steps each session has seen.
//! Everything a stream can do with its state (reset, copy, save, load) is done here, for all layers alike.

use candle_core::{DType, Device, Tensor};

use crate::{Result, memory};

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
}

impl State {
    pub(crate) fn new(layout: &StateLayout, sessions: usize, device: &Device) -> Result<Self> {
        let floats = |shape: &Vec<usize>| shape.iter().product::<usize>();
        memory::check_room::<f32>(layout.shapes.iter().map(floats).sum::<usize>().saturating_mul(sessions))?;
        let zeros = |shape: &Vec<usize>| {
            let shape: Vec<usize> = std::iter::once(sessions).chain(shape.iter().copied()).collect();
            Ok(Tensor::zeros(shape, DType::F32, device)?)
        };
        let slots = layout.shapes.iter().map(zeros).collect::<Result<_>>()?;
        let mut positions = memory::with_room(sessions)?;
        positions.resize(sessions, 0);
        Ok(Self { slots, positions })
    }

    pub(crate) fn sessions(&self) -> usize {
        self.positions.len()
    }

    /// Makes a session as it was at the start.
    pub(crate) fn reset(&mut self, session: usize) -> Result<()> {
        for slot in &self.slots {
            slot.slice_set(&slot.narrow(0, session, 1)?.zeros_like()?, 0, session)?;
        }
        self.positions[session] = 0;
        Ok(())
    }

    pub(crate) fn copy(&self) -> Result<Self> {
        memory::check_room::<f32>(self.slots.iter().map(Tensor::elem_count).sum())?;
        let slots = self.slots.iter().map(|slot| Ok(slot.copy()?)).collect::<Result<_>>()?;
        Ok(Self { slots, positions: self.positions.clone() })
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
    pub(crate) fn from_parts(slots: Vec<Tensor>, positions: Vec<u64>) -> Self {
        Self { slots, positions }
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
        static NOTHING: State = State { slots: Vec::new(), positions: Vec::new() };
        Self { state: &NOTHING, rows: &[], end: false }
    }
}

impl Block<'_> {
    /// The tensor `(sessions, ...)` of a slot.
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
        for (i, &row) in self.rows.iter().enumerate() {
            self.slot(slot).slice_set(&values.narrow(0, i, 1)?.contiguous()?, 0, row)?;
        }
        Ok(())
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
