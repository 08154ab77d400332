//! Clips and streams whose samples, codes or latents lie in the memory of the device: nothing of them passes the host.
//!
//! A tensor has a row for each row of the stream. Samples are `(rows, samples)`, float32; codes `(rows, codebooks, frames)`,
//! int64; latents `(rows, channels, frames)`, float32. Rows are whole frames, but for the end of a clip.

use mimi_cuda::{Elements, Tensor};

use super::{StopFn, Stream};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::ops::cuda::{Cuda, Part};
use crate::ops::{Block, Route};
use crate::values::Direction;

/// Rows times frames that go through the model together at most.
const VECTORS: usize = 512;

impl Model {
    /// Whether it takes tensors in the memory of its device: on a GPU, for a codec without a delay.
    pub fn takes_tensors(&self) -> bool {
        self.backend().cuda().is_some() && self.delay() == 0
    }

    /// Whole clips of one length in the memory of the device, side by side, whose ends are filled up as Transformers does it.
    ///
    /// # Errors
    /// Those of [`Model::clip`](Self::encode), and [`Error::Device`] for a tensor on another device.
    pub fn clips_on_device(&self, direction: Direction, input: &Tensor, stop: StopFn<'_>) -> Result<Tensor> {
        let rows = input.shape().first().copied().unwrap_or(0);
        let mut stream = Stream::new(self, direction, rows)?;
        let all: Vec<usize> = (0..rows).collect();
        stream.advance_on_device(input, &all, true, stop)
    }
}

impl Stream {
    /// Takes whole frames of the rows in `active`, of all without it, from a tensor of the device, and gives what they become.
    /// Rows that rest are -1 in codes and zeros in samples and latents.
    ///
    /// # Errors
    /// As [`Stream::push`]; [`Error::Stream`] where a row is not whole frames, or has samples pending; [`Error::Device`] for a
    /// tensor on another device.
    pub fn push_on_device(&mut self, input: &Tensor, active: Option<&[bool]>, stop: StopFn<'_>) -> Result<Tensor> {
        let rows = self.masked(active)?;
        for &row in &rows {
            self.check_open(row)?;
            if !self.rows[row].pending.is_empty() {
                let pending = self.rows[row].pending.len();
                return Err(Error::Stream(format!("expected no samples pending, got {pending} in session {row}")));
            }
        }
        self.advance_on_device(input, &rows, false, stop)
    }

    fn advance_on_device(&mut self, input: &Tensor, rows: &[usize], end: bool, stop: StopFn<'_>) -> Result<Tensor> {
        let model = self.model.clone();
        let cuda = model.backend().cuda().filter(|_| model.takes_tensors()).ok_or_else(|| {
            Error::Device(format!(
                "expected a codec on a CUDA device and without a delay, got one on {}",
                model.options().device
            ))
        })?;
        cuda.check_own(input)?;
        let (steps, route) = self.length(input)?;
        let per_frame = if self.direction.is_encoder() { model.frame_size() } else { 1 };
        let (frames, rest) = (steps / per_frame, steps % per_frame);
        if rest > 0 && !end {
            return Err(Error::Stream(format!("expected whole frames of {per_frame} samples, got {steps} samples")));
        }
        let given = frames + usize::from(rest > 0 && !model.leaves_rest_out());
        let output = self.room(cuda, given)?;
        self.state.begin();
        let done =
            self.drive_on_device(cuda, &Whole { input, output: &output, rows, route, per_frame, steps, given }, stop);
        if done.is_err() {
            // The caller's memory may be gone as soon as this returns.
            let _ = input.gpu().wait();
        }
        self.state.settle(done)?;
        Ok(output)
    }

    /// Steps of a row, and the way that they go.
    fn length(&self, input: &Tensor) -> Result<(usize, Route)> {
        let rows = self.rows.len();
        let wrong = |expected: String| {
            let (elements, shape) = (input.elements(), input.shape());
            Error::Stream(format!("expected {expected}, got {elements:?} of shape {shape:?}"))
        };
        let (elements, shape) = (input.elements(), input.shape());
        match (self.direction, elements, shape) {
            (Direction::ToCodes(codebooks), Elements::Float32, &[batch, samples]) if batch == rows => {
                Ok((samples, Route::ToCodes(codebooks)))
            }
            (Direction::ToLatents, Elements::Float32, &[batch, samples]) if batch == rows => {
                Ok((samples, Route::ToLatents))
            }
            (Direction::FromCodes, Elements::Int64, &[batch, codebooks, frames]) if batch == rows => {
                self.model.check_count(codebooks)?;
                Ok((frames, Route::FromCodes(codebooks)))
            }
            (Direction::FromLatents, Elements::Float32, &[batch, channels, frames])
                if batch == rows && Some(channels) == self.model.decoder_latent_dim() =>
            {
                Ok((frames, Route::FromLatents))
            }
            (Direction::ToCodes(_) | Direction::ToLatents, ..) => Err(wrong(format!("samples ({rows}, samples)"))),
            (Direction::FromCodes, ..) => Err(wrong(format!("codes ({rows}, codebooks, frames)"))),
            (Direction::FromLatents, ..) => {
                let channels = self.model.decoder_latent_dim().unwrap_or(0);
                Err(wrong(format!("latents ({rows}, {channels}, frames)")))
            }
        }
    }

    /// A tensor for what so many frames become.
    fn room(&self, cuda: &Cuda, frames: usize) -> Result<Tensor> {
        let rows = self.rows.len();
        match self.direction {
            Direction::ToCodes(codebooks) => {
                cuda.tensor(Elements::Int64, &[rows, codebooks, frames], &[0, 2, 1], u32::MAX)
            }
            Direction::ToLatents => {
                let channels = self.model.encoder_latent_dim().unwrap_or(0);
                cuda.tensor(Elements::Float32, &[rows, channels, frames], &[0, 2, 1], 0)
            }
            Direction::FromCodes | Direction::FromLatents => {
                cuda.tensor(Elements::Float32, &[rows, frames * self.model.frame_size()], &[0, 1], 0)
            }
        }
    }

    fn drive_on_device(&mut self, cuda: &Cuda, whole: &Whole<'_>, stop: StopFn<'_>) -> Result<()> {
        let Whole { rows, given, .. } = *whole;
        let block_frames = (VECTORS / rows.len().max(1)).clamp(1, VECTORS);
        let mut done = 0;
        while done < given && !rows.is_empty() {
            if stop() {
                return Err(Error::Interrupted);
            }
            let frames = block_frames.min(given - done);
            self.block_on_device(cuda, whole, done, frames)?;
            self.state.advance(rows, frames);
            done += frames;
        }
        Ok(())
    }

    /// Takes frames from one on through the model.
    fn block_on_device(&self, cuda: &Cuda, whole: &Whole<'_>, from: usize, frames: usize) -> Result<()> {
        let Whole { input, output, rows, route, per_frame, steps, given } = *whole;
        let (model, half) = (&self.model, self.half()?);
        let last = from + frames == given;
        let end = last && steps < given * per_frame;
        let input = Part {
            tensor: input,
            rows,
            from: from * per_frame,
            steps: (frames * per_frame).min(steps - from * per_frame),
        };
        let out_per_frame = if self.direction.is_encoder() { 1 } else { model.frame_size() };
        let output = Part { tensor: output, rows, from: from * out_per_frame, steps: frames * out_per_frame };
        let block = Block::new(&self.state, rows, end);
        cuda.run_on_device(&block, frames, route, input, model.codebook_size(), output, &|flow| {
            model.through(half, flow, route, &block, frames)
        })
    }
}

/// What goes through the model in one call.
struct Whole<'a> {
    input: &'a Tensor,
    output: &'a Tensor,
    rows: &'a [usize],
    route: Route,
    /// Steps of the input in a frame.
    per_frame: usize,
    steps: usize,
    /// Frames, with the one that is filled up.
    given: usize,
}
