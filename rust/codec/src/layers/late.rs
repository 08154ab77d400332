//! A layer behind a delay: it takes its first inputs for zeros, as they lie before the clip.

use crate::error::Result;
use crate::ops::{Arrays, Block, Operation, Signal};

/// An operation that looks back, in a place with steps that do not count.
pub(crate) struct Late {
    silence: Box<dyn Operation>,
    operation: Box<dyn Operation>,
}

impl Late {
    pub(crate) fn new(silence: Box<dyn Operation>, operation: Box<dyn Operation>) -> Self {
        Self { silence, operation }
    }
}

impl Operation for Late {
    fn forward(&self, x: &Signal, residual: Option<&Signal>, block: &Block<'_>) -> Result<Signal> {
        self.operation.forward(&self.silence.forward(x, None, block)?, residual, block)
    }

    fn arrays(&self) -> Arrays {
        self.operation.arrays()
    }

    fn bytes(&self) -> usize {
        self.operation.bytes()
    }
}
