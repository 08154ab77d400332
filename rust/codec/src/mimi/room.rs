//! The memory that a block needs on its way through the layers.

use crate::config::MimiConfig;
use crate::{Result, memory};

/// Asked for before a block begins: candle's own operations would end the process where there is none.
pub(crate) struct Room {
    /// Floats for a frame of a row: half as many again as the released model was seen to need with many rows.
    frame: usize,
}

/// Blocks of fewer frames, over all rows, live on what the blocks before them gave back.
const SMALL: usize = 8;

/// What a row needs beyond its frames, in frames: the steps before them that its layers look back at.
const HISTORY: usize = 4;

impl Room {
    pub(crate) fn new(config: &MimiConfig) -> Self {
        let steps = config.latent_stride().saturating_mul(config.hidden_size);
        Self { frame: steps.saturating_mul(24).saturating_add(config.frame_size().saturating_mul(4)) }
    }

    /// # Errors
    /// [`crate::Error::Memory`] if there is no room for `frames` frames of so many rows.
    pub(crate) fn check(&self, rows: usize, frames: usize) -> Result<()> {
        if rows * frames < SMALL { Ok(()) } else { memory::check_room::<f32>(rows * (frames + HISTORY) * self.frame) }
    }
}
