//! From codes to latents, for a decoder that has its own tables.

use super::{Builder, Quantizer};
use crate::error::Result;
use crate::ops::{self, Indices, Signal, TableShape};
use crate::parts::Parts;
use crate::plan;

/// The decoder's own way from codes to latents.
pub(crate) enum Embedding {
    Residual(Quantizer),
    /// The mean of a frame's entries.
    Mean(Box<dyn ops::Embedding>),
}

impl Embedding {
    pub(crate) fn load(builder: &mut Builder<'_>, plan: &plan::Embedding) -> Result<Self> {
        Ok(match plan {
            plan::Embedding::Residual(quantizer) => {
                Self::Residual(Quantizer::load(builder, quantizer, Parts::Decoder)?)
            }
            plan::Embedding::Mean(mean) => {
                let &plan::MeanEmbedding { codebooks, entries, dim, .. } = mean;
                let table = builder.reader.table(&mean.name)?;
                let table = builder.backend.embedding(TableShape { codebooks, entries, dim }, table)?;
                builder.held.add(&mean.name, table.bytes(), table.arrays());
                Self::Mean(table)
            }
        })
    }

    /// Latents `(1, frames, latent_dim)` of codes `(frames, count)`, which are less than the number of entries: the caller
    /// has checked.
    pub(crate) fn decode(&self, codes: &Indices) -> Result<Signal> {
        match self {
            Self::Residual(quantizer) => quantizer.decode(codes),
            Self::Mean(table) => table.mean(codes),
        }
    }
}
