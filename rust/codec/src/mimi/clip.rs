//! Whole clips: streams of blocks that are thrown away at the end.

use candle_core::Tensor;

use super::values::{blame, check_codes, check_latents, check_pcm};
use super::{Codes, Latents, Mimi};
use crate::ops::Signal;
use crate::state::State;
use crate::{Error, Result, memory};

/// Asked between blocks: whether to give up with [`Error::Interrupted`].
pub type StopFn<'a> = &'a (dyn Fn() -> bool + Sync);

/// What follows the last sample of a clip that does not end with a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// Each convolution fills up its own input, as Transformers does it.
    #[default]
    Transformers,
    /// The clip is filled up with zeros to a whole frame, as Kyutai's `moshi` does it.
    Moshi,
}

/// Frames that go through the model together. They share a reading of the weights of the slow layers, which then costs
/// little beside the work itself; a call can be stopped between blocks.
pub(crate) const BLOCK_FRAMES: usize = 32;

impl Mimi {
    /// The first `codebooks` codes of each frame of a clip of samples.
    ///
    /// # Errors
    /// [`Error::Audio`] for samples that are not finite or so large that sums overflow, [`Error::Numeric`] where that is the
    /// weights' doing, [`Error::Memory`], [`Error::Codes`] for more codebooks than are loaded,
    /// [`Error::Config`] where the encoder is not loaded, [`Error::Interrupted`] when `stop` says so.
    pub fn encode(&self, pcm: &[f32], codebooks: usize, padding: Padding, stop: StopFn<'_>) -> Result<Codes> {
        self.check_codebooks(codebooks)?;
        let mut data = memory::with_room(pcm.len().div_ceil(self.config().frame_size()) * codebooks)?;
        self.each_latent_block(pcm, padding, stop, |latents| {
            data.extend(self.inner.quantizer.encode(latents, codebooks)?);
            Ok(())
        })?;
        Ok(Codes { codebooks, data })
    }

    /// The latents of a clip of samples, before the quantizer.
    ///
    /// # Errors
    /// As [`Mimi::encode`].
    pub fn encode_latents(&self, pcm: &[f32], padding: Padding, stop: StopFn<'_>) -> Result<Latents> {
        let dim = self.config().hidden_size;
        let mut data = memory::with_room(pcm.len().div_ceil(self.config().frame_size()) * dim)?;
        self.each_latent_block(pcm, padding, stop, |latents| {
            data.extend(latents.flatten_all()?.to_vec1::<f32>()?);
            Ok(())
        })?;
        Ok(Latents { dim, data })
    }

    /// The samples of a clip of codes.
    ///
    /// # Errors
    /// [`Error::Codes`] for codes out of range or more codebooks than are loaded, [`Error::Config`] where the decoder
    /// is not loaded, [`Error::Interrupted`] when `stop` says so.
    pub fn decode(&self, codes: &Codes, stop: StopFn<'_>) -> Result<Vec<f32>> {
        check_codes(codes, self.num_codebooks(), self.config().codebook_size)?;
        let blocks = codes.data.chunks(BLOCK_FRAMES * codes.codebooks);
        let latents = blocks.map(|block| self.inner.quantizer.decode(block, codes.codebooks));
        self.decode_blocks(latents, codes.frames(), stop)
    }

    /// The samples of a clip of latents, as [`Mimi::decode`] takes them from its quantizer.
    ///
    /// # Errors
    /// [`Error::Latents`] for values that are not finite or of another dimension; else as [`Mimi::decode`].
    pub fn decode_latents(&self, latents: &Latents, stop: StopFn<'_>) -> Result<Vec<f32>> {
        check_latents(latents, self.config().hidden_size)?;
        let blocks = latents.data.chunks(BLOCK_FRAMES * latents.dim);
        let blocks = blocks.map(|block| {
            self.inner.backend.tensor(block, &[1, block.len() / latents.dim, latents.dim]).map(Signal::from)
        });
        let pcm = self.decode_blocks(blocks, latents.frames(), stop);
        pcm.map_err(|error| blame(error, &latents.data, "latents", Error::Latents))
    }

    /// The first `codebooks` codes of each latent.
    ///
    /// # Errors
    /// [`Error::Latents`] for values that are not finite or of another dimension, [`Error::Codes`] for more codebooks
    /// than are loaded, [`Error::Config`] where the encoder is not loaded.
    pub fn latents_to_codes(&self, latents: &Latents, codebooks: usize) -> Result<Codes> {
        self.encoder()?;
        self.check_codebooks(codebooks)?;
        check_latents(latents, self.config().hidden_size)?;
        if latents.data.is_empty() {
            return Ok(Codes { codebooks, data: Vec::new() });
        }
        let tensor = self.inner.backend.tensor(&latents.data, &[1, latents.frames(), latents.dim])?;
        let codes = self.inner.quantizer.encode(&tensor, codebooks);
        let data = codes.map_err(|error| blame(error, &latents.data, "latents", Error::Latents))?;
        Ok(Codes { codebooks, data })
    }

    /// The latents that codes stand for: the sum of the codebooks' entries, projected back.
    ///
    /// # Errors
    /// [`Error::Codes`] for codes out of range or more codebooks than are loaded, [`Error::Config`] where the decoder
    /// is not loaded.
    pub fn codes_to_latents(&self, codes: &Codes) -> Result<Latents> {
        self.decoder()?;
        check_codes(codes, self.num_codebooks(), self.config().codebook_size)?;
        let dim = self.config().hidden_size;
        if codes.data.is_empty() {
            return Ok(Latents { dim, data: Vec::new() });
        }
        let latents = self.inner.quantizer.decode(&codes.data, codes.codebooks)?;
        Ok(Latents { dim, data: latents.flatten_all()?.to_vec1()? })
    }

    fn each_latent_block(
        &self,
        pcm: &[f32],
        padding: Padding,
        stop: StopFn<'_>,
        mut take: impl FnMut(&Tensor) -> Result<()>,
    ) -> Result<()> {
        let encoder = self.encoder()?;
        check_pcm(pcm)?;
        let mut state = State::new(&encoder.layout, 1, self.inner.backend.device())?;
        let frame_size = self.config().frame_size();
        let block_len = BLOCK_FRAMES * frame_size;
        for (index, block) in pcm.chunks(block_len).enumerate() {
            if stop() {
                return Err(Error::Interrupted);
            }
            let end = (index + 1) * block_len >= pcm.len();
            let zeros =
                if padding == Padding::Moshi { block.len().next_multiple_of(frame_size) - block.len() } else { 0 };
            let tensor = match zeros {
                0 => self.inner.backend.tensor(block, &[1, block.len(), 1])?,
                _ => {
                    let filled: Vec<f32> = block.iter().copied().chain(std::iter::repeat_n(0.0, zeros)).collect();
                    self.inner.backend.tensor(&filled, &[1, filled.len(), 1])?
                }
            };
            let latents = encoder
                .forward(tensor.into(), &mut state, &[0], end)
                .map_err(|error| blame(error, block, "samples", Error::Audio))?;
            take(&latents)?;
        }
        Ok(())
    }

    fn decode_blocks(
        &self,
        blocks: impl Iterator<Item = Result<Signal>>,
        frames: usize,
        stop: StopFn<'_>,
    ) -> Result<Vec<f32>> {
        let decoder = self.decoder()?;
        let mut state = State::new(&decoder.layout, 1, self.inner.backend.device())?;
        let mut pcm = memory::with_room(frames.saturating_mul(self.config().frame_size()))?;
        for latents in blocks {
            if stop() {
                return Err(Error::Interrupted);
            }
            let latents = latents?;
            let samples = decoder.forward(&latents, &mut state, &[0])?;
            pcm.extend(samples.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(pcm)
    }
}
