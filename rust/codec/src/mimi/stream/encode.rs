//! Streams of samples into codes.

use super::saved::{Saved, StreamKind};
use super::{active_rows, check_sessions, masked_rows, several_blocks};
use crate::mimi::clip::BLOCK_FRAMES;
use crate::mimi::values::{blame, check_pcm};
use crate::mimi::{Codes, Mimi, StopFn};
use crate::state::State;
use crate::{Error, Result, memory};

/// Sessions that turn samples into codes as they come.
///
/// Samples may come in pieces of any length; a frame is coded when it is whole, and [`EncoderStream::flush`] codes the
/// rest. The codes are those of the whole clip, bit for bit. Sessions of one stream share the reading of the weights and
/// are otherwise independent. Memory does not grow, and there is no limit of length.
///
/// After an error the stream is as it was before the call.
pub struct EncoderStream {
    model: Mimi,
    codebooks: usize,
    state: State,
    sessions: Vec<Session>,
}

/// What a session keeps besides the layers' state.
#[derive(Clone, Default)]
struct Session {
    /// Less than a frame of samples.
    pending: Vec<f32>,
    frames: u64,
    ended: bool,
}

impl EncoderStream {
    /// `sessions` streams that give the first `codebooks` codes of each frame.
    ///
    /// # Errors
    /// [`Error::Codes`] for more codebooks than are loaded, [`Error::Stream`] for no sessions, [`Error::Config`] for a model without
    /// its encoder.
    pub fn new(model: &Mimi, sessions: usize, codebooks: usize) -> Result<Self> {
        model.check_codebooks(codebooks)?;
        check_sessions(sessions)?;
        let state = State::new(&model.encoder()?.layout, sessions, model.inner.backend.device())?;
        Ok(Self { model: model.clone(), codebooks, state, sessions: vec![Session::default(); sessions] })
    }

    /// Codes in each frame.
    pub fn codebooks(&self) -> usize {
        self.codebooks
    }

    /// Number of sessions.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Samples that each session holds back until they are a frame.
    pub fn pending(&self) -> Vec<usize> {
        self.sessions.iter().map(|session| session.pending.len()).collect()
    }

    /// Frames that each session has given since its start.
    pub fn frames(&self) -> Vec<u64> {
        self.sessions.iter().map(|session| session.frames).collect()
    }

    /// Takes samples for each session, none for those that rest, and gives the frames that are now whole.
    ///
    /// # Errors
    /// [`Error::Audio`] for samples that are not finite, [`Error::Stream`] for a wrong number of inputs or a session
    /// that was flushed and not reset, [`Error::Interrupted`] when `stop` says so.
    pub fn push(&mut self, inputs: &[Option<&[f32]>], stop: StopFn<'_>) -> Result<Vec<Codes>> {
        let rows = active_rows(inputs, self.sessions.len())?;
        for &row in &rows {
            self.check_open(row)?;
            check_pcm(inputs[row].unwrap_or_default())?;
        }
        let frame_size = self.model.config().frame_size();
        let mut queues: Vec<Vec<f32>> = vec![Vec::new(); self.sessions.len()];
        for &row in &rows {
            let (pending, new) = (&self.sessions[row].pending, inputs[row].unwrap_or_default());
            queues[row] = memory::with_room(pending.len() + new.len())?;
            queues[row].extend(pending.iter().chain(new));
        }
        let several = several_blocks(queues.iter().map(|queue| queue.len() / frame_size));
        let before = if several { Some(self.state.copy()?) } else { None };
        match self.code(&rows, &queues, stop) {
            Ok(codes) => {
                for &row in &rows {
                    let frames = codes[row].frames();
                    self.sessions[row].frames += frames as u64;
                    self.sessions[row].pending = queues[row].split_off(frames * frame_size);
                }
                Ok(codes)
            }
            Err(error) => {
                if let Some(before) = before {
                    self.state = before;
                }
                Err(error)
            }
        }
    }

    /// Codes all whole frames of the queues, block by block, sessions side by side as long as they have frames.
    fn code(&mut self, rows: &[usize], queues: &[Vec<f32>], stop: StopFn<'_>) -> Result<Vec<Codes>> {
        let frame_size = self.model.config().frame_size();
        let mut codes = self.no_codes();
        loop {
            let left = |row: usize| queues[row].len() / frame_size - codes[row].frames();
            let ready: Vec<usize> = rows.iter().copied().filter(|&row| left(row) > 0).collect();
            let Some(frames) = ready.iter().map(|&row| left(row).min(BLOCK_FRAMES)).min() else {
                return Ok(codes);
            };
            if stop() {
                return Err(Error::Interrupted);
            }
            let mut pcm = Vec::with_capacity(ready.len() * frames * frame_size);
            for &row in &ready {
                pcm.extend_from_slice(&queues[row][codes[row].frames() * frame_size..][..frames * frame_size]);
            }
            let block = self.code_block(&pcm, &ready, false)?;
            for (&row, block) in ready.iter().zip(block.chunks_exact(frames * self.codebooks)) {
                codes[row].data.extend_from_slice(block);
            }
        }
    }

    fn code_block(&mut self, pcm: &[f32], rows: &[usize], end: bool) -> Result<Vec<u32>> {
        let inner = &self.model.inner;
        let tensor = inner.backend.tensor(pcm, &[rows.len(), pcm.len() / rows.len(), 1])?;
        let latents = self.model.encoder()?.forward(tensor.into(), &mut self.state, rows, end);
        let latents = latents.map_err(|error| blame(error, pcm, "samples", Error::Audio))?;
        inner.quantizer.encode(&latents, self.codebooks)
    }

    /// Ends the clips of the sessions in `mask`, of all without one: gives the frame that was not whole, if any. A
    /// session takes no more samples until it is reset.
    ///
    /// # Errors
    /// [`Error::Stream`] for a mask of another length, or a session already flushed.
    pub fn flush(&mut self, mask: Option<&[bool]>) -> Result<Vec<Codes>> {
        let rows = masked_rows(mask, self.sessions.len())?;
        for &row in &rows {
            self.check_open(row)?;
        }
        let mut codes = self.no_codes();
        for row in rows {
            let pending = std::mem::take(&mut self.sessions[row].pending);
            self.sessions[row].ended = true;
            if !pending.is_empty() {
                codes[row].data = self.code_block(&pending, &[row], true)?;
                self.sessions[row].frames += 1;
            }
        }
        Ok(codes)
    }

    /// Makes the sessions in `mask`, all without one, as they were at the start.
    ///
    /// # Errors
    /// [`Error::Stream`] for a mask of another length.
    pub fn reset(&mut self, mask: Option<&[bool]>) -> Result<()> {
        for row in masked_rows(mask, self.sessions.len())? {
            self.state.reset(row)?;
            self.sessions[row] = Session::default();
        }
        Ok(())
    }

    /// A stream that goes on from here on its own.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the device has no room.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self {
            model: self.model.clone(),
            codebooks: self.codebooks,
            state: self.state.copy()?,
            sessions: self.sessions.clone(),
        })
    }

    /// All that the stream remembers, as safetensors.
    ///
    /// # Errors
    /// [`Error::Tensor`] if a tensor cannot be read from its device.
    pub fn save(&self) -> Result<Vec<u8>> {
        let sessions = &self.sessions;
        Saved {
            frames: self.frames(),
            ended: sessions.iter().map(|session| session.ended).collect(),
            pending: sessions.iter().map(|session| session.pending.clone()).collect(),
        }
        .write(&self.kind(), &self.state)
    }

    /// Goes on from what [`EncoderStream::save`] gave, for the same model, number of sessions and of codebooks.
    ///
    /// # Errors
    /// [`Error::Stream`] where the state is damaged or of another kind of stream; the stream is then as it was.
    pub fn load(&mut self, state: &[u8]) -> Result<()> {
        let frame_size = self.model.config().frame_size();
        let (saved, state) = Saved::read(state, &self.kind(), &self.state, frame_size)?;
        let parts = saved.pending.into_iter().zip(saved.frames).zip(saved.ended);
        self.sessions = parts.map(|((pending, frames), ended)| Session { pending, frames, ended }).collect();
        self.state = state;
        Ok(())
    }

    fn kind(&self) -> StreamKind<'_> {
        StreamKind { name: "encoder", model: &self.model, codebooks: Some(self.codebooks) }
    }

    fn no_codes(&self) -> Vec<Codes> {
        vec![Codes { codebooks: self.codebooks, data: Vec::new() }; self.sessions.len()]
    }

    fn check_open(&self, row: usize) -> Result<()> {
        if self.sessions[row].ended {
            return Err(Error::Stream(format!("cannot go on with session {row} after its flush: reset it first")));
        }
        Ok(())
    }
}
