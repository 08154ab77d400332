//! From codes to latents, for a decoder that has its own tables.

use super::{Builder, Quantizer};
use crate::error::Result;
use crate::ops::{self, Signal};
use crate::plan;

/// The decoder's own way from codes to latents.
pub(crate) enum Embedding {
    Residual(Quantizer),
    Mean(Mean),
}

/// The mean of a frame's entries.
pub(crate) struct Mean {
    table: Box<dyn ops::Embedding>,
    /// Entries of a codebook.
    entries: usize,
}

impl Embedding {
    pub(crate) fn load(builder: &mut Builder<'_>, plan: &plan::Embedding) -> Result<Self> {
        Ok(match plan {
            plan::Embedding::Residual(quantizer) => Self::Residual(Quantizer::load(builder, quantizer)?),
            plan::Embedding::Mean(mean) => {
                let table = builder.checkpoint.read(&format!("{}.weight", mean.name))?;
                let table = builder.backend.embedding(mean.dim, table)?;
                builder.bytes += table.bytes();
                Self::Mean(Mean { table, entries: mean.entries })
            }
        })
    }

    /// Latents `(1, frames, latent_dim)` of codes `(frames, count)`, which are less than the number of entries: the caller
    /// has checked.
    pub(crate) fn decode(&self, codes: &[u32], count: usize) -> Result<Signal> {
        match self {
            Self::Residual(quantizer) => quantizer.decode(codes, count),
            Self::Mean(Mean { table, entries }) => {
                let first = (0..count).map(|codebook| (codebook * entries) as u32).cycle();
                let rows: Vec<u32> = codes.iter().zip(first).map(|(code, first)| code + first).collect();
                table.mean(&rows, count)
            }
        }
    }
}
