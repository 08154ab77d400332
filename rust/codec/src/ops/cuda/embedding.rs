//! Tables of entries that codes name, in sums and means.

use std::sync::Arc;

use mimi_cuda::{Buffer, Entries, Rows, Span};

use super::card::{Card, floats};
use super::values::CodeValues;
use crate::error::Result;
use crate::ops::{Embedding, Indices, Signal};

/// As many tables as codes are read of each vector.
pub(super) struct Tables<'a> {
    pub(super) dim: usize,
    /// Entries of a table.
    pub(super) entries: usize,
    /// `(count, entries, dim)`.
    pub(super) table: Span<'a>,
    pub(super) count: usize,
    /// The code that belongs to the first table.
    pub(super) first: usize,
    /// Whether it is the mean, and not the sum.
    pub(super) mean: bool,
}

impl Tables<'_> {
    /// The sum of the entries that codes name, or their mean, `(rows, steps, dim)`.
    pub(super) fn of(&self, indices: &Indices, card: &Card) -> Result<Signal> {
        let &Self { dim, entries, table, count, first, mean } = self;
        let (current, codes) = (card.current()?, CodeValues::span(indices)?);
        let rows = current.rows();
        let steps = indices.vectors / rows;
        card.signal([rows, steps, dim], |out| {
            let (columns, faults) = (indices.count, current.faults());
            let launch = Entries { dim, entries, count, table, mean, columns, first, codes, out, faults };
            let rows = Rows { sessions: current.sessions(), rows, steps };
            Ok(mimi_cuda::entries(card.gpu(), &rows, &launch)?)
        })
    }
}

/// A table with a part for each codebook, of which means are taken.
pub(super) struct Table {
    dim: usize,
    entries: usize,
    table: Buffer,
    card: Arc<Card>,
}

impl Table {
    pub(super) fn new(card: &Arc<Card>, dim: usize, entries: usize, table: &[f32]) -> Result<Self> {
        Ok(Self { dim, entries, table: card.kept(table)?, card: Arc::clone(card) })
    }
}

impl Embedding for Table {
    fn mean(&self, codes: &Indices) -> Result<Signal> {
        let (dim, entries, count) = (self.dim, self.entries, codes.count);
        let table = self.table.span().part(0..floats(count * entries * dim))?;
        Tables { dim, entries, table, count, first: 0, mean: true }.of(codes, &self.card)
    }

    fn bytes(&self) -> usize {
        self.table.span().bytes()
    }
}
