//! The driver: cuts what rows are given into blocks, and takes the blocks through the model.

use candle_core::Tensor;

use super::queue::{Queue, Taken};
use super::{Direction, Padding, Stream};
use crate::ops::{Block, Signal};
use crate::session::StopFn;
use crate::values::{Codes, Input, Latents, Output};
use crate::{Error, Result};

/// Rows that go through the model together, and how far.
struct Cut {
    rows: Vec<usize>,
    /// Frames of each; the last is not whole where the clips end.
    frames: usize,
    /// Whether it is filled up: by zeros, or at the edges of each layer.
    end: Option<Padding>,
}

impl Stream {
    /// Takes all whole frames through the model, and with `end` also what is left of the rows that have an input, whose
    /// clips end then.
    pub(super) fn advance(
        &mut self,
        inputs: &[Option<Input<'_>>],
        end: Option<Padding>,
        stop: StopFn<'_>,
    ) -> Result<Vec<Output>> {
        self.state.begin();
        let done = self.drive(inputs, end, stop);
        let outputs = self.state.settle(done)?;
        let frame_size = self.model.frame_size();
        for (row, input) in self.rows.iter_mut().zip(inputs) {
            match (input, end) {
                (None, _) => {}
                (Some(_), Some(_)) => {
                    row.pending.clear();
                    row.ended = true;
                }
                (Some(Input::Pcm(pcm)), None) => {
                    let kept = (row.pending.len() + pcm.len()) % frame_size;
                    if kept <= pcm.len() {
                        row.pending.clear();
                        row.pending.extend_from_slice(&pcm[pcm.len() - kept..]);
                    } else {
                        row.pending.extend_from_slice(pcm);
                    }
                }
                (Some(_), None) => {}
            }
        }
        Ok(outputs)
    }

    fn drive(
        &mut self,
        inputs: &[Option<Input<'_>>],
        end: Option<Padding>,
        stop: StopFn<'_>,
    ) -> Result<Vec<Output>> {
        let frame_size = self.model.frame_size();
        let nothing = self.direction.nothing();
        let kept: Vec<Vec<f32>> = self.rows.iter().map(|row| row.pending.clone()).collect();
        let mut queues: Vec<Queue<'_>> = Vec::with_capacity(inputs.len());
        for (pending, input) in kept.iter().zip(inputs) {
            // A row without an input keeps what it holds.
            let pending = if input.is_some() { pending.as_slice() } else { &[] };
            queues.push(Queue::new(pending, input.unwrap_or(nothing), frame_size));
        }
        let mut outputs = self.outputs(&queues, end.is_some());
        while let Some(cut) = self.cut(&queues, end) {
            if stop() {
                return Err(Error::Interrupted);
            }
            let x = self.input(&mut queues, &cut)?;
            let half = self.direction.half(&self.model)?;
            let block = Block::new(&self.state, &cut.rows, cut.end == Some(Padding::Transformers));
            let y = half.chain.forward(x, &block)?;
            self.output(&y, &cut, &mut outputs)?;
            self.state.advance(&cut.rows, cut.frames);
        }
        Ok(outputs)
    }

    /// The next block: rows side by side as long as they have frames, then the rests of those that end, those of one
    /// length together. A rest goes with the frames before it where it can.
    fn cut(&self, queues: &[Queue<'_>], end: Option<Padding>) -> Option<Cut> {
        let longest = self.model.backend().block_frames();
        let ready: Vec<usize> = (0..queues.len()).filter(|&row| queues[row].frames() > 0).collect();
        if let Some(frames) = ready.iter().map(|&row| queues[row].frames()).min() {
            let rest = queues[ready[0]].rest();
            let together = ready.iter().all(|&row| queues[row].frames() == frames && queues[row].rest() == rest);
            let with_rest = end.filter(|_| together && rest > 0 && frames < longest);
            let frames = if with_rest.is_some() { frames + 1 } else { frames.min(longest) };
            return Some(Cut { rows: ready, frames, end: with_rest });
        }
        let padding = end?;
        let rest = queues.iter().map(Queue::rest).find(|&rest| rest > 0)?;
        let rows = (0..queues.len()).filter(|&row| queues[row].rest() == rest).collect();
        Some(Cut { rows, frames: 1, end: Some(padding) })
    }

    /// The rows' next frames as one signal.
    fn input(&self, queues: &mut [Queue<'_>], cut: &Cut) -> Result<Signal> {
        let backend = self.model.backend();
        let mut floats: Vec<f32> = Vec::new();
        let mut signals: Vec<Signal> = Vec::new();
        for &row in &cut.rows {
            match queues[row].take(cut.frames) {
                Taken::Codes(count, codes) => signals.push(self.model.quantizer()?.decode(codes, count)?),
                Taken::Floats(first, second) => {
                    floats.extend_from_slice(first);
                    floats.extend_from_slice(second);
                    if cut.end == Some(Padding::Moshi) {
                        floats.resize(floats.len().next_multiple_of(self.model.frame_size()), 0.0);
                    }
                }
            }
        }
        let rows = cut.rows.len();
        match self.direction {
            Direction::FromCodes if signals.len() == 1 => Ok(signals.remove(0)),
            Direction::FromCodes => Ok(Tensor::cat(&signals, 0)?.into()),
            Direction::FromLatents => {
                let dim = floats.len() / (rows * cut.frames);
                Ok(backend.tensor(&floats, &[rows, cut.frames, dim])?.into())
            }
            Direction::ToCodes(_) | Direction::ToLatents => {
                Ok(backend.tensor(&floats, &[rows, floats.len() / rows, 1])?.into())
            }
        }
    }

    /// Adds what a block gave to the outputs of its rows.
    fn output(&self, y: &Tensor, cut: &Cut, outputs: &mut [Output]) -> Result<()> {
        let rows = cut.rows.len();
        if let Direction::ToCodes(codebooks) = self.direction {
            let codes = self.model.quantizer()?.encode(y, codebooks)?;
            for (&row, own) in cut.rows.iter().zip(codes.chunks_exact(codes.len() / rows)) {
                if let Output::Codes(codes) = &mut outputs[row] {
                    codes.data.extend_from_slice(own);
                }
            }
            return Ok(());
        }
        let floats = y.flatten_all()?.to_vec1::<f32>()?;
        for (&row, own) in cut.rows.iter().zip(floats.chunks_exact(floats.len() / rows)) {
            match &mut outputs[row] {
                Output::Pcm(data) | Output::Latents(Latents { data, .. }) => data.extend_from_slice(own),
                Output::Codes(_) => {}
            }
        }
        Ok(())
    }

    /// Room for all that the queues will give.
    fn outputs(&self, queues: &[Queue<'_>], end: bool) -> Vec<Output> {
        let output = |queue: &Queue<'_>| {
            let frames = queue.frames() + usize::from(end && queue.rest() > 0);
            match self.direction {
                Direction::ToCodes(codebooks) => {
                    Output::Codes(Codes { codebooks, data: Vec::with_capacity(frames * codebooks) })
                }
                Direction::ToLatents => {
                    let dim = self.model.encoder_latent_dim().unwrap_or(0);
                    Output::Latents(Latents { dim, data: Vec::with_capacity(frames * dim) })
                }
                Direction::FromCodes | Direction::FromLatents => {
                    Output::Pcm(Vec::with_capacity(frames * self.model.frame_size()))
                }
            }
        };
        queues.iter().map(output).collect()
    }
}
