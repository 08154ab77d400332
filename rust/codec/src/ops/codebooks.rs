//! The codebooks of a residual vector quantizer.

use candle_core::{D, Tensor};
use mimi_kernels::Codebook;

use super::{Backend, Host, Signal, host};
use crate::Result;

/// Codebooks in the order in which each quantizes what the ones before it left.
pub(crate) struct Codebooks {
    body: Body,
}

enum Body {
    Kernels { books: Vec<Codebook>, host: Host },
    Composed { books: Vec<Tensor> },
}

impl Codebooks {
    /// `books`: each `(entries, dim)`, row-major.
    pub(crate) fn new(backend: &Backend, dim: usize, books: impl Iterator<Item = Result<Vec<f32>>>) -> Result<Self> {
        let body = match backend {
            Backend::Kernels(host) => {
                let books = books.map(|book| Ok(Codebook::new(host.level, &book?, dim)));
                Body::Kernels { books: books.collect::<Result<_>>()?, host: host.clone() }
            }
            Backend::Composed(_) => {
                let books = books.map(|book| {
                    let book = book?;
                    backend.tensor(&book, &[book.len() / dim, dim])
                });
                Body::Composed { books: books.collect::<Result<_>>()? }
            }
        };
        Ok(Self { body })
    }

    /// Codes `(vectors, count)` of the first `count` codebooks for `x` `(vectors, dim)`.
    pub(crate) fn search(&self, x: &Tensor, count: usize) -> Result<Vec<u32>> {
        let vectors = x.dim(0)?;
        match &self.body {
            Body::Kernels { books, host } => host::with_floats(x, |x| {
                let mut residual = x.to_vec();
                let mut codes = vec![0; vectors * count];
                let mut found = vec![0; vectors];
                for (k, book) in books[..count].iter().enumerate() {
                    book.search(&mut residual, &mut found, &host.threads);
                    codes[k..].iter_mut().step_by(count).zip(&found).for_each(|(code, &found)| *code = found);
                }
                Ok(codes)
            }),
            Body::Composed { books } => {
                let mut residual = x.clone();
                let mut codes = Vec::with_capacity(count);
                for book in &books[..count] {
                    let cross = residual.matmul(&book.t()?.contiguous()?)?;
                    let norms = book.sqr()?.sum(D::Minus1)?;
                    let own = residual.sqr()?.sum_keepdim(D::Minus1)?;
                    let squares = (cross * -2.0)?.broadcast_add(&norms)?.broadcast_add(&own)?;
                    let nearest = squares.relu()?.sqrt()?.argmin(D::Minus1)?;
                    residual = (residual - book.index_select(&nearest, 0)?)?;
                    codes.push(nearest);
                }
                if codes.is_empty() {
                    return Ok(Vec::new());
                }
                Ok(Tensor::stack(&codes, 1)?.flatten_all()?.to_vec1()?)
            }
        }
    }

    /// The sum `(1, vectors, dim)` of the entries that `codes` `(vectors, count)` name, in the codebooks' order.
    ///
    /// Codes are less than the number of entries: the caller has checked.
    pub(crate) fn sum(&self, codes: &[u32], count: usize, backend: &Backend) -> Result<Signal> {
        let vectors = codes.len() / count;
        match &self.body {
            Body::Kernels { books, host } => {
                let dim = books.first().map_or(0, Codebook::dim);
                Signal::write(host, (1, vectors, dim), |out| {
                    out.fill(0.0);
                    for (codes, sum) in codes.chunks_exact(count).zip(out.chunks_exact_mut(dim)) {
                        for (book, &code) in books.iter().zip(codes) {
                            book.add_entry(code as usize, sum);
                        }
                    }
                    Ok(())
                })
            }
            Body::Composed { books } => {
                let codes = Tensor::from_slice(codes, (vectors, count), backend.device())?;
                let mut sum: Option<Tensor> = None;
                for (k, book) in books[..count].iter().enumerate() {
                    let entries = book.index_select(&codes.narrow(1, k, 1)?.squeeze(1)?.contiguous()?, 0)?;
                    sum = Some(match sum {
                        Some(sum) => (sum + entries)?,
                        None => entries,
                    });
                }
                let sum = sum.ok_or_else(|| crate::Error::Codes("expected at least one codebook, got none".into()))?;
                Ok(sum.unsqueeze(0)?.into())
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.body {
            Body::Kernels { books, .. } => books.len(),
            Body::Composed { books } => books.len(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.body {
            Body::Kernels { books, .. } => books.iter().map(Codebook::bytes).sum(),
            Body::Composed { books } => host::bytes(books.iter().map(Some)),
        }
    }
}
