//! The memory that signals lie in.
//!
//! A stream makes the same signals in every step. Their memory goes round: when a signal is dropped, the next one of its
//! size is written where it lay.
//!
//! A process may be forked while another of its threads holds the lock on that memory, and nobody will ever give it back
//! in the child. So nobody waits for the lock: who finds it taken does without.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};

use crate::error::Result;
use crate::memory;
use crate::ops::signal::Home;

/// The memory of signals that are no more. One model's streams share it: it is as much as is ever in use at once.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<Vec<f32>>>);

/// Floats that are kept at most: 16 MB, several times what a stream needs.
const KEPT: usize = 4 << 20;

impl Spare {
    /// Memory of at least `len` floats, whatever their values: the smallest there is, else new.
    pub(super) fn take(&self, len: usize) -> Result<Vec<f32>> {
        self.kept().and_then(|mut kept| smallest(&mut kept, len)).map_or_else(|| memory::zeros(len), Ok)
    }

    fn put_back(&self, data: Vec<f32>) {
        let Some(mut kept) = self.kept() else { return };
        let floats: usize = kept.iter().map(Vec::len).sum();
        if !data.is_empty() && floats + data.len() <= KEPT {
            kept.push(data);
        }
    }

    /// None while another thread has it, which may be one that was left behind in the parent process.
    fn kept(&self) -> Option<MutexGuard<'_, Vec<Vec<f32>>>> {
        match self.0.try_lock() {
            Ok(kept) => Some(kept),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if self.kept().is_none() {
            // Held by a thread of the parent process, in the middle of a change: left alone, it frees nothing twice.
            std::mem::forget(std::mem::take(self.0.get_mut().unwrap_or_else(PoisonError::into_inner)));
        }
    }
}

impl Home for Spare {
    fn take_back(&self, tensor: &Tensor) {
        let taken = Take(RefCell::default());
        // Without its memory it is freed as any tensor is.
        if tensor.inplace_op1(&taken).is_ok() {
            self.put_back(taken.0.into_inner());
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

/// Takes the smallest piece of at least `len` floats.
fn smallest(kept: &mut Vec<Vec<f32>>, len: usize) -> Option<Vec<f32>> {
    let fitting = kept.iter().enumerate().filter(|(_, data)| data.len() >= len);
    let (index, _) = fitting.min_by_key(|(_, data)| data.len())?;
    Some(kept.swap_remove(index))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_the_lock() {
        let spare = Spare::default();
        spare.put_back(vec![1.0; 10]);
        let held = spare.0.lock().unwrap();
        assert_eq!(spare.take(10).unwrap(), [0.0; 10]);
        spare.put_back(vec![2.0; 10]);
        drop(held);
        assert_eq!(spare.take(10).unwrap(), [1.0; 10]);
        assert_eq!(spare.take(10).unwrap(), [0.0; 10]);
    }

    #[test]
    fn memory_that_a_lost_thread_holds_is_left_alone() {
        let spare = Spare::default();
        spare.put_back(vec![1.0; 10]);
        std::mem::forget(spare.0.lock().unwrap());
        drop(spare);
    }
}
