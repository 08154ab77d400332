//! Asking for memory before it is read.

use crate::simd::Simd;

/// Memory to ask for, little by little, while something else is computed: two runs of bytes.
///
/// Only addresses: nothing is read through them.
#[derive(Default)]
pub(super) struct Ahead {
    now: usize,
    end: usize,
    then: (usize, usize),
}

impl Ahead {
    pub(super) fn of(first: &[f32], second: &[f32]) -> Self {
        let run = |part: &[f32]| (part.as_ptr().addr(), part.as_ptr().addr() + size_of_val(part));
        let (now, end) = run(first);
        Self { now, end, then: run(second) }
    }

    /// As many floats as `len`, from where others end; nobody need have them.
    pub(super) fn after(before: &[f32], len: usize) -> Self {
        let now = before.as_ptr().addr() + size_of_val(before);
        Self { now, end: now.saturating_add(4 * len), then: (0, 0) }
    }

    /// Asks for the next `lines` cache lines.
    #[inline(always)]
    pub(super) fn ask<S: Simd>(&mut self, s: S, lines: usize) {
        if self.now >= self.end {
            (self.now, self.end) = std::mem::take(&mut self.then);
            if self.now >= self.end {
                return;
            }
        }
        for line in 0..lines {
            s.prefetch(std::ptr::without_provenance(self.now + line * CACHE_LINE));
        }
        self.now += lines * CACHE_LINE;
    }
}

const CACHE_LINE: usize = 64;
