//! Whole clips: streams of one row that are thrown away.

use super::{GO_ON, StopFn, Stream};
use crate::error::{Error, Result};
use crate::finite::check_finite;
use crate::memory;
use crate::model::Model;
use crate::ops::{Block, Flow, Given, Route, Source, Step};
use crate::values::Direction;
use crate::values::{Codes, Input, Latents, Output, blame, check_latents};

/// What follows the last sample of a clip that does not end with a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// Each convolution fills up its own input, as Transformers does it.
    #[default]
    Transformers,
    /// The clip is filled up with zeros to a whole frame, as Kyutai's `moshi` does it.
    Moshi,
}

impl Model {
    /// The first `codebooks` codes of each frame of a clip of samples.
    ///
    /// # Errors
    /// Those of [`Model::clip`].
    pub fn encode(&self, pcm: &[f32], codebooks: usize) -> Result<Codes> {
        self.clip(Direction::ToCodes(codebooks), Input::Pcm(pcm), Padding::default(), GO_ON)?.into_codes()
    }

    /// The latents of a clip of samples, before the quantizer.
    ///
    /// # Errors
    /// Those of [`Model::clip`].
    pub fn encode_latents(&self, pcm: &[f32]) -> Result<Latents> {
        self.clip(Direction::ToLatents, Input::Pcm(pcm), Padding::default(), GO_ON)?.into_latents()
    }

    /// The samples of a clip of codes.
    ///
    /// # Errors
    /// Those of [`Model::clip`].
    pub fn decode(&self, codes: &Codes) -> Result<Vec<f32>> {
        self.clip(Direction::FromCodes, Input::Codes(codes), Padding::default(), GO_ON)?.into_pcm()
    }

    /// The samples of a clip of latents, as [`Model::decode`] takes them from its quantizer.
    ///
    /// # Errors
    /// Those of [`Model::clip`].
    pub fn decode_latents(&self, latents: &Latents) -> Result<Vec<f32>> {
        self.clip(Direction::FromLatents, Input::Latents(latents), Padding::default(), GO_ON)?.into_pcm()
    }

    /// A whole clip in any direction: what [`Model::encode`], [`Model::decode`] and those of latents do, with a choice of
    /// the padding and a way to stop. `stop` is asked before each block of at most 32 frames.
    ///
    /// # Errors
    /// * [`Error::Audio`] for samples that are not finite, or so large that sums overflow; [`Error::Latents`] for values
    ///   that are not finite or of another dimension; [`Error::Codes`] for codes out of range, more codebooks than are loaded,
    ///   or a codec without codebooks,
    /// * [`Error::Config`] where the half that is needed is not loaded, [`Error::Stream`] for an input that is not what the
    ///   direction takes,
    /// * [`Error::Numeric`] where sums overflow because of the weights, [`Error::Memory`] where there is no room,
    /// * [`Error::Interrupted`] when `stop` says so.
    pub fn clip(&self, direction: Direction, input: Input<'_>, padding: Padding, stop: StopFn<'_>) -> Result<Output> {
        let mut stream = Stream::new(self, direction, 1)?;
        stream.check_input(input)?;
        let outputs = stream.advance(&[Some(input)], Some(padding), stop)?;
        outputs.into_iter().next().ok_or_else(|| Error::Stream("expected the output of a row, got none".into()))
    }

    /// The first `codebooks` codes of each latent.
    ///
    /// # Errors
    /// [`Error::Latents`] for values that are not finite or of another dimension, [`Error::Codes`] for more codebooks
    /// than are loaded, [`Error::Config`] where the encoder is not loaded.
    pub fn latents_to_codes(&self, latents: &Latents, codebooks: usize) -> Result<Codes> {
        self.latents_to_codes_until(latents, codebooks, GO_ON)
    }

    /// [`Model::latents_to_codes`] that can be stopped.
    ///
    /// # Errors
    /// Those of [`Model::latents_to_codes`], and [`Error::Interrupted`] when `stop` says so.
    pub fn latents_to_codes_until(&self, latents: &Latents, codebooks: usize, stop: StopFn<'_>) -> Result<Codes> {
        self.encoder()?;
        self.check_codebooks(codebooks)?;
        check_latents(latents, self.encoder_latent_dim().unwrap_or(0))?;
        let mut data = memory::with_room(latents.frames() * codebooks)?;
        for block in latents.data.chunks(self.backend().block_frames() * latents.dim) {
            check_stop(stop)?;
            let frames = block.len() / latents.dim;
            let input = Source::Floats(memory::copy(block)?, [1, frames, latents.dim]);
            let alone = &Block::without_state();
            let step = Step { block: alone, input, frames, route: Route::Quantize(codebooks) };
            let quantizer = self.quantizer()?;
            let codes = self
                .run(step, &|latents| Ok(Flow::Codes(quantizer.encode(&latents.into_signal()?, codebooks, alone)?)));
            data.extend(
                codes.and_then(Given::into_codes).map_err(|error| blame(error, block, "latents", Error::Latents))?,
            );
        }
        Ok(Codes { codebooks, data })
    }

    /// The latents that codes stand for: the sum of the codebooks' entries, projected back.
    ///
    /// # Errors
    /// [`Error::Codes`] for codes out of range or more codebooks than are loaded, [`Error::Config`] where the decoder
    /// is not loaded.
    pub fn codes_to_latents(&self, codes: &Codes) -> Result<Latents> {
        self.codes_to_latents_until(codes, GO_ON)
    }

    /// [`Model::codes_to_latents`] that can be stopped.
    ///
    /// # Errors
    /// Those of [`Model::codes_to_latents`], and [`Error::Interrupted`] when `stop` says so.
    pub fn codes_to_latents_until(&self, codes: &Codes, stop: StopFn<'_>) -> Result<Latents> {
        self.decoder()?;
        self.check_codes(codes)?;
        let dim = self.decoder_latent_dim().unwrap_or(0);
        let mut data = memory::with_room(codes.frames() * dim)?;
        for block in codes.data.chunks(self.backend().block_frames() * codes.codebooks) {
            check_stop(stop)?;
            let (count, frames) = (codes.codebooks, block.len() / codes.codebooks);
            let input = Source::Codes(memory::copy(block)?, count);
            let step = Step { block: &Block::without_state(), input, frames, route: Route::Embed(count) };
            let latents = self.run(step, &|codes| Ok(Flow::Signal(self.embed(&codes.into_codes()?)?)))?;
            let floats = latents.into_floats()?;
            check_finite(&floats, "latents")?;
            data.extend(floats);
        }
        Ok(Latents { dim, data })
    }
}

fn check_stop(stop: StopFn<'_>) -> Result<()> {
    if stop() { Err(Error::Interrupted) } else { Ok(()) }
}
