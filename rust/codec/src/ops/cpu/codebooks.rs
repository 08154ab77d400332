//! Codebooks packed for the search.

use mimi_kernels::{Codebook, Precision, Unmeasurable};

use super::{Kernels, host};
use crate::error::{Error, Result};
use crate::memory;
use crate::ops::state::Block;
use crate::ops::{
    Arrays, CodebookShape, Codebooks, Columns, EachBook, Indices, Signal, Weights, precisions, unmeasurable,
};

pub(super) struct Books {
    dim: usize,
    books: Vec<Book>,
    kernels: Kernels,
}

/// A codebook for each use, or one for both.
struct Book {
    summed: Option<Codebook>,
    /// None where it is the one that is summed.
    searched: Option<Codebook>,
}

impl Books {
    pub(super) fn new(kernels: &Kernels, shape: CodebookShape, books: EachBook<'_, '_>) -> Result<Self> {
        let books = books.map(|book| Book::new(kernels, shape, &book?)).collect::<Result<_>>()?;
        Ok(Self { dim: shape.dim, books, kernels: kernels.clone() })
    }
}

impl Book {
    fn new(kernels: &Kernels, shape: CodebookShape, weights: &Weights<'_>) -> Result<Self> {
        let CodebookShape { entries, dim, searched, summed } = shape;
        let [search, sum] = precisions::of_entries(kernels.precision);
        let apart = search != sum;
        let made = |precision, screened, part: Option<&str>| match weights {
            Weights::Tensors(book, _) => Ok(Codebook::new(kernels.level, precision, book, dim, screened)),
            Weights::Packed(layer, _) => {
                let layer = &part.map_or_else(|| layer.clone(), |part| layer.part(part));
                Codebook::of_arrays(kernels.level, precision, (entries, dim), screened, layer)
            }
        };
        // Entries in int8 are read as soon as a screen would be.
        let screened = searched && kernels.screens && search == Precision::Float32;
        Ok(Self {
            summed: (summed || !apart).then(|| made(sum, screened, None)).transpose()?,
            searched: (searched && apart).then(|| made(search, screened, Some(SEARCHED))).transpose()?,
        })
    }

    fn summed(&self) -> Result<&Codebook> {
        self.summed.as_ref().ok_or_else(|| not_kept("to be added up"))
    }

    fn searched(&self) -> Result<&Codebook> {
        self.searched.as_ref().or(self.summed.as_ref()).ok_or_else(|| not_kept("to be searched"))
    }

    fn arrays(&self) -> Arrays {
        let mut arrays = self.summed.as_ref().map(Codebook::arrays).unwrap_or_default();
        let searched = self.searched.as_ref().map(Codebook::arrays).unwrap_or_default();
        arrays.extend(searched.into_iter().map(|(name, array)| (searched_name(name), array)));
        arrays
    }
}

/// The part of a codebook's arrays that belongs to the one that is searched.
const SEARCHED: &str = "searched";

/// What its arrays are called among those of both.
fn searched_name(name: &str) -> &'static str {
    match name {
        "panels" => "searched.panels",
        "scales" => "searched.scales",
        _ => "searched.bias",
    }
}

fn not_kept(what: &str) -> Error {
    Error::Codes(format!("expected codebooks {what}, got a model without them"))
}

impl Codebooks for Books {
    fn search(&self, x: &Signal, columns: Columns, others: Option<Indices>, _: &Block<'_>) -> Result<Indices> {
        crate::ops::fault_point()?;
        let [rows, steps, _] = x.dims();
        let (vectors, count) = (rows * steps, columns.own);
        host::with_floats(x.tensor()?, |x| {
            let mut residual = memory::copy(x)?;
            let mut codes = memory::with_room(vectors * count)?;
            codes.resize(vectors * count, 0);
            let mut found = memory::with_room(vectors)?;
            found.resize(vectors, 0);
            for (k, book) in self.books[..count].iter().enumerate() {
                let outcome = book.searched()?.search(&mut residual, &mut found, &self.kernels.threads);
                outcome.map_err(|Unmeasurable| unmeasurable(k))?;
                codes[k..].iter_mut().step_by(count).zip(&found).for_each(|(code, &found)| *code = found);
            }
            columns.put(&codes, others)
        })
    }

    fn sum(&self, codes: &Indices, columns: Columns, residual: Option<&Signal>) -> Result<Signal> {
        let (all, dim) = (codes.codes()?, self.dim);
        host::with_optional_floats(residual.map(Signal::tensor).transpose()?, |residual| {
            self.kernels.write((1, codes.vectors, dim), |out| {
                out.fill(0.0);
                for (codes, sum) in columns.of(all).zip(out.chunks_exact_mut(dim)) {
                    for (book, &code) in self.books.iter().zip(codes) {
                        book.summed()?.add_entry(code as usize, sum);
                    }
                }
                out.iter_mut().zip(residual.unwrap_or_default()).for_each(|(sum, residual)| *sum += residual);
                Ok(())
            })
        })
    }

    fn len(&self) -> usize {
        self.books.len()
    }

    fn arrays(&self) -> Vec<Arrays> {
        self.books.iter().map(Book::arrays).collect()
    }
}
