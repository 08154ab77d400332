//! What codecs are made of, as data: layers in chains, with the names of their tensors.
//!
//! A codec describes itself once, as a [`Plan`]. From it come the list of its tensors (`tensors.rs`), its rates and the
//! memory of its streams (`sizes.rs`), and the model (`layers/`).
//!
//! Signals are `(rows, steps, channels)`. Names are the codec's canonical ones; `weights/` finds them in a file.

mod codebooks;
mod nodes;
mod products;
pub(crate) mod sizes;
mod tensors;

pub(crate) use codebooks::{Embedding, MeanEmbedding, Quantizer, ResidualQuantizer};
pub(crate) use nodes::{
    Activation, Attention, Chain, Conv, ConvTranspose, Edge, Gate, Linear, Node, Norm, NormKind, Projection, Residual,
    Snake, Transformer,
};
pub use products::Product;
pub use tensors::{Kind, Part, TensorSpec};

use crate::error::{Error, Result};
use crate::parts::Parts;

/// A codec: how samples become latents, latents codes, and back.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Samples per second.
    pub(crate) sample_rate: usize,
    /// Frames of latents or codes per second.
    pub(crate) frame_rate: f64,
    /// From samples to latents.
    pub(crate) encoder: Option<Chain>,
    /// From latents to samples.
    pub(crate) decoder: Option<Chain>,
    /// From latents to codes, and back where there is no `embedding`.
    pub(crate) quantizer: Option<Quantizer>,
    /// From codes to latents, for a decoder with tables of its own.
    pub(crate) embedding: Option<Embedding>,
    /// Codebooks in use, the first ones of those that there are.
    pub(crate) num_codebooks: usize,
    /// What becomes of the samples after a clip's last whole frame.
    pub(crate) rest: Rest,
}

/// What a codec does with the samples after the last whole frame of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// They are filled up to a frame.
    Filled,
    /// They are left out.
    LeftOut,
}

impl Plan {
    /// Samples in a frame.
    pub(crate) fn frame_size(&self) -> usize {
        let strides = |chain: &Chain| chain.iter().fold(1_usize, |product, node| product.saturating_mul(node.stride()));
        match (&self.encoder, &self.decoder) {
            (Some(encoder), _) => strides(encoder),
            (None, Some(decoder)) => strides(decoder),
            (None, None) => 0,
        }
    }

    /// Samples that the decoder gives for a frame, but for those before the clip.
    pub(crate) fn decoder_frame_size(&self) -> usize {
        let decoder = self.decoder.iter().flatten();
        decoder.fold(1_usize, |product, node| product.saturating_mul(node.stride()))
    }

    /// Floats of a latent that the encoder gives, or none without one.
    pub(crate) fn encoder_latent_dim(&self) -> Option<usize> {
        self.encoder.as_ref()?.iter().rev().find_map(Node::c_out)
    }

    /// Floats of a latent that the decoder takes, or none without one.
    pub(crate) fn decoder_latent_dim(&self) -> Option<usize> {
        self.decoder.as_ref()?.iter().find_map(Node::c_in)
    }

    /// Entries of each codebook; none for a codec of continuous latents.
    pub(crate) fn entries(&self) -> usize {
        match (&self.quantizer, &self.embedding) {
            (Some(quantizer), _) | (None, Some(Embedding::Residual(quantizer))) => quantizer.entries(),
            (None, Some(Embedding::Mean(table))) => table.entries,
            (None, None) => 0,
        }
    }

    /// Codebooks that are semantic; the first ones.
    pub(crate) fn num_semantic(&self) -> usize {
        match (&self.quantizer, &self.embedding) {
            (Some(quantizer), _) | (None, Some(Embedding::Residual(quantizer))) => quantizer.num_semantic,
            (None, Some(Embedding::Mean(_)) | None) => 0,
        }
    }

    /// Fewest codes that a frame may have.
    pub(crate) fn fewest_codes(&self) -> usize {
        match &self.embedding {
            Some(Embedding::Mean(table)) => table.codebooks,
            Some(Embedding::Residual(_)) | None => usize::from(self.num_codebooks > 0),
        }
    }

    /// Whether there is a way from samples to codes.
    pub(crate) fn gives_codes(&self) -> bool {
        self.encoder.is_some() && self.quantizer.is_some()
    }

    /// Samples by which what the decoder gives is shorter than the frames that it is given: those before a clip's first one.
    pub(crate) fn delay(&self) -> usize {
        self.decoder.iter().flatten().fold(0, |lead, node| node.lead_after(lead))
    }

    /// What is needed of it for some halves and the first `num_codebooks` codebooks, or those in use.
    ///
    /// # Errors
    /// [`Error::Config`] for more codebooks than there are, or fewer than are needed; for a half that the codec has not.
    pub(crate) fn needed(&self, parts: Parts, num_codebooks: Option<usize>) -> Result<Self> {
        for (asked, has, half) in [
            (parts == Parts::Encoder, self.encoder.is_some(), "encoder"),
            (parts == Parts::Decoder, self.decoder.is_some(), "decoder"),
        ] {
            if asked && !has {
                return Err(Error::config("parts", format!("expected a half that the codec has, got its {half}")));
            }
        }
        if self.num_codebooks == 0 && num_codebooks.is_some() {
            let message = "expected none for a codec of continuous latents, which has no codebooks, got a number";
            return Err(Error::config("num_codebooks", message));
        }
        let fewest = self.num_semantic().max(self.fewest_codes());
        let codebooks = num_codebooks.unwrap_or(self.num_codebooks);
        if !(fewest..=self.num_codebooks).contains(&codebooks) {
            let message = format!("expected between {fewest} and {}, got {codebooks}", self.num_codebooks);
            return Err(Error::config("num_codebooks", message));
        }
        Ok(self.part(parts, codebooks))
    }

    /// Some halves, and what they need for the first `codebooks` codebooks.
    pub(crate) fn part(&self, parts: Parts, codebooks: usize) -> Self {
        let own = self.embedding.is_some();
        let quantizer = self.quantizer.as_ref().filter(|_| !own || parts.encoder());
        let embedding = self.embedding.as_ref().filter(|_| parts.decoder());
        Self {
            encoder: self.encoder.clone().filter(|_| parts.encoder()),
            decoder: self.decoder.clone().filter(|_| parts.decoder()),
            quantizer: quantizer.map(|it| it.part(if own { Parts::Encoder } else { parts }, codebooks)),
            embedding: embedding.map(|it| match it {
                Embedding::Residual(quantizer) => Embedding::Residual(quantizer.part(Parts::Decoder, codebooks)),
                Embedding::Mean(table) => Embedding::Mean(table.clone()),
            }),
            num_codebooks: codebooks,
            ..*self
        }
    }
}
