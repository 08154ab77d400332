//! Reads the weights of the layer at hand, from where they are kept.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::ops::Weights;
use crate::weights::{Checkpoint, Stored};

/// Least cluster usage that a codebook's sums are divided by, as in the reference.
const MIN_USAGE: f32 = 1e-5;

/// Floats of the buffer that are kept for the next layer: few layers of Mimi have more than these 8 MB.
const KEPT: usize = 2 << 20;

/// Where weights come from, and the memory of those of one layer.
pub(super) struct Reader<'a> {
    stored: &'a Stored<'a>,
    /// Fresh memory for each layer would cost as much as reading it.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(stored: &'a Stored<'a>) -> Self {
        Self { stored, weight: Vec::new(), bias: Vec::new() }
    }

    /// Those of modules side by side, each with `{name}.weight` and, if `bias` says so, `{name}.bias`; all outputs
    /// multiplied by the tensor `scale`. Packed ones have the name of the first.
    pub(super) fn weights<'b, 'n: 'b>(
        &'b mut self,
        mut modules: impl Iterator<Item = &'n str>,
        bias: bool,
        scale: Option<&str>,
    ) -> Result<Weights<'b>> {
        let checkpoint = match self.stored {
            Stored::Tensors(checkpoint) => checkpoint,
            Stored::Packed(packed) => {
                let first = modules.next().unwrap_or_default();
                return Ok(Weights::Packed(packed.layer(first), bias));
            }
        };
        self.make_room();
        for module in modules {
            checkpoint.read_into(&format!("{module}.weight"), &mut self.weight)?;
            if bias {
                checkpoint.read_into(&format!("{module}.bias"), &mut self.bias)?;
            }
        }
        if let Some(scale) = scale {
            scale_outputs(&checkpoint.read(scale)?, &mut self.weight, &mut self.bias);
        }
        Ok(Weights::of(&self.weight, bias.then_some(&self.bias)))
    }

    /// The rates and scales of a snake.
    pub(super) fn snake<'b>(&'b mut self, name: &'b str) -> Result<Weights<'b>> {
        /// What keeps the division finite, as in the reference.
        const LEAST: f32 = 1e-9;
        let checkpoint = match self.stored {
            Stored::Tensors(checkpoint) => checkpoint,
            Stored::Packed(packed) => return Ok(Weights::Packed(packed.layer(name), true)),
        };
        let read = |field: &str| checkpoint.read(&format!("{name}.{field}"));
        let rates: Vec<f32> = read("alpha")?.into_iter().map(f32::exp).collect();
        if let Some(index) = rates.iter().position(|rate| !rate.is_finite()) {
            let (name, value) = (format!("{name}.alpha"), rates[index]);
            return Err(Error::TensorValue { name, index, value });
        }
        self.bias = read("beta")?.into_iter().map(|beta| 1.0 / (beta.exp() + LEAST)).collect();
        Ok(Weights::Tensors(Cow::Owned(rates), Some(&self.bias)))
    }

    /// The table `{name}.weight`.
    pub(super) fn table<'b>(&'b self, name: &'b str) -> Result<Weights<'b>> {
        Ok(match self.stored {
            Stored::Tensors(checkpoint) => checkpoint.read(&format!("{name}.weight"))?.into(),
            Stored::Packed(packed) => Weights::Packed(packed.layer(name), false),
        })
    }

    /// The entries of the codebook `name`, of `dim` floats each.
    pub(super) fn codebook<'b>(&'b self, name: &'b str, sums: &str, dim: usize) -> Result<Weights<'b>> {
        Ok(match self.stored {
            Stored::Tensors(checkpoint) => codebook_entries(checkpoint, name, sums, dim)?.into(),
            Stored::Packed(packed) => Weights::Packed(packed.layer(name), false),
        })
    }

    /// Empties the buffers; a large one is given back, as it would add to all weights at the end.
    fn make_room(&mut self) {
        self.weight.clear();
        self.bias.clear();
        if self.weight.capacity() > KEPT {
            self.weight = Vec::new();
        }
    }
}

/// Multiplies a weight's rows, and its bias, by a factor for each output.
fn scale_outputs(scale: &[f32], weight: &mut [f32], bias: &mut [f32]) {
    let depth = (weight.len() / scale.len().max(1)).max(1);
    for (row, &scale) in weight.chunks_exact_mut(depth).zip(scale) {
        row.iter_mut().for_each(|weight| *weight *= scale);
    }
    bias.iter_mut().zip(scale).for_each(|(bias, &scale)| *bias *= scale);
}

/// The entries of the codebook `name`, `(entries, dim)` row by row: its `sums` divided by its usage.
///
/// # Errors
/// Those of [`Checkpoint::read`].
pub(crate) fn codebook_entries(checkpoint: &Checkpoint<'_>, name: &str, sums: &str, dim: usize) -> Result<Vec<f32>> {
    let sums = format!("{name}.{sums}");
    let mut entries = checkpoint.read(&sums)?;
    let usage = checkpoint.read(&format!("{name}.cluster_usage"))?;
    for (entry, usage) in entries.chunks_exact_mut(dim).zip(usage) {
        entry.iter_mut().for_each(|value| *value /= usage.max(MIN_USAGE));
    }
    match entries.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::TensorValue { name: sums, index, value: entries[index] }),
        None => Ok(entries),
    }
}
