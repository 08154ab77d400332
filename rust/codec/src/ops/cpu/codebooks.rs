//! Codebooks packed for the search.

use candle_core::Tensor;
use mimi_kernels::{Codebook, Unmeasurable};

use super::{Kernels, host};
use crate::error::Result;
use crate::memory;
use crate::ops::{Codebooks, Signal, unmeasurable};

pub(super) struct Books {
    books: Vec<Codebook>,
    kernels: Kernels,
}

impl Books {
    pub(super) fn new(
        kernels: &Kernels,
        dim: usize,
        books: &mut dyn Iterator<Item = Result<Vec<f32>>>,
    ) -> Result<Self> {
        let books = books.map(|book| Ok(Codebook::new(kernels.level, &book?, dim))).collect::<Result<_>>()?;
        Ok(Self { books, kernels: kernels.clone() })
    }
}

impl Codebooks for Books {
    fn search(&self, x: &Tensor, count: usize) -> Result<Vec<u32>> {
        crate::ops::fault_point()?;
        let vectors = x.dim(0)?;
        host::with_floats(x, |x| {
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
            Ok(codes)
        })
    }

    fn sum(&self, codes: &[u32], count: usize) -> Result<Signal> {
        let (vectors, dim) = (codes.len() / count, self.books.first().map_or(0, Codebook::dim));
        self.kernels.write((1, vectors, dim), |out| {
            out.fill(0.0);
            for (codes, sum) in codes.chunks_exact(count).zip(out.chunks_exact_mut(dim)) {
                for (book, &code) in self.books.iter().zip(codes) {
                    book.add_entry(code as usize, sum);
                }
            }
            Ok(())
        })
    }

    fn len(&self) -> usize {
        self.books.len()
    }

    fn bytes(&self) -> usize {
        self.books.iter().map(Codebook::bytes).sum()
    }
}
