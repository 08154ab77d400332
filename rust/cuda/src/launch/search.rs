//! The nearest entries of codebooks.

use super::{Launch, Rows, arguments, elementwise, faults, floats, grid_rows, number, run, values};
use crate::{Error, Gpu, Result, Span};

/// Finds for each vector the nearest entry of one codebook, once the entry found in the codebook before is taken off it.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// Floats of a vector and of an entry.
    pub dim: usize,
    /// Entries of the codebook.
    pub entries: usize,
    /// The codebook's place, for what is said of a fault.
    pub index: usize,
    /// `(entries, dim)`.
    pub codebook: Span<'a>,
    /// `(entries)`: see [`squared_lengths`].
    pub squared_lengths: Span<'a>,
    /// Whether distances to the entries stay finite: see [`is_measurable`].
    pub measurable: bool,
    /// The codebook that was searched before, `(entries, dim)`, and the keys found in it; none for the first.
    pub before: Option<(Span<'a>, Span<'a>)>,
    /// `(rows, steps, dim)`: what the codebook before was searched for, or what the first is searched for.
    pub x: Span<'a>,
    /// As `x`, and not it: what this codebook is searched for, if another one follows.
    pub left: Option<Span<'a>>,
    /// `(rows * steps)` u64, all bits set before: the distance's bits above the entry.
    pub keys: Span<'a>,
    /// Words of [`Fault`](super::Fault).
    pub faults: Span<'a>,
}

arguments! {
    pub(in crate::launch) struct SearchArguments {
        x: u64,
        before: u64,
        keys_before: u64,
        codebook: u64,
        norms: u64,
        left: u64,
        keys: u64,
        sessions: u64,
        faults: u64,
        vectors: u64,
        per_row: u32,
        dim: u32,
        entries: u32,
        entries_before: u32,
        index: u32,
        measurable: u32,
    }
}

/// Up to so many vectors a block takes 16 entries and few vectors; with more, 64 of both.
const FEW: usize = 64;

/// Searches one codebook. Of entries equally near it is the first.
///
/// # Errors
/// [`Error::Shape`] where lengths differ, and those of a launch.
pub fn search(gpu: &Gpu, rows: &Rows<'_>, search: &Search<'_>) -> Result<()> {
    run(gpu, prepare(rows, search, FEW)?)
}

pub(super) fn prepare(rows: &Rows<'_>, own: &Search<'_>, few: usize) -> Result<Option<Launch<SearchArguments>>> {
    let Search { dim, entries, .. } = *own;
    if dim == 0 || entries == 0 {
        return Err(Error::Shape(format!("expected a codebook, got {entries} entries of {dim} floats")));
    }
    let vectors = rows.rows.saturating_mul(rows.steps);
    let (before, keys_before, entries_before) = match own.before {
        None => (0, 0, 0),
        Some((codebook, keys)) => {
            let entries = codebook.bytes() / size_of::<f32>() / dim;
            let before = floats(codebook, &[entries, dim], "the codebook before")?;
            (before, values(keys, &[vectors], size_of::<u64>(), "the keys of the codebook before")?, entries)
        }
    };
    let arguments = SearchArguments {
        x: floats(own.x, &rows.shape(dim), "vectors to be searched for")?,
        before,
        keys_before,
        codebook: floats(own.codebook, &[entries, dim], "a codebook")?,
        norms: floats(own.squared_lengths, &[entries], "squared lengths")?,
        left: own.left.map_or(Ok(0), |left| floats(left, &rows.shape(dim), "what is left of vectors"))?,
        keys: values(own.keys, &[vectors], size_of::<u64>(), "keys")?,
        sessions: rows.sessions()?,
        faults: faults(own.faults)?,
        vectors: vectors as u64,
        per_row: number("steps", rows.steps)?,
        dim: number("floats of an entry", dim)?,
        entries: number("entries", entries)?,
        entries_before: number("entries", entries_before)?,
        index: number("a codebook", own.index)?,
        measurable: own.measurable.into(),
    };
    if own.left.is_some_and(|left| left.address() == own.x.address()) {
        return Err(Error::Shape("expected what is left in memory of its own, got that of the vectors".into()));
    }
    if vectors == 0 {
        return Ok(None);
    }
    let (name, entries_of_block, vectors_of_block, block) =
        if vectors <= few { ("search_few", 16, 8, 128) } else { ("search_many", 64, 64, 256) };
    let grid =
        [number("entries", entries.div_ceil(entries_of_block))?, grid_rows(vectors.div_ceil(vectors_of_block))?, 1];
    Ok(Some(Launch { name, grid, block, shared: 0, arguments }))
}

/// What was found in some codebooks, as codes.
#[derive(Clone, Copy, Debug)]
pub struct Codes<'a> {
    /// Codebooks.
    pub count: usize,
    /// `(count, vectors)` u64.
    pub keys: Span<'a>,
    /// Codes of each vector.
    pub columns: usize,
    /// The code that was found in the first codebook.
    pub first: usize,
    /// `(vectors, columns)` u32, of which `count` columns are written.
    pub codes: Span<'a>,
}

arguments! {
    pub(in crate::launch) struct CodesArguments {
        keys: u64,
        codes: u64,
        vectors: u64,
        count: u32,
        columns: u32,
        first: u32,
        padding: u32,
    }
}

/// Writes what was found as codes; 0 for the vectors of rows that rest.
///
/// # Errors
/// [`Error::Shape`] where lengths differ, and those of a launch.
pub fn codes(gpu: &Gpu, vectors: usize, codes: &Codes<'_>) -> Result<()> {
    run(gpu, codes_launch(vectors, codes)?)
}

pub(super) fn codes_launch(vectors: usize, own: &Codes<'_>) -> Result<Option<Launch<CodesArguments>>> {
    let Codes { count, columns, first, .. } = *own;
    if columns.checked_sub(count).is_none_or(|last| first > last) {
        return Err(Error::Shape(format!("expected codes {first} to {} of {columns}", first.saturating_add(count))));
    }
    let arguments = CodesArguments {
        keys: values(own.keys, &[count, vectors], size_of::<u64>(), "keys")?,
        codes: values(own.codes, &[vectors, columns], size_of::<u32>(), "codes")?,
        vectors: vectors as u64,
        count: number("codebooks", count)?,
        columns: number("columns", columns)?,
        first: number("columns", first)?,
        padding: 0,
    };
    elementwise("codes", 1, vectors.saturating_mul(count), arguments)
}

/// `|e|^2` of each entry `(entries, dim)`, summed as the CPU's codebook does it.
pub fn squared_lengths(entries: &[f32], dim: usize) -> Vec<f32> {
    entries.chunks_exact(dim).map(|entry| entry.iter().map(|value| value * value).sum()).collect()
}

/// Whether distances to entries of these squared lengths stay finite: no more than an eighth of the greatest float32.
pub fn is_measurable(squared_lengths: &[f32]) -> bool {
    squared_lengths.iter().all(|&length| length <= f32::MAX / 8.0)
}
