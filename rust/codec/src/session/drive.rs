//! The driver: cuts what rows are given into blocks, and takes the blocks through the model.

use super::queue::{Queue, Taken};
use super::{Padding, Row, Stream, room};
use crate::error::{Error, Result};
use crate::finite::check_finite;
use crate::memory;
use crate::ops::{Block, Given, Route, Source, Step};
use crate::session::StopFn;
use crate::values::Direction;
use crate::values::{Codes, Input, Latents, Output, blame};

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
        // The rows are read while the state changes.
        let rows = std::mem::take(&mut self.rows);
        let done = self.drive(&rows, inputs, end, stop);
        self.rows = rows;
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
                    }
                    row.pending.extend_from_slice(&pcm[pcm.len() - kept.min(pcm.len())..]);
                }
                (Some(_), None) => {}
            }
        }
        Ok(outputs)
    }

    fn drive(
        &mut self,
        rows: &[Row],
        inputs: &[Option<Input<'_>>],
        end: Option<Padding>,
        stop: StopFn<'_>,
    ) -> Result<Vec<Output>> {
        let frame_size = self.model.frame_size();
        let nothing = self.direction.nothing();
        let mut queues: Vec<Queue<'_>> = Vec::with_capacity(rows.len());
        for (row, input) in rows.iter().zip(inputs) {
            queues.push(match input {
                Some(input) => Queue::new(&row.pending, *input, frame_size),
                None => Queue::new(&[], nothing, frame_size),
            });
        }
        // A codec that leaves the rest out still codes what is filled up to a frame.
        let end = end.filter(|padding| *padding == Padding::Moshi || !self.model.leaves_rest_out());
        let mut outputs = self.outputs(&queues, end.is_some())?;
        while let Some(cut) = self.cut(&queues, end) {
            if stop() {
                return Err(Error::Interrupted);
            }
            let parts: Vec<Taken<'_>> = cut.rows.iter().map(|&row| queues[row].take(cut.frames)).collect();
            self.block(&parts, &cut, &mut outputs).map_err(|error| self.blame(error, &parts))?;
            self.state.advance(&cut.rows, cut.frames);
        }
        Ok(outputs)
    }

    /// The next block: rows side by side as long as they have frames, of as many codes each, then the rests of those that end, those of one
    /// length together. A rest goes with the frames before it where it can.
    fn cut(&self, queues: &[Queue<'_>], end: Option<Padding>) -> Option<Cut> {
        let longest = self.model.backend().block_frames();
        let ready: Vec<usize> = (0..queues.len()).filter(|&row| queues[row].frames() > 0).collect();
        let first = ready.first().map(|&row| queues[row].codebooks());
        let ready: Vec<usize> = ready.into_iter().filter(|&row| Some(queues[row].codebooks()) == first).collect();
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

    /// Takes a block through the model.
    fn block(&self, parts: &[Taken<'_>], cut: &Cut, outputs: &mut [Output]) -> Result<()> {
        let (model, half) = (&self.model, self.half()?);
        room::check(model.backend(), cut.rows.len(), cut.frames, half.chain.widest(), model.frame_size())?;
        let (input, route) = self.input(parts, cut)?;
        let block = Block::new(&self.state, &cut.rows, cut.end == Some(Padding::Transformers));
        let step = Step { block: &block, input, frames: cut.frames, route };
        let given = model.run(step, &|flow| model.through(half, flow, route, &block, cut.frames))?;
        self.output(given, cut, outputs)
    }

    /// Values that overflow are the fault of the weights, or of input that is far too large.
    fn blame(&self, error: Error, parts: &[Taken<'_>]) -> Error {
        let (what, kind): (_, fn(String) -> Error) = match self.direction {
            Direction::ToCodes(_) | Direction::ToLatents => ("samples", Error::Audio),
            Direction::FromCodes | Direction::FromLatents => ("latents", Error::Latents),
        };
        parts.iter().fold(error, |error, part| match part {
            Taken::Floats(first, second) => blame(blame(error, first, what, kind), second, what, kind),
            Taken::Codes(..) => error,
        })
    }

    /// The rows' frames as what the backend takes, and the way that they go.
    fn input(&self, parts: &[Taken<'_>], cut: &Cut) -> Result<(Source, Route)> {
        let (mut floats, mut codes) = (Vec::new(), Vec::new());
        let mut count = 0;
        for part in parts {
            match *part {
                Taken::Codes(own, part) => {
                    count = own;
                    codes.extend_from_slice(part);
                }
                Taken::Floats(first, second) => {
                    floats.extend_from_slice(first);
                    floats.extend_from_slice(second);
                    if cut.end == Some(Padding::Moshi) {
                        floats.resize(floats.len().next_multiple_of(self.model.frame_size()), 0.0);
                    }
                }
            }
        }
        let (rows, len) = (cut.rows.len(), floats.len());
        Ok(match self.direction {
            Direction::ToCodes(codebooks) => (Source::Floats(floats, [rows, len / rows, 1]), Route::ToCodes(codebooks)),
            Direction::ToLatents => (Source::Floats(floats, [rows, len / rows, 1]), Route::ToLatents),
            Direction::FromCodes => (Source::Codes(codes, count), Route::FromCodes(count)),
            Direction::FromLatents => {
                (Source::Floats(floats, [rows, cut.frames, len / (rows * cut.frames)]), Route::FromLatents)
            }
        })
    }

    /// Adds what a block gave to the outputs of its rows.
    fn output(&self, given: Given, cut: &Cut, outputs: &mut [Output]) -> Result<()> {
        let rows = cut.rows.len();
        match given {
            Given::Codes(codes) => {
                for (&row, own) in cut.rows.iter().zip(codes.chunks_exact(codes.len() / rows)) {
                    if let Output::Codes(codes) = &mut outputs[row] {
                        codes.data.extend_from_slice(own);
                    }
                }
            }
            Given::Floats(floats) => {
                check_finite(&floats, if self.direction == Direction::ToLatents { "latents" } else { "samples" })?;
                for (&row, own) in cut.rows.iter().zip(floats.chunks_exact(floats.len() / rows)) {
                    match &mut outputs[row] {
                        Output::Pcm(data) => data.extend_from_slice(&own[self.lead(row).min(own.len())..]),
                        Output::Latents(Latents { data, .. }) => data.extend_from_slice(own),
                        Output::Codes(_) => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Samples of the next block that lie before the clip of a row.
    fn lead(&self, row: usize) -> usize {
        let past = self.state.frames()[row].saturating_mul(self.model.frame_size() as u64);
        (self.model.delay() as u64).saturating_sub(past) as usize
    }

    /// Room for all that the queues will give.
    fn outputs(&self, queues: &[Queue<'_>], end: bool) -> Result<Vec<Output>> {
        let output = |queue: &Queue<'_>| {
            let frames = queue.frames() + usize::from(end && queue.rest() > 0);
            Ok(match self.direction {
                Direction::ToCodes(codebooks) => {
                    Output::Codes(Codes { codebooks, data: memory::with_room(frames * codebooks)? })
                }
                Direction::ToLatents => {
                    let dim = self.model.encoder_latent_dim().unwrap_or(0);
                    Output::Latents(Latents { dim, data: memory::with_room(frames.saturating_mul(dim))? })
                }
                Direction::FromCodes | Direction::FromLatents => {
                    Output::Pcm(memory::with_room(frames.saturating_mul(self.model.frame_size()))?)
                }
            })
        };
        queues.iter().map(output).collect()
    }
}
