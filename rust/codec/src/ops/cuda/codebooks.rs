//! Codebooks on the device, searched one after the other without the host.

use std::sync::Arc;

use mimi_cuda::{Buffer, Codes, Rows, Search, add, codes, is_measurable, search, squared_lengths};
use mimi_kernels::{Precision, as_kept};

use super::card::{Card, floats};
use super::embedding::Tables;
use super::values::{CodeValues, Ready};
use crate::error::Result;
use crate::ops::state::Block;
use crate::ops::{self, Columns, EachBook, Indices, Signal, fault_point, precisions};

pub(super) struct Books {
    dim: usize,
    /// Entries of each.
    entries: usize,
    /// What is searched, `(count, entries, dim)`.
    table: Buffer,
    /// What is added up, where that is something else.
    summed: Option<Buffer>,
    /// Of what is searched, `(count, entries)`.
    squared_lengths: Buffer,
    /// Of each codebook, whether distances to all of its entries stay finite.
    measurable: Vec<bool>,
    card: Arc<Card>,
}

impl Books {
    pub(super) fn new(card: &Arc<Card>, dim: usize, usual: Precision, books: EachBook<'_, '_>) -> Result<Self> {
        let [search, sum] = precisions::of_entries(usual);
        let (mut table, mut lengths, mut measurable) = (Vec::new(), Vec::new(), Vec::new());
        let mut summed = Vec::new();
        for book in books {
            let (book, _) = book?.tensors()?;
            if sum != search {
                summed.extend_from_slice(&as_kept(sum, &book, dim));
            }
            let book = as_kept(search, &book, dim);
            let squares = squared_lengths(&book, dim);
            measurable.push(is_measurable(&squares));
            table.extend_from_slice(&book);
            lengths.extend(squares);
        }
        let entries = lengths.len() / measurable.len().max(1);
        let (table, squared_lengths) = (card.kept(&table)?, card.kept(&lengths)?);
        let summed = (sum != search).then(|| card.kept(&summed)).transpose()?;
        Ok(Self { dim, entries, table, summed, squared_lengths, measurable, card: Arc::clone(card) })
    }
}

impl ops::Codebooks for Books {
    fn search(&self, x: &Signal, columns: Columns, others: Option<Indices>, _: &Block<'_>) -> Result<Indices> {
        fault_point()?;
        let ([rows, steps, dim], gpu, current) = (x.dims(), self.card.gpu(), self.card.current()?);
        let (vectors, Columns { first, own: count, count: all }) = (rows * steps, columns);
        let x = Ready::of(x, &self.card)?;
        let keys = gpu.piece(vectors * count * size_of::<u64>())?;
        gpu.fill(keys.span(), u32::MAX)?;
        let key = |k: usize| keys.span().part(k * vectors * size_of::<u64>()..(k + 1) * vectors * size_of::<u64>());
        // What is left of the vectors goes to and fro between two pieces.
        let left = [gpu.piece(floats(vectors * dim))?, gpu.piece(floats(vectors * dim))?];
        let rows = Rows { sessions: current.sessions(), rows, steps };
        let book =
            |k: usize| self.table.span().part(floats(k * self.entries * dim)..floats((k + 1) * self.entries * dim));
        for k in 0..count {
            let before = if k > 0 { Some((book(k - 1)?, key(k - 1)?)) } else { None };
            let launch = Search {
                dim,
                entries: self.entries,
                index: k,
                codebook: book(k)?,
                squared_lengths: self
                    .squared_lengths
                    .span()
                    .part(floats(k * self.entries)..floats((k + 1) * self.entries))?,
                measurable: self.measurable[k],
                before,
                // The first vectors are those that were given; the second search takes off what the first has found.
                x: if k < 2 { x.span()? } else { left[k % 2].span() },
                left: (k > 0 && k + 1 < count).then(|| left[(k + 1) % 2].span()),
                keys: key(k)?,
                faults: current.faults(),
            };
            search(gpu, &rows, &launch)?;
        }
        let found = match others {
            Some(others) => others,
            None => CodeValues::room(vectors, all, &self.card)?,
        };
        codes(
            gpu,
            vectors,
            &Codes { count, keys: keys.span(), columns: all, first, codes: CodeValues::span(&found)? },
        )?;
        Ok(found)
    }

    fn sum(&self, indices: &Indices, columns: Columns, residual: Option<&Signal>) -> Result<Signal> {
        let Columns { first, own: count, .. } = columns;
        let table = self.summed.as_ref().unwrap_or(&self.table);
        let table = table.span().part(0..floats(count * self.entries * self.dim))?;
        let tables = Tables { dim: self.dim, entries: self.entries, table, count, first, mean: false };
        let sum = tables.of(indices, &self.card)?;
        let Some(residual) = residual else { return Ok(sum) };
        let ([rows, steps, dim], current) = (sum.dims(), self.card.current()?);
        let (sum, residual) = (Ready::of(&sum, &self.card)?, Ready::of(residual, &self.card)?);
        self.card.signal([rows, steps, dim], |out| {
            let rows = Rows { sessions: current.sessions(), rows, steps };
            Ok(add(self.card.gpu(), &rows, dim, sum.span()?, residual.span()?, out)?)
        })
    }

    fn len(&self) -> usize {
        self.measurable.len()
    }

    fn bytes(&self) -> usize {
        let summed = self.summed.as_ref().map_or(0, |table| table.span().bytes());
        self.table.span().bytes() + summed + self.squared_lengths.span().bytes()
    }
}
