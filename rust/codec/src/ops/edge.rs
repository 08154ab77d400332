//! What a convolution sees before the first input of a clip and after the last.

use candle_core::Tensor;

use super::{ConvShape, Edge};
use crate::error::Result;
use crate::ops::state::{Block, Slot};

/// Prepares the history `(sessions, history, c_in)` of sessions that begin: zeros are there from the start; the first input
/// repeated is only known now.
pub(super) fn begin(shape: &ConvShape, history: Slot, x: &Tensor, block: &Block<'_>) -> Result<()> {
    if shape.edge == Edge::Replicate {
        for i in (0..block.rows.len()).filter(|&i| block.position(i, 1) == 0) {
            let first = x.narrow(0, i, 1)?.narrow(1, 0, 1)?.repeat((1, shape.history(), 1))?;
            block.set(history, i, &first)?;
        }
    }
    Ok(())
}

/// `x` `(rows, steps, c_in)`, at the end of a clip filled up to a multiple of the stride.
pub(super) fn fill_up(shape: &ConvShape, x: &Tensor, block: &Block<'_>) -> Result<Tensor> {
    let steps = x.dim(1)?;
    let missing = steps.next_multiple_of(shape.stride) - steps;
    if missing == 0 || !block.end {
        return Ok(x.clone());
    }
    let last = x.narrow(1, steps - 1, 1)?;
    let edge = match shape.edge {
        Edge::Zero => last.zeros_like()?,
        Edge::Replicate => last,
    };
    Ok(Tensor::cat(&[x, &edge.repeat((1, missing, 1))?], 1)?)
}
