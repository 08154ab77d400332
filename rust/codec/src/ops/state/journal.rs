//! What a call has changed of a state, so that it can be taken back.

use std::ops::Range;

use candle_core::Tensor;
use mimi_kernels::Strips;

use crate::error::Result;
use crate::ops::cpu::host::{change, with_floats};

/// Old values, in the order in which they were written over.
///
/// A frame of a stream changes a part of a state that is copied in microseconds, while all of it would take as long as
/// a good part of the frame's work. What a long call changes again and again is kept once.
pub(super) struct Journal {
    /// How many sessions there are; nothing is kept before the beginning.
    sessions: Option<usize>,
    entries: Vec<Entry>,
    /// The old values of strips. The memory is kept for the next call.
    floats: Vec<f32>,
    /// For each slot and session: floats that are kept.
    kept: Vec<usize>,
}

struct Entry {
    slot: usize,
    row: usize,
    old: Old,
}

enum Old {
    /// All that a slot holds of a session, `(1, ...)`, on another device than the CPU.
    All(Tensor),
    /// Floats of it; their values begin at `from` in the journal's.
    Strips { strips: Strips, from: usize },
}

/// Floats whose memory is kept between calls, for each session: several frames of the released model.
const SPARE: usize = 1 << 16;

impl Journal {
    pub(super) const fn new() -> Self {
        Self { sessions: None, entries: Vec::new(), floats: Vec::new(), kept: Vec::new() }
    }

    pub(super) fn begin(&mut self, sessions: usize, slots: usize) {
        self.clear();
        self.sessions = Some(sessions);
        self.kept.resize(slots * sessions, 0);
    }

    /// Forgets all: what was done stays.
    pub(super) fn clear(&mut self) {
        let sessions = self.sessions.take().unwrap_or(0);
        self.entries.clear();
        self.kept.clear();
        self.floats.clear();
        self.floats.shrink_to(SPARE * sessions.max(1));
    }

    /// Puts everything back, the newest first.
    pub(super) fn undo(&mut self, slots: &[Tensor]) -> Result<()> {
        for Entry { slot, row, old } in self.entries.drain(..).rev() {
            match old {
                Old::All(old) => slots[slot].slice_set(&old, 0, row)?,
                Old::Strips { strips, from } => {
                    let mut old = &self.floats[from..];
                    change(&slots[slot], |floats| {
                        let floats = &mut floats[session(&slots[slot], row)];
                        for run in strips.runs() {
                            let (values, rest) = old.split_at(run.len());
                            floats[run].copy_from_slice(values);
                            old = rest;
                        }
                    })?;
                }
            }
        }
        self.clear();
        Ok(())
    }

    /// Keeps all that a slot holds of a session.
    pub(super) fn keep_all(&mut self, slots: &[Tensor], slot: usize, row: usize) -> Result<()> {
        if self.is_kept(slots, slot, row) {
            return Ok(());
        }
        if slots[slot].device().is_cpu() {
            let all = Strips { start: 0, len: session(&slots[slot], row).len(), stride: 0, count: 1 };
            return self.keep_strips(slots, slot, row, std::iter::once(all));
        }
        let old = slots[slot].narrow(0, row, 1)?.copy()?;
        self.count(slots, slot, row, old.elem_count());
        self.entries.push(Entry { slot, row, old: Old::All(old) });
        Ok(())
    }

    /// Keeps a part of what a slot holds of a session. Calls must come round to all of it before they repeat themselves.
    pub(super) fn keep_strips(
        &mut self,
        slots: &[Tensor],
        slot: usize,
        row: usize,
        strips: impl Iterator<Item = Strips>,
    ) -> Result<()> {
        if self.is_kept(slots, slot, row) {
            return Ok(());
        }
        let before = self.floats.len();
        with_floats(&slots[slot], |floats| {
            let floats = &floats[session(&slots[slot], row)];
            for strips in strips {
                let from = self.floats.len();
                strips.runs().for_each(|run| self.floats.extend_from_slice(&floats[run]));
                self.entries.push(Entry { slot, row, old: Old::Strips { strips, from } });
            }
            Ok(())
        })?;
        self.count(slots, slot, row, self.floats.len() - before);
        Ok(())
    }

    /// Whether there is nothing to keep of what a slot holds of a session, or nothing more.
    fn is_kept(&self, slots: &[Tensor], slot: usize, row: usize) -> bool {
        self.sessions.is_none_or(|sessions| self.kept[slot * sessions + row] >= session(&slots[slot], row).len())
    }

    fn count(&mut self, slots: &[Tensor], slot: usize, row: usize, floats: usize) {
        let sessions = slots[slot].dims()[0];
        self.kept[slot * sessions + row] += floats;
    }
}

/// A session's floats of a slot.
fn session(slot: &Tensor, row: usize) -> Range<usize> {
    let size = slot.elem_count() / slot.dims()[0];
    row * size..(row + 1) * size
}
