//! The memory that signals lie in.
//!
//! A stream makes the same signals in every step. Their memory goes round: when a signal is dropped, the next one of its
//! size is written where it lay.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};

use crate::ops::signal::Home;

/// The memory of signals that are no more. One model's streams share it: it is as much as is ever in use at once.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<Vec<f32>>>);

/// Floats that are kept at most: 16 MB, several times what a stream needs.
const KEPT: usize = 4 << 20;

impl Spare {
    /// Memory of at least `len` floats, whatever their values: the smallest there is, else new.
    pub(super) fn take(&self, len: usize) -> Vec<f32> {
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
