//! What is there of a row's clip and not yet computed: what the row held back, then what it is given.

use crate::values::Input;

/// A row's input, taken frame by frame.
pub(super) struct Queue<'a> {
    pending: &'a [f32],
    input: Input<'a>,
    /// Samples in a frame.
    frame_size: usize,
    /// Frames taken so far.
    taken: usize,
}

impl<'a> Queue<'a> {
    pub(super) fn new(pending: &'a [f32], input: Input<'a>, frame_size: usize) -> Self {
        Self { pending, input, frame_size, taken: 0 }
    }

    /// Whole frames that are left.
    pub(super) fn frames(&self) -> usize {
        let all = match self.input {
            Input::Pcm(pcm) => (self.pending.len() + pcm.len()) / self.frame_size,
            Input::Codes(codes) => codes.frames(),
            Input::Latents(latents) => latents.frames(),
        };
        all - self.taken.min(all)
    }

    /// Codes in each frame; none of other inputs.
    pub(super) fn codebooks(&self) -> usize {
        if let Input::Codes(codes) = self.input { codes.codebooks } else { 0 }
    }

    /// Samples after the last whole frame.
    pub(super) fn rest(&self) -> usize {
        match self.input {
            Input::Pcm(pcm) if self.taken * self.frame_size <= self.pending.len() + pcm.len() => {
                (self.pending.len() + pcm.len()) % self.frame_size
            }
            _ => 0,
        }
    }

    /// Takes the next `frames`; the last may be the rest.
    pub(super) fn take(&mut self, frames: usize) -> Taken<'a> {
        let from = self.taken;
        self.taken += frames;
        match self.input {
            Input::Pcm(pcm) => {
                let all = self.pending.len() + pcm.len();
                let (from, to) = (from * self.frame_size, (self.taken * self.frame_size).min(all));
                let held = self.pending.len();
                let (first, second) = (from.min(held)..to.min(held), from.max(held) - held..to.max(held) - held);
                Taken::Floats(&self.pending[first], &pcm[second])
            }
            Input::Latents(latents) => {
                let dim = latents.dim;
                Taken::Floats(&[], &latents.data[from * dim..self.taken * dim])
            }
            Input::Codes(codes) => {
                let count = codes.codebooks;
                Taken::Codes(count, &codes.data[from * count..self.taken * count])
            }
        }
    }
}

/// A part of a queue.
pub(super) enum Taken<'a> {
    /// Samples or latents, in two pieces.
    Floats(&'a [f32], &'a [f32]),
    /// The codes of each frame, and the codes of all.
    Codes(usize, &'a [u32]),
}
