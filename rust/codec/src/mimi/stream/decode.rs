//! Streams of codes into samples.

use candle_core::Tensor;

use super::saved::{Saved, StreamKind};
use super::{active_rows, check_sessions, masked_rows, several_blocks};
use crate::mimi::clip::BLOCK_FRAMES;
use crate::mimi::values::check_codes;
use crate::mimi::{Codes, Mimi, StopFn};
use crate::state::State;
use crate::{Error, Result, memory};

/// Sessions that turn codes into samples as they come, a frame of samples for every frame of codes.
///
/// The samples are those of the whole clip, bit for bit, without seams. After an error the stream is as it was before
/// the call.
pub struct DecoderStream {
    model: Mimi,
    state: State,
    frames: Vec<u64>,
}

impl DecoderStream {
    /// `sessions` streams.
    ///
    /// # Errors
    /// [`Error::Stream`] for no sessions, [`Error::Config`] for a model without its decoder.
    pub fn new(model: &Mimi, sessions: usize) -> Result<Self> {
        check_sessions(sessions)?;
        let state = State::new(&model.decoder()?.layout, sessions, model.inner.backend.device())?;
        Ok(Self { model: model.clone(), state, frames: vec![0; sessions] })
    }

    /// The model that the stream runs.
    pub fn model(&self) -> &Mimi {
        &self.model
    }

    /// Number of sessions.
    pub fn sessions(&self) -> usize {
        self.frames.len()
    }

    /// Frames that each session has taken since its start.
    pub fn frames(&self) -> Vec<u64> {
        self.frames.clone()
    }

    /// Takes frames of codes for each session, none for those that rest, and gives their samples.
    ///
    /// # Errors
    /// [`Error::Codes`] for codes out of range or more codebooks than are loaded, [`Error::Stream`] for a wrong number
    /// of inputs, [`Error::Interrupted`] when `stop` says so.
    pub fn push(&mut self, inputs: &[Option<Codes>], stop: StopFn<'_>) -> Result<Vec<Vec<f32>>> {
        let rows = active_rows(inputs, self.frames.len())?;
        let codebook_size = self.model.config().codebook_size;
        for codes in inputs.iter().flatten() {
            check_codes(codes, self.model.num_codebooks(), codebook_size)?;
        }
        let several = several_blocks(inputs.iter().flatten().map(Codes::frames));
        let before = if several { Some(self.state.copy()?) } else { None };
        match self.decode(&rows, inputs, stop) {
            Ok(pcm) => {
                for (frames, codes) in self.frames.iter_mut().zip(inputs) {
                    *frames += codes.as_ref().map_or(0, Codes::frames) as u64;
                }
                Ok(pcm)
            }
            Err(error) => {
                if let Some(before) = before {
                    self.state = before;
                }
                Err(error)
            }
        }
    }

    /// Decodes all frames, block by block, sessions side by side as long as they have frames.
    fn decode(&mut self, rows: &[usize], inputs: &[Option<Codes>], stop: StopFn<'_>) -> Result<Vec<Vec<f32>>> {
        let frame_size = self.model.config().frame_size();
        let mut pcm = vec![Vec::new(); self.frames.len()];
        for &row in rows {
            let frames = inputs[row].as_ref().map_or(0, Codes::frames);
            pcm[row] = memory::with_room(frames.saturating_mul(frame_size))?;
        }
        loop {
            let done = |row: usize| pcm[row].len() / frame_size;
            let left = |row: usize| inputs[row].as_ref().map_or(0, Codes::frames) - done(row);
            let ready: Vec<usize> = rows.iter().copied().filter(|&row| left(row) > 0).collect();
            let Some(frames) = ready.iter().map(|&row| left(row).min(BLOCK_FRAMES)).min() else {
                return Ok(pcm);
            };
            if stop() {
                return Err(Error::Interrupted);
            }
            let mut latents = Vec::with_capacity(ready.len());
            for &row in &ready {
                if let Some(Codes { codebooks, data }) = &inputs[row] {
                    let block = &data[done(row) * codebooks..][..frames * codebooks];
                    latents.push(self.model.inner.quantizer.decode(block, *codebooks)?);
                }
            }
            let samples = self.model.decoder()?.forward(&Tensor::cat(&latents, 0)?, &mut self.state, &ready)?;
            let samples = samples.flatten_all()?.to_vec1::<f32>()?;
            for (&row, block) in ready.iter().zip(samples.chunks_exact(frames * frame_size)) {
                pcm[row].extend_from_slice(block);
            }
        }
    }

    /// Makes the sessions in `mask`, all without one, as they were at the start.
    ///
    /// # Errors
    /// [`Error::Stream`] for a mask of another length.
    pub fn reset(&mut self, mask: Option<&[bool]>) -> Result<()> {
        for row in masked_rows(mask, self.frames.len())? {
            self.state.reset(row)?;
            self.frames[row] = 0;
        }
        Ok(())
    }

    /// A stream that goes on from here on its own.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the device has no room.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self { model: self.model.clone(), state: self.state.copy()?, frames: self.frames.clone() })
    }

    /// All that the stream remembers, as safetensors.
    ///
    /// # Errors
    /// [`Error::Tensor`] if a tensor cannot be read from its device.
    pub fn save(&self) -> Result<Vec<u8>> {
        let sessions = self.frames.len();
        Saved { frames: self.frames(), ended: vec![false; sessions], pending: vec![Vec::new(); sessions] }
            .write(&self.kind(), &self.state)
    }

    /// Goes on from what [`DecoderStream::save`] gave, for the same model and number of sessions.
    ///
    /// # Errors
    /// [`Error::Stream`] where the state is damaged or of another kind of stream; the stream is then as it was.
    pub fn load(&mut self, state: &[u8]) -> Result<()> {
        let frame_size = self.model.config().frame_size();
        let (saved, state) = Saved::read(state, &self.kind(), &self.state, frame_size)?;
        self.frames = saved.frames;
        self.state = state;
        Ok(())
    }

    fn kind(&self) -> StreamKind<'_> {
        StreamKind { name: "decoder", model: &self.model, codebooks: None }
    }
}
