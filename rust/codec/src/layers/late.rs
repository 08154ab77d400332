//! A layer behind a delay: it takes its first inputs for zeros, as they lie before the clip.

use candle_core::Tensor;

use crate::error::Result;
use crate::ops::{Block, Operation, Signal};
use crate::plan::sizes::Place;

/// An operation that looks back, in a place with steps that do not count.
pub(crate) struct Late {
    place: Place,
    operation: Box<dyn Operation>,
}

impl Late {
    pub(crate) fn new(place: Place, operation: Box<dyn Operation>) -> Self {
        Self { place, operation }
    }

    /// `x` with zeros in place of the steps before each row's clip; nothing where there are none of them.
    fn silenced(&self, x: &Tensor, block: &Block<'_>) -> Result<Option<Tensor>> {
        let (rows, steps, channels) = x.dims3()?;
        let lead =
            |row| (self.place.lead as u64).saturating_sub(block.position(row, self.place.steps)).min(steps as u64);
        if (0..rows).all(|row| lead(row) == 0) {
            return Ok(None);
        }
        let rows = (0..rows).map(|row| {
            let lead = lead(row) as usize;
            let zeros = Tensor::zeros((1, lead, channels), x.dtype(), x.device())?;
            Tensor::cat(&[&zeros, &x.narrow(0, row, 1)?.narrow(1, lead, steps - lead)?], 1)
        });
        Ok(Some(Tensor::cat(&rows.collect::<candle_core::Result<Vec<_>>>()?, 0)?))
    }
}

impl Operation for Late {
    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, block: &Block<'_>) -> Result<Signal> {
        let silenced = self.silenced(x, block)?;
        self.operation.forward(silenced.as_ref().unwrap_or(x), residual, block)
    }

    fn bytes(&self) -> usize {
        self.operation.bytes()
    }
}
