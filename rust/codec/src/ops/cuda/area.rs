//! What the host brings to the device for a step, and what it takes back: one stretch of memory each way.
//!
//! ```text
//! sessions | input | tables of angles | faults | output
//! '----------- brought, in one copy ----------'
//!                                     '-- taken back --'
//! ```

use std::ops::Range;

use mimi_cuda::{Piece, Span};

use super::card::{Table, floats};
use super::memory::Sessions;
use crate::error::{Error, Result};
use crate::finite::too_large;
use crate::ops::{Block, Source, unmeasurable};

/// Bytes of a `Session` of the kernels.
const SESSION: usize = 24;

/// Words of the faults.
const FAULTS: usize = mimi_cuda::FAULTS;

/// Bytes to whose multiples the parts are aligned.
const ALIGNMENT: usize = 256;

/// Where the parts of a step's memory lie, in bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    rows: usize,
    sessions: Range<usize>,
    input: Range<usize>,
    tables: Vec<Range<usize>>,
    faults: Range<usize>,
    output: Range<usize>,
}

impl Layout {
    /// For `rows` rows, whose sessions are needed if they have a state, and whose inputs are of `input` bytes.
    pub(super) fn new(rows: usize, with_state: bool, input: usize, tables: &[Table], output: usize) -> Self {
        let mut end = 0_usize;
        let mut next = |bytes: usize| {
            let start = end.next_multiple_of(ALIGNMENT);
            end = start + bytes;
            start..end
        };
        let sessions = next(if with_state { rows * SESSION } else { 0 });
        let input = next(input);
        let tables = tables.iter().map(|table| next(floats(rows * table.steps * table.frequencies.width()))).collect();
        let faults = next(floats(FAULTS));
        let output = faults.end..faults.end + output;
        Self { rows, sessions, input, tables, faults, output }
    }

    pub(super) fn bytes(&self) -> usize {
        self.output.end
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// How many tables of angles there are.
    pub(super) fn tables(&self) -> usize {
        self.tables.len()
    }

    /// What is brought to the device.
    pub(super) fn brought(&self) -> Range<usize> {
        0..self.faults.end
    }

    /// What is taken back: the faults, and the first `bytes` of the output.
    pub(super) fn taken(&self, bytes: usize) -> Range<usize> {
        self.faults.start..self.output.start + bytes
    }

    /// Writes what is brought for a block. An input that is on the device already is not written.
    pub(super) fn write(
        &self,
        block: &Block<'_>,
        sessions: Option<&Sessions>,
        input: Option<&Source>,
        tables: &[Table],
        to: &mut [u8],
    ) {
        if let Some(memory) = sessions {
            let places = to[self.sessions.clone()].chunks_exact_mut(SESSION);
            for (i, place) in places.enumerate() {
                let (state, frames, parity) = match block.rows.get(i) {
                    Some(&session) => (memory.address(session), block.position(i, 1), memory.parity(session)),
                    None => (0, 0, 0),
                };
                place[..8].copy_from_slice(&state.to_ne_bytes());
                place[8..16].copy_from_slice(&frames.to_ne_bytes());
                place[16..20].copy_from_slice(&parity.to_ne_bytes());
                place[20..].fill(0);
            }
        }
        let given: &[u8] = match input {
            Some(Source::Floats(floats, _)) => bytemuck::cast_slice(floats),
            Some(Source::Codes(codes, _)) => bytemuck::cast_slice(codes),
            None => &[],
        };
        to[self.input.clone()][..given.len()].copy_from_slice(given);
        for (table, place) in tables.iter().zip(&self.tables) {
            let (angles, _) = table.frequencies.table(table.steps, block);
            let angles: &[u8] = bytemuck::cast_slice(&angles);
            to[place.clone()][..angles.len()].copy_from_slice(angles);
        }
        to[self.faults.clone()].fill(0);
    }
}

/// The memory of a step on the device.
pub(super) struct Area {
    piece: Piece,
    layout: Layout,
}

impl Area {
    pub(super) fn new(piece: Piece, layout: Layout) -> Self {
        Self { piece, layout }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn part(&self, range: Range<usize>) -> Result<Span<'_>> {
        Ok(self.piece.span().part(range)?)
    }

    pub(super) fn sessions(&self) -> Option<Span<'_>> {
        let range = self.layout.sessions.clone();
        if range.is_empty() { None } else { self.piece.span().part(range).ok() }
    }

    pub(super) fn faults(&self) -> Span<'_> {
        self.piece.span().part(self.layout.faults.clone()).unwrap_or(self.piece.span())
    }

    pub(super) fn table(&self, index: usize) -> Result<Span<'_>> {
        self.part(self.layout.tables.get(index).cloned().unwrap_or_default())
    }

    pub(super) fn input(&self) -> Result<Span<'_>> {
        self.part(self.layout.input.clone())
    }

    pub(super) fn output(&self) -> Result<Span<'_>> {
        self.part(self.layout.output.clone())
    }
}

/// What is taken back as faults, and the output behind them.
pub(super) fn without_faults(taken: &[u8]) -> Result<&[u8]> {
    let (faults, output) = taken.split_at(floats(FAULTS).min(taken.len()));
    let faults: Vec<u32> = faults.as_chunks().0.iter().map(|&word| u32::from_ne_bytes(word)).collect();
    // The first thing that goes wrong makes others go wrong behind it.
    match faults[..] {
        [_, _, _, code, _] if code != 0 => {
            Err(Error::Codes("expected codes that name entries of the codebooks, got others on the device".into()))
        }
        [convolution, ..] if convolution != 0 => Err(too_large("inputs of a convolution")),
        [_, attention, ..] if attention != 0 => Err(too_large("queries, keys or values")),
        [_, _, distance, ..] if distance != 0 => Err(unmeasurable(distance as usize - 1)),
        [.., output] if output != 0 => Err(too_large("samples or latents")),
        _ => Ok(output),
    }
}
