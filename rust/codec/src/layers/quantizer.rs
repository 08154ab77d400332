//! Residual vector quantizers side by side: latents to codes, and codes to latents.

use super::Builder;
use crate::error::{Error, Result};
use crate::ops::{Block, CodebookShape, Codebooks, Columns, Indices, Operation, Signal};
use crate::parts::Parts;
use crate::plan;

/// Quantizers that are all fed with the same latents: their codes follow one another.
pub(crate) struct Quantizer {
    residual: Vec<ResidualQuantizer>,
}

/// Each codebook codes what the ones before it left of the projected latent.
struct ResidualQuantizer {
    /// None where the codebooks are as wide as the latents, or the half that needs it was not asked for.
    input: Option<Box<dyn Operation>>,
    output: Option<Box<dyn Operation>>,
    codebooks: Box<dyn Codebooks>,
}

impl Quantizer {
    /// The quantizer of a plan, for one direction or for both.
    pub(crate) fn load(builder: &mut Builder<'_>, plan: &plan::Quantizer, parts: Parts) -> Result<Self> {
        let residual = plan.residual.iter().map(|residual| ResidualQuantizer::load(builder, residual, parts));
        Ok(Self { residual: residual.collect::<Result<_>>()? })
    }

    /// The first `count` codes of each latent: `(rows, frames, latent_dim)` to `(rows * frames, count)`.
    pub(crate) fn encode(&self, latents: &Signal, count: usize, block: &Block<'_>) -> Result<Indices> {
        let codes = self
            .shares(count)
            .try_fold(None, |codes, (columns, quantizer)| quantizer.encode(latents, columns, codes, block).map(Some));
        codes?.ok_or_else(no_codebook)
    }

    /// Latents `(1, frames, latent_dim)` of codes `(frames, count)`, which are less than the number of entries: the caller
    /// has checked.
    pub(crate) fn decode(&self, codes: &Indices) -> Result<Signal> {
        let latents = self.shares(codes.count).try_fold(None, |latents: Option<Signal>, (columns, quantizer)| {
            quantizer.decode(codes, columns, latents.as_ref()).map(Some)
        });
        latents?.ok_or_else(no_codebook)
    }

    /// For the first `count` codes the quantizers that they belong to, each with its own.
    fn shares(&self, count: usize) -> impl Iterator<Item = (Columns, &ResidualQuantizer)> {
        let mut first = 0;
        let shares = self.residual.iter().map(move |quantizer| {
            let own = quantizer.codebooks.len().min(count - first);
            first += own;
            (Columns { first: first - own, own, count }, quantizer)
        });
        shares.filter(|(columns, _)| columns.own > 0)
    }
}

impl ResidualQuantizer {
    fn load(builder: &mut Builder<'_>, plan: &plan::ResidualQuantizer, parts: Parts) -> Result<Self> {
        let mut projection = |linear: &Option<plan::Linear>| {
            linear.as_ref().map(|linear| builder.linear(linear, 1, true, None)).transpose()
        };
        let (input, output) = (projection(&plan.input)?, projection(&plan.output)?);
        let &plan::ResidualQuantizer { entries, dim, .. } = plan;
        let shape = CodebookShape { entries, dim, searched: parts.encoder(), summed: parts.decoder() };
        let reader = &builder.reader;
        let mut books = plan.codebooks.iter().map(|name| reader.codebook(name, plan.sums, plan.dim));
        let codebooks = builder.backend.codebooks(shape, &mut books)?;
        builder.held.bytes += codebooks.bytes();
        for (name, arrays) in plan.codebooks.iter().zip(codebooks.arrays()) {
            builder.held.add(name, 0, arrays);
        }
        Ok(Self { input, output, codebooks })
    }

    fn encode(&self, latents: &Signal, columns: Columns, codes: Option<Indices>, block: &Block<'_>) -> Result<Indices> {
        match &self.input {
            Some(input) => self.codebooks.search(&input.forward(latents, None, block)?, columns, codes, block),
            None => self.codebooks.search(latents, columns, codes, block),
        }
    }

    fn decode(&self, codes: &Indices, columns: Columns, residual: Option<&Signal>) -> Result<Signal> {
        match &self.output {
            Some(output) => {
                let sum = self.codebooks.sum(codes, columns, None)?;
                output.forward(&sum, residual, &Block::without_state())
            }
            None => self.codebooks.sum(codes, columns, residual),
        }
    }
}

fn no_codebook() -> Error {
    Error::Codes("expected at least one codebook, got none".into())
}
