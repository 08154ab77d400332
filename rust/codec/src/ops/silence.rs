//! Silence before a clip: steps that a delay has put there.

use candle_core::Tensor;

use super::{Block, Operation, Signal, without_residual};
use crate::error::Result;

/// Zeros in place of the steps that lie before each row's clip, on candle's tensors.
pub(crate) struct Silence {
    /// Steps before the clip.
    lead: usize,
    /// Steps in a frame.
    steps: usize,
}

impl Silence {
    pub(super) fn new(lead: usize, steps: usize) -> Self {
        Self { lead, steps }
    }
}

impl Operation for Silence {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal> {
        without_residual(residual, "silence")?;
        let [rows, steps, channels] = x.dims();
        let x = x.tensor()?;
        let lead = |row| (self.lead as u64).saturating_sub(block.position(row, self.steps)).min(steps as u64);
        if (0..rows).all(|row| lead(row) == 0) {
            // A view, as nothing changes.
            return Signal::of(x.clone());
        }
        let rows = (0..rows).map(|row| {
            let lead = lead(row) as usize;
            let zeros = Tensor::zeros((1, lead, channels), x.dtype(), x.device())?;
            Tensor::cat(&[&zeros, &x.narrow(0, row, 1)?.narrow(1, lead, steps - lead)?], 1)
        });
        Signal::of(Tensor::cat(&rows.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
    }
}
