//! What flows between the layers, and the memory it lies in.
//!
//! A stream makes the same signals in every step. Their memory goes round: when a signal is dropped, the next one of its
//! size is written where it lay.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Shape, Tensor};

use super::Host;
use crate::Result;

/// The result of an operation, `(rows, steps, channels)`.
///
/// Its memory is used again when it is dropped: views of it must not live longer.
pub(crate) struct Signal {
    tensor: Tensor,
    home: Option<Arc<Spare>>,
}

impl Signal {
    /// A CPU tensor of `shape`, written by `write`, which finds other signals' values in it.
    pub(crate) fn write(
        host: &Host,
        shape: impl Into<Shape>,
        write: impl FnOnce(&mut [f32]) -> Result<()>,
    ) -> Result<Self> {
        let shape = shape.into();
        let len = shape.elem_count();
        let mut data = host.spare.take(len);
        write(&mut data[..len])?;
        // The tensor of the whole memory, and the signal at its front.
        let whole = (data.len(),);
        let tensor = Tensor::from_vec(data, whole, &Device::Cpu)?.narrow(0, 0, len)?.reshape(shape)?;
        Ok(Self { tensor, home: Some(Arc::clone(&host.spare)) })
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
            let taken = Take(RefCell::default());
            // Without its memory it is freed as any tensor is.
            if self.tensor.inplace_op1(&taken).is_ok() {
                home.put_back(taken.0.into_inner());
            }
        }
    }
}

/// Takes the floats out of a tensor.
struct Take(RefCell<Vec<f32>>);

impl InplaceOp1 for Take {
    fn name(&self) -> &'static str {
        "take"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        if let CpuStorage::F32(data) = storage {
            self.0.replace(std::mem::take(data));
        }
        Ok(())
    }
}

/// The memory of signals that are no more. One model's streams share it: it is as much as is ever in use at once.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Vec<Vec<f32>>>);

/// Floats that are kept at most: 16 MB, several times what a stream needs.
const KEPT: usize = 4 << 20;

impl Spare {
    /// Memory of at least `len` floats, whatever their values: the smallest there is, else new.
    fn take(&self, len: usize) -> Vec<f32> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = kept.iter().enumerate().filter(|(_, data)| data.len() >= len);
        match fitting.min_by_key(|(_, data)| data.len()).map(|(index, _)| index) {
            Some(index) => kept.swap_remove(index),
            None => {
                drop(kept);
                vec![0.0; len]
            }
        }
    }

    fn put_back(&self, data: Vec<f32>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let floats: usize = kept.iter().map(Vec::len).sum();
        if !data.is_empty() && floats + data.len() <= KEPT {
            kept.push(data);
        }
    }
}
