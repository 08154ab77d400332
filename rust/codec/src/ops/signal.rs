//! What flows between the layers.

use std::ops::Deref;
use std::sync::Arc;

use candle_core::Tensor;

/// The result of an operation, `(rows, steps, channels)`.
///
/// Where it has a home its memory is used again when it is dropped: views of it must not live longer.
pub(crate) struct Signal {
    tensor: Tensor,
    home: Option<Arc<dyn Home>>,
}

/// Where the memory of signals goes when they are dropped.
pub(crate) trait Home: Send + Sync {
    /// Takes the memory of a tensor that is about to be dropped, whose floats are then gone.
    fn take_back(&self, tensor: &Tensor);
}

impl Signal {
    /// A signal whose memory goes home.
    pub(super) fn of(tensor: Tensor, home: Arc<dyn Home>) -> Self {
        Self { tensor, home: Some(home) }
    }
}

/// A tensor whose memory is its own affair.
impl From<Tensor> for Signal {
    fn from(tensor: Tensor) -> Self {
        Self { tensor, home: None }
    }
}

impl Deref for Signal {
    type Target = Tensor;
    fn deref(&self) -> &Tensor {
        &self.tensor
    }
}

impl AsRef<Tensor> for Signal {
    fn as_ref(&self) -> &Tensor {
        &self.tensor
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.take_back(&self.tensor);
        }
    }
}
