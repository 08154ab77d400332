//! Attention with the window in the ring of the CPU's kernel, and the angles that the host brings for each step.

use std::sync::Arc;

use mimi_cuda::{Rows, attention};
use mimi_kernels::{self as kernels, cache_len};

use super::card::{Card, Table};
use super::memory::Sessions;
use super::values::{Ready, Values};
use crate::error::Result;
use crate::ops::rotary::Frequencies;
use crate::ops::state::{Block, Slot, Slots};
use crate::ops::{self, AttentionShape, Rotary, Signal, fault_point};

pub(super) struct Ring {
    shape: kernels::Attention,
    rows_per_frame: usize,
    cache: Slot,
    card: Arc<Card>,
}

impl Ring {
    pub(super) fn new(card: &Arc<Card>, memory: &mut Slots, shape: AttentionShape) -> Self {
        let AttentionShape { heads, kv_heads, head_dim, window, rows_per_frame } = shape;
        let shape = kernels::Attention { heads, kv_heads, head_dim, window };
        card.note_slack((shape.capacity() - (window - 1)) / rows_per_frame.max(1));
        Self { shape, rows_per_frame, cache: memory.slot(&[cache_len(&shape)]), card: Arc::clone(card) }
    }
}

impl ops::Attention for Ring {
    fn forward(&self, qkv: &Signal, angles: &ops::Angles, block: &Block<'_>) -> Result<Signal> {
        let ([rows, steps, _], current) = (qkv.dims(), self.card.current()?);
        let (qkv, rotary) = (Ready::of(qkv, &self.card)?, Ready::of(&angles.table, &self.card)?);
        let ring_at = block.memory::<Sessions>()?.start(self.cache);
        self.card.signal([rows, steps, self.shape.heads * self.shape.head_dim], |out| {
            let launch = mimi_cuda::Attention {
                shape: self.shape,
                steps_per_frame: self.rows_per_frame,
                ring_at,
                qkv: qkv.span()?,
                rotary: rotary.span()?,
                out,
                faults: current.faults(),
            };
            Ok(attention(self.card.gpu(), &Rows { sessions: current.sessions(), rows, steps }, &launch)?)
        })
    }

    fn slot(&self) -> Slot {
        self.cache
    }

    fn canonical_len(&self) -> usize {
        (self.shape.window - 1) * 2 * self.shape.kv_heads * self.shape.head_dim
    }

    fn to_canonical(&self, kept: &[f32], frames: u64) -> Result<Vec<f32>> {
        Ok(kernels::window_of_cache(&self.shape, kept, frames * self.rows_per_frame as u64))
    }

    fn of_canonical(&self, window: &[f32], frames: u64) -> Result<Vec<f32>> {
        Ok(kernels::cache_of_window(&self.shape, window, frames * self.rows_per_frame as u64))
    }
}

/// Angles that are computed on the host.
pub(super) struct Angles {
    frequencies: Arc<Frequencies>,
    card: Arc<Card>,
}

impl Angles {
    pub(super) fn new(card: &Arc<Card>, frequencies: Frequencies) -> Self {
        Self { frequencies: Arc::new(frequencies), card: Arc::clone(card) }
    }
}

impl Rotary for Angles {
    fn angles(&self, steps: usize, block: &Block<'_>) -> Result<ops::Angles> {
        fault_point()?;
        let current = self.card.current()?;
        let dims = [current.rows(), steps, self.frequencies.width()];
        let table = match current.table(Table { frequencies: Arc::clone(&self.frequencies), steps }) {
            Some((area, number)) => Values::table(area, number, dims),
            None => self.upload(dims, block)?,
        };
        Ok(ops::Angles { table, mask: None })
    }
}

impl Angles {
    /// A table in memory of its own, where the step has none.
    fn upload(&self, dims: [usize; 3], block: &Block<'_>) -> Result<Signal> {
        let (mut table, _) = self.frequencies.table(dims[1], block);
        // Rows that rest stand nowhere.
        table.resize(dims.iter().product(), 0.0);
        self.card.signal(dims, |out| Ok(self.card.gpu().upload(out, bytemuck::cast_slice(&table))?))
    }
}
