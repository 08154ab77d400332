//! Which weights a model has: CRC-32 sums of what was read, whatever the files' layout and types.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crc32fast::Hasher;

use crate::plan::TensorSpec;

/// The sums of the tensors read so far, by canonical name.
#[derive(Default)]
pub(super) struct Sums(Mutex<BTreeMap<String, u32>>);

impl Sums {
    pub(super) fn add(&self, name: &str, values: &[f32]) {
        let sum = crc32fast::hash(bytemuck::cast_slice(values));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), sum);
    }

    pub(super) fn take(self) -> Fingerprints {
        Fingerprints(self.0.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The sums of a model's tensors, by canonical name.
pub(crate) struct Fingerprints(pub(crate) BTreeMap<String, u32>);

impl Fingerprints {
    /// The sum of sums of some tensors, in their order.
    pub(crate) fn of(&self, tensors: &[TensorSpec]) -> String {
        let mut hasher = Hasher::new();
        for spec in tensors {
            if let Some(sum) = self.0.get(&spec.name) {
                hasher.update(spec.name.as_bytes());
                hasher.update(&sum.to_le_bytes());
            }
        }
        format!("{:08x}", hasher.finalize())
    }
}
