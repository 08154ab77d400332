//! The split residual vector quantizer: latents to codes, and codes to latents.

use candle_core::Tensor;

use crate::Result;
use crate::mimi::builder::Builder;
use crate::ops::{Codebooks, Operation, Signal};
use crate::state::Block;
use crate::weights::Parts;

/// Two residual quantizers side by side, both fed with the same latents: the semantic one gives the first codes, the
/// acoustic one the rest.
pub(crate) struct Quantizer {
    semantic: Residual,
    acoustic: Residual,
}

/// Each codebook codes what the ones before it left of the projected latent.
struct Residual {
    /// None where the codebooks are as wide as the latents, or the part that needs it was not asked for.
    input: Option<Box<dyn Operation>>,
    output: Option<Box<dyn Operation>>,
    codebooks: Box<dyn Codebooks>,
}

impl Quantizer {
    /// The first `count` codebooks.
    pub(crate) fn load(mut builder: Builder<'_>, parts: Parts, count: usize) -> Result<Self> {
        let semantic = count.min(builder.config().num_semantic_quantizers);
        Ok(Self {
            semantic: Residual::load(&mut builder, parts, true, semantic)?,
            acoustic: Residual::load(&mut builder, parts, false, count - semantic)?,
        })
    }

    /// Codebooks loaded.
    pub(crate) fn len(&self) -> usize {
        self.semantic.codebooks.len() + self.acoustic.codebooks.len()
    }

    /// The first `count` codes of each latent: `(rows, frames, hidden_size)` to `(rows * frames, count)`.
    pub(crate) fn encode(&self, latents: &Tensor, count: usize) -> Result<Vec<u32>> {
        let semantic_count = count.min(self.semantic.codebooks.len());
        let semantic = self.semantic.encode(latents, semantic_count)?;
        if count == semantic_count {
            return Ok(semantic);
        }
        let acoustic_count = count - semantic_count;
        let acoustic = self.acoustic.encode(latents, acoustic_count)?;
        let frames = semantic.chunks_exact(semantic_count).zip(acoustic.chunks_exact(acoustic_count));
        Ok(frames.flat_map(|(semantic, acoustic)| [semantic, acoustic].concat()).collect())
    }

    /// Latents `(1, frames, hidden_size)` of codes `(frames, count)`.
    pub(crate) fn decode(&self, codes: &[u32], count: usize) -> Result<Signal> {
        let split = count.min(self.semantic.codebooks.len());
        let (mut semantic, mut acoustic) = (Vec::new(), Vec::new());
        for frame in codes.chunks_exact(count) {
            semantic.extend_from_slice(&frame[..split]);
            acoustic.extend_from_slice(&frame[split..]);
        }
        let latents = self.semantic.decode(&semantic, split, None)?;
        if count == split {
            return Ok(latents);
        }
        self.acoustic.decode(&acoustic, count - split, Some(&latents))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.semantic.bytes() + self.acoustic.bytes()
    }
}

impl Residual {
    fn load(builder: &mut Builder<'_>, parts: Parts, semantic: bool, count: usize) -> Result<Self> {
        let config = builder.config();
        let kind = if semantic { "semantic" } else { "acoustic" };
        let mut projection = |field: &str, c_in: usize, wanted: bool| {
            let name = format!("quantizer.{kind}_residual_vector_quantizer.{field}");
            let wanted = wanted && count > 0 && config.has_quantizer_projection();
            wanted.then(|| builder.linear(&[name], c_in, false, None, None)).transpose()
        };
        let input = projection("input_proj", config.hidden_size, parts.encoder())?;
        let output = projection("output_proj", config.vector_quantization_hidden_dimension, parts.decoder())?;
        let mut books = (0..count).map(|index| builder.checkpoint().read_codebook(semantic, index));
        Ok(Self { input, output, codebooks: builder.backend().codebooks(config.codebook_dim, &mut books)? })
    }

    fn encode(&self, latents: &Tensor, count: usize) -> Result<Vec<u32>> {
        let projected = match &self.input {
            Some(input) => &*input.forward(latents, None, &Block::without_state())?,
            None => latents,
        };
        self.codebooks.search(&projected.flatten(0, 1)?, count)
    }

    fn decode(&self, codes: &[u32], count: usize, residual: Option<&Tensor>) -> Result<Signal> {
        let sum = self.codebooks.sum(codes, count)?;
        Ok(match (&self.output, residual) {
            (Some(output), residual) => output.forward(&sum, residual, &Block::without_state())?,
            (None, Some(residual)) => (&*sum + residual)?.into(),
            (None, None) => sum,
        })
    }

    fn bytes(&self) -> usize {
        let projections = [&self.input, &self.output].into_iter().flatten();
        self.codebooks.bytes() + projections.map(|projection| projection.bytes()).sum::<usize>()
    }
}
