//! The codebooks of a residual vector quantizer.

use candle_core::{D, Device, Tensor};

use super::{Composed, bytes};
use crate::error::{Error, Result};
use crate::finite::check_tensor;
use crate::ops::state::Block;
use crate::ops::{Backend, Codebooks, Columns, EachBook, Indices, Signal, unmeasurable};

pub(super) struct Books {
    books: Vec<Book>,
    device: Device,
}

/// A codebook, and what of the distances `|x - e|² = |x|² - 2 x e + |e|²` does not depend on what is searched for.
struct Book {
    /// `(entries, dim)`.
    entries: Tensor,
    /// `-2 e`, `(dim, entries)`.
    factors: Tensor,
    /// `|e|²`, `(entries,)`.
    squares: Tensor,
    /// The code of each entry, `(1, entries)`.
    codes: Tensor,
    /// The last code, as often.
    last: Tensor,
}

impl Books {
    pub(super) fn new(backend: &Composed, dim: usize, books: EachBook<'_, '_>) -> Result<Self> {
        let books = books.map(|book| Book::new(backend, dim, &book?.tensors()?.0)).collect::<Result<_>>()?;
        Ok(Self { books, device: backend.candle().clone() })
    }
}

impl Book {
    fn new(backend: &Composed, dim: usize, book: &[f32]) -> Result<Self> {
        let count = book.len() / dim;
        let entries = backend.tensor(book, &[count, dim])?;
        let codes = Tensor::arange(0, count as u32, backend.candle())?.reshape((1, count))?;
        Ok(Self {
            factors: (entries.t()?.contiguous()? * -2.0)?,
            squares: entries.sqr()?.sum(D::Minus1)?,
            last: codes.narrow(1, count - 1, 1)?.repeat((1, count))?,
            codes,
            entries,
        })
    }

    /// The nearest entry to each row of `x` `(vectors, dim)`, the first of those equally near.
    ///
    /// candle's `argmin` gives any of them on CUDA, so the least distance is found first, then the least code that has it.
    fn nearest(&self, x: &Tensor) -> Result<Tensor> {
        let own = x.sqr()?.sum_keepdim(D::Minus1)?;
        let squared = x.matmul(&self.factors)?.broadcast_add(&self.squares)?.broadcast_add(&own)?;
        // Roots round distances together that are not equal: a tie is what PyTorch's `cdist` has as one.
        check_tensor(&squared, "distances")?;
        let distances = squared.relu()?.sqrt()?;
        let least = distances.broadcast_eq(&distances.min_keepdim(D::Minus1)?)?;
        let (codes, last) = (self.codes.broadcast_as(least.shape())?, self.last.broadcast_as(least.shape())?);
        Ok(least.where_cond(&codes, &last)?.min(D::Minus1)?)
    }
}

impl Codebooks for Books {
    fn search(&self, x: &Signal, columns: Columns, others: Option<Indices>, _: &Block<'_>) -> Result<Indices> {
        crate::ops::fault_point()?;
        let mut residual = x.tensor()?.flatten(0, 1)?.contiguous()?;
        let mut codes = Vec::with_capacity(columns.own);
        for (k, book) in self.books[..columns.own].iter().enumerate() {
            let nearest = book.nearest(&residual).map_err(|error| match error {
                Error::Numeric(_) => unmeasurable(k),
                other => other,
            })?;
            residual = (residual - book.entries.index_select(&nearest, 0)?)?;
            codes.push(nearest);
        }
        columns.put(&Tensor::stack(&codes, 1)?.flatten_all()?.to_vec1()?, others)
    }

    fn sum(&self, codes: &Indices, columns: Columns, residual: Option<&Signal>) -> Result<Signal> {
        let own: Vec<u32> = columns.of(codes.codes()?).flatten().copied().collect();
        let codes = Tensor::from_vec(own, (codes.vectors, columns.own), &self.device)?.t()?.contiguous()?;
        let mut sum: Option<Tensor> = None;
        for (k, book) in self.books[..columns.own].iter().enumerate() {
            let entries = book.entries.index_select(&codes.get(k)?, 0)?;
            sum = Some(match sum {
                Some(sum) => (sum + entries)?,
                None => entries,
            });
        }
        let sum = sum.ok_or_else(|| Error::Codes("expected at least one codebook, got none".into()))?;
        let sum = sum.unsqueeze(0)?;
        Signal::of(match residual {
            Some(residual) => (sum + residual.tensor()?)?,
            None => sum,
        })
    }

    fn len(&self) -> usize {
        self.books.len()
    }

    fn bytes(&self) -> usize {
        let of = |book: &Book| bytes([&book.entries, &book.factors, &book.squares, &book.codes, &book.last].map(Some));
        self.books.iter().map(of).sum()
    }
}
