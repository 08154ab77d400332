//! Which weights a model has: CRC-32 sums of what was read, whatever the files' layout and types.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crc32fast::Hasher;

use super::{Part, Parts, needed_tensors};
use crate::config::MimiConfig;

/// The sums of the tensors read so far, by canonical name.
#[derive(Default)]
pub(super) struct Sums(Mutex<BTreeMap<String, u32>>);

impl Sums {
    pub(super) fn add(&self, name: &str, values: &[f32]) {
        let sum = crc32fast::hash(bytemuck::cast_slice(values));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), sum);
    }

    /// A sum for each number of codebooks from 1 on, over a half of the codec and what the quantizer does for it.
    pub(super) fn of_half(&self, config: &MimiConfig, half: Parts, codebooks: usize) -> Vec<String> {
        let sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (quantizer, layers): (Vec<_>, Vec<_>) =
            needed_tensors(config, half, codebooks).into_iter().partition(|spec| spec.part == Part::Quantizer);
        let others = if half == Parts::Encoder { "output_proj" } else { "input_proj" };
        let mut hasher = Hasher::new();
        let mut fingerprints = Vec::with_capacity(codebooks);
        for spec in layers.iter().chain(&quantizer).filter(|spec| !spec.name.contains(others)) {
            if let Some(sum) = sums.get(&spec.name) {
                hasher.update(spec.name.as_bytes());
                hasher.update(&sum.to_le_bytes());
            }
            if spec.name.ends_with(LAST_OF_A_CODEBOOK) {
                fingerprints.push(format!("{:08x}", hasher.clone().finalize()));
            }
        }
        fingerprints
    }
}

const LAST_OF_A_CODEBOOK: &str = ".cluster_usage";
