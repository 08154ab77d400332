//! What lies between latents and codes.

use super::Linear;
use crate::parts::Parts;

/// Residual quantizers side by side, all fed with the same latents. Their codes follow one another; what they stand for is
/// added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quantizer {
    /// The quantizers, in the order of their codes.
    pub(crate) residual: Vec<ResidualQuantizer>,
    /// Codebooks that are semantic; the first ones. At least so many are always loaded.
    pub(crate) num_semantic: usize,
}

/// Codebooks of which each codes what the ones before it left of the projected latent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResidualQuantizer {
    /// From latents to the codebooks' vectors. None where they are the same.
    pub(crate) input: Option<Linear>,
    /// From the codebooks' vectors to latents.
    pub(crate) output: Option<Linear>,
    /// The codebooks' names: tensors `{name}.{sums}` `(entries, dim)`, `{name}.cluster_usage` `(entries,)`.
    pub(crate) codebooks: Vec<String>,
    /// What the tensor of an entry's sums is called.
    pub(crate) sums: &'static str,
    /// Whether each codebook has a flag `{name}.initialized`.
    pub(crate) flags: bool,
    /// Entries of a codebook.
    pub(crate) entries: usize,
    /// Floats of an entry.
    pub(crate) dim: usize,
}

/// From codes to latents alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Embedding {
    /// Residual quantizers of the decoder's own.
    Residual(Quantizer),
    /// The mean of what the codes of a frame stand for.
    Mean(MeanEmbedding),
}

/// A table of all codebooks' entries, one codebook after the other: a tensor `{name}.weight` `(codebooks * entries, dim)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MeanEmbedding {
    /// The module's name.
    pub(crate) name: String,
    /// Codebooks, of which a frame has a code each.
    pub(crate) codebooks: usize,
    /// Entries of a codebook.
    pub(crate) entries: usize,
    /// Floats of an entry.
    pub(crate) dim: usize,
}

impl Quantizer {
    /// Entries of each codebook.
    pub(crate) fn entries(&self) -> usize {
        self.residual.first().map_or(0, |quantizer| quantizer.entries)
    }

    /// The quantizer of the first `count` codebooks alone, with the projections that some halves need.
    pub(super) fn part(&self, parts: Parts, count: usize) -> Self {
        let mut left = count;
        let mut shorter = self.clone();
        for quantizer in &mut shorter.residual {
            quantizer.input.take_if(|_| !parts.encoder());
            quantizer.output.take_if(|_| !parts.decoder());
            quantizer.codebooks.truncate(left);
            left -= quantizer.codebooks.len();
        }
        shorter.residual.retain(|quantizer| !quantizer.codebooks.is_empty());
        shorter
    }
}
