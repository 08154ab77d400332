//! The memory that a block needs on its way through the layers.

use crate::error::Result;
use crate::ops::Backend;

/// Blocks of fewer frames, over all rows, live on what the blocks before them gave back.
const SMALL: usize = 8;

/// What a row needs beyond its frames, in frames: the steps before them that its layers look back at.
const HISTORY: usize = 4;

/// Signals as large as the largest that are there at once, and half as many again: seen on the released model with many
/// rows.
const SIGNALS: usize = 6;

/// Asks for the memory before a block begins, because candle's own operations would end the process where there is none.
/// `widest` are the floats in a frame of the largest signal that goes through the layers as a whole, beside which there are
/// the samples of a frame, `frame_size`.
///
/// # Errors
/// [`crate::Error::Memory`] if there is no room for `frames` frames of so many rows.
pub(super) fn check(backend: &dyn Backend, rows: usize, frames: usize, widest: usize, frame_size: usize) -> Result<()> {
    if rows * frames < SMALL {
        return Ok(());
    }
    let frame = widest.saturating_mul(SIGNALS).saturating_add(frame_size.saturating_mul(4));
    backend.check_room((rows * (frames + HISTORY)).saturating_mul(frame))
}
