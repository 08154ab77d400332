//! Where the steps of a block stand: their angles, and what they may see.

use candle_core::{DType, Tensor};

use super::Composed;
use crate::error::Result;
use crate::ops::rotary::Frequencies;
use crate::ops::state::Block;
use crate::ops::{Angles, AttentionShape, Backend, Rotary, Signal};

pub(super) struct Places {
    frequencies: Frequencies,
    shape: AttentionShape,
    /// 0, 1, 2, ... as far as the windows of a block of [`STEPS`] steps reach.
    numbers: Tensor,
}

/// Steps in a block up to which nothing but the positions is uploaded.
const STEPS: usize = 256;

impl Places {
    pub(super) fn new(backend: &Composed, shape: AttentionShape, theta: f64) -> Result<Self> {
        let numbers = Tensor::arange(0, (shape.window - 1 + STEPS) as u32, backend.candle())?.to_dtype(DType::F32)?;
        Ok(Self { frequencies: Frequencies::new(shape, theta), shape, numbers })
    }

    /// `(rows, 1, steps, window - 1 + steps)`: zero where a step may look, so low elsewhere that the exponential is zero.
    ///
    /// Step `i` sees the `window` of what was kept and is new that end with number `window - 1 + i`, as far as it has been
    /// there.
    fn mask(&self, steps: usize, block: &Block<'_>) -> Result<Tensor> {
        let (rows, before) = (block.rows.len(), self.shape.window - 1);
        let device = self.numbers.device();
        let length = before + steps;
        let numbers = if length <= self.numbers.elem_count() {
            self.numbers.narrow(0, 0, length)?
        } else {
            Tensor::arange(0, length as u32, device)?.to_dtype(DType::F32)?
        };
        // How far a number lies outside the window: its distance from the middle, less half the window.
        let middle = before as f64 / 2.0;
        let from_start = numbers.broadcast_sub(&numbers.narrow(0, 0, steps)?.reshape((steps, 1))?)?;
        let outside = ((from_start - middle)?.abs()? - middle)?;
        let empty = |row| {
            before.saturating_sub(usize::try_from(block.position(row, self.shape.rows_per_frame)).unwrap_or(usize::MAX))
                as f32
        };
        let empty: Vec<f32> = (0..rows).map(empty).collect();
        let empty = Tensor::from_vec(empty, (rows, 1, 1), device)?;
        // How far it lies before the session's start: at least one where nothing was kept. Halves and whole numbers of
        // this size are exact.
        let unseen = empty.broadcast_sub(&numbers)?.broadcast_maximum(&outside)?;
        Ok((unseen.relu()? * -1e30)?.unsqueeze(1)?)
    }
}

impl Rotary for Places {
    fn angles(&self, steps: usize, block: &Block<'_>) -> Result<Angles> {
        let (table, shape) = self.frequencies.table(steps, block);
        let table = Tensor::from_vec(table, &shape, self.numbers.device())?;
        Ok(Angles { table: Signal::of(table)?, mask: Some(self.mask(steps, block)?) })
    }
}
