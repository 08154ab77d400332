//! From codes to latents.

use super::{Launch, Rows, arguments, elementwise, faults, floats, number, run, values};
use crate::{Error, Gpu, Result, Span};

/// For each vector the sum, in their order, of the entries that its codes name in as many tables; or their mean.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    /// Floats of an entry.
    pub dim: usize,
    /// Entries of a table.
    pub entries: usize,
    /// Tables.
    pub count: usize,
    /// `(count, entries, dim)`.
    pub table: Span<'a>,
    /// Whether the sum is divided by the count.
    pub mean: bool,
    /// Codes of each vector, of which `count` are read.
    pub columns: usize,
    /// The code that names an entry of the first table.
    pub first: usize,
    /// `(rows * steps, columns)`, u32.
    pub codes: Span<'a>,
    /// `(rows, steps, dim)`.
    pub out: Span<'a>,
    /// Words of [`Fault`](super::Fault).
    pub faults: Span<'a>,
}

arguments! {
    pub(in crate::launch) struct EntriesArguments {
        table: u64,
        codes: u64,
        out: u64,
        sessions: u64,
        faults: u64,
        vectors: u64,
        per_row: u32,
        columns: u32,
        first: u32,
        count: u32,
        entries: u32,
        dim: u32,
        mean: u32,
        padding: u32,
    }
}

/// Adds up entries. A code without an entry is a fault, and nothing is read for it.
///
/// # Errors
/// [`Error::Shape`] where lengths differ, and those of a launch.
pub fn entries(gpu: &Gpu, rows: &Rows<'_>, entries: &Entries<'_>) -> Result<()> {
    run(gpu, prepare(rows, entries)?)
}

pub(super) fn prepare(rows: &Rows<'_>, own: &Entries<'_>) -> Result<Option<Launch<EntriesArguments>>> {
    let Entries { dim, entries, count, columns, first, .. } = *own;
    if count == 0 || columns.checked_sub(count).is_none_or(|last| first > last) {
        return Err(Error::Shape(format!("expected codes {first} to {} of {columns}", first.saturating_add(count))));
    }
    let vectors = rows.rows.saturating_mul(rows.steps);
    let arguments = EntriesArguments {
        table: floats(own.table, &[count, entries, dim], "tables of entries")?,
        codes: values(own.codes, &rows.shape(columns), size_of::<u32>(), "codes")?,
        out: floats(own.out, &rows.shape(dim), "the output of entries")?,
        sessions: rows.sessions()?,
        faults: faults(own.faults)?,
        vectors: vectors as u64,
        per_row: number("steps", rows.steps)?,
        columns: number("columns", columns)?,
        first: number("columns", first)?,
        count: number("tables", count)?,
        entries: number("entries", entries)?,
        dim: number("floats of an entry", dim)?,
        mean: own.mean.into(),
        padding: 0,
    };
    elementwise("entries", 1, vectors.saturating_mul(dim), arguments)
}
