//! Codebooks packed for the search.

use mimi_kernels::{Codebook, Unmeasurable};

use super::{Kernels, host};
use crate::error::Result;
use crate::memory;
use crate::ops::state::Block;
use crate::ops::{Arrays, Codebooks, Columns, EachBook, Indices, Signal, Weights, unmeasurable};

pub(super) struct Books {
    books: Vec<Codebook>,
    kernels: Kernels,
}

impl Books {
    pub(super) fn new(kernels: &Kernels, entries: usize, dim: usize, books: EachBook<'_, '_>) -> Result<Self> {
        let books = books.map(|book| match book? {
            Weights::Tensors(book, _) => Ok(Codebook::new(kernels.level, &book, dim)),
            Weights::Packed(layer, _) => Codebook::of_arrays(kernels.level, entries, dim, &layer),
        });
        let books = books.collect::<Result<_>>()?;
        Ok(Self { books, kernels: kernels.clone() })
    }
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
                let outcome = book.search(&mut residual, &mut found, &self.kernels.threads);
                outcome.map_err(|Unmeasurable| unmeasurable(k))?;
                codes[k..].iter_mut().step_by(count).zip(&found).for_each(|(code, &found)| *code = found);
            }
            columns.put(&codes, others)
        })
    }

    fn sum(&self, codes: &Indices, columns: Columns, residual: Option<&Signal>) -> Result<Signal> {
        let (all, dim) = (codes.codes()?, self.books.first().map_or(0, Codebook::dim));
        host::with_optional_floats(residual.map(Signal::tensor).transpose()?, |residual| {
            self.kernels.write((1, codes.vectors, dim), |out| {
                out.fill(0.0);
                for (codes, sum) in columns.of(all).zip(out.chunks_exact_mut(dim)) {
                    for (book, &code) in self.books.iter().zip(codes) {
                        book.add_entry(code as usize, sum);
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
        self.books.iter().map(Codebook::arrays).collect()
    }
}
