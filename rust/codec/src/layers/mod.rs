//! A plan with its weights: the layers of a model, made for one backend.

mod builder;
mod chain;
mod embedding;
mod late;
mod quantizer;
mod reader;

pub(crate) use builder::{Builder, Held};
pub(crate) use chain::Chain;
pub(crate) use embedding::Embedding;
use late::Late;
pub(crate) use quantizer::Quantizer;
#[cfg(test)]
pub(crate) use reader::codebook_entries;
