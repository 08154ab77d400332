//! Tensors of a caller in the memory of the device: how a step reads its input from them, and writes what it gives to them.

use std::ops::Range;

use mimi_cuda::{Elements, Gpu, Span, Strided, Tensor, bring_codes, bring_floats, take_codes, take_floats};

use super::card::floats;
use crate::error::Result;

/// A part of a batch: some of its rows, from a step on.
///
/// A tensor is `(rows, steps)` of samples, or `(rows, channels, steps)` of codes or latents.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) tensor: &'a Tensor,
    /// The tensor's row of each row of the step.
    pub(crate) rows: &'a [usize],
    /// The first step, and how many there are.
    pub(crate) from: usize,
    pub(crate) steps: usize,
}

impl Part<'_> {
    /// Codes, or values, of a step.
    pub(super) fn channels(&self) -> usize {
        if let [_, channels, _] = *self.tensor.shape() { channels } else { 1 }
    }

    pub(super) fn has_codes(&self) -> bool {
        self.tensor.elements() == Elements::Int64
    }

    /// Brings it to `own` `(rows, steps, channels)`, whose codes are less than `entries`.
    pub(super) fn bring(&self, gpu: &Gpu, own: Span<'_>, entries: usize, faults: Span<'_>) -> Result<()> {
        self.for_runs(own, faults, |strided| {
            if self.has_codes() { bring_codes(gpu, strided, entries) } else { bring_floats(gpu, strided) }
        })
    }

    /// Takes it from `own`.
    pub(super) fn take(&self, gpu: &Gpu, own: Span<'_>, faults: Span<'_>) -> Result<()> {
        self.for_runs(
            own,
            faults,
            |strided| {
                if self.has_codes() { take_codes(gpu, strided) } else { take_floats(gpu, strided) }
            },
        )
    }

    /// Rows that follow one another in the tensor go together.
    fn for_runs(
        &self,
        own: Span<'_>,
        faults: Span<'_>,
        launch: impl Fn(&Strided<'_>) -> mimi_cuda::Result<()>,
    ) -> Result<()> {
        let channels = self.channels();
        let row_bytes = floats(self.steps * channels);
        let strides = match *self.tensor.strides() {
            [row, channel, step] => [row, step, channel],
            [row, step] => [row, step, 0],
            _ => [0; 3],
        };
        for run in runs(self.rows) {
            let first = self.rows[run.start] * strides[0] + self.from * strides[1];
            let (bytes, memory) = (self.tensor.elements().bytes(), self.tensor.span()?);
            let strided = Strided {
                tensor: memory.part(first * bytes..memory.bytes())?,
                strides,
                own: own.part(run.start * row_bytes..run.end * row_bytes)?,
                shape: [run.len(), self.steps, channels],
                faults,
            };
            launch(&strided)?;
        }
        Ok(())
    }
}

/// The stretches of numbers that follow one another.
fn runs(rows: &[usize]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from;
        (start < rows.len()).then(|| {
            from += 1;
            while from < rows.len() && rows[from] == rows[from - 1] + 1 {
                from += 1;
            }
            start..from
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_follow_one_another() {
        let found = |rows: &[usize]| runs(rows).collect::<Vec<_>>();
        assert!(found(&[]).is_empty());
        assert_eq!(found(&[5, 0, 1, 2]), [0..1, 1..4]);
        assert_eq!(found(&[1, 3, 4, 2]), [0..1, 1..3, 3..4]);
    }
}
