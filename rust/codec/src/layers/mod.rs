//! A plan with its weights: the layers of a model, made for one backend.

mod builder;
mod chain;
mod embedding;
mod late;
mod quantizer;

pub(crate) use builder::Builder;
pub(crate) use chain::Chain;
pub(crate) use embedding::Embedding;
use late::Late;
pub(crate) use quantizer::Quantizer;
#[cfg(test)]
pub(crate) use quantizer::codebook_entries;
