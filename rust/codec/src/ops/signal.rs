//! What flows between the layers: signals, and codes.

use std::any::Any;
use std::sync::Arc;

use candle_core::{Shape, Tensor};

use crate::error::{Error, Result};

/// The result of an operation, `(rows, steps, channels)`, wherever its backend keeps it.
pub(crate) struct Signal {
    dims: [usize; 3],
    values: Values,
}

enum Values {
    /// Where it has a home its memory is used again when the signal is dropped: views of it must not live longer.
    Tensor(Tensor, Option<Arc<dyn Home>>),
    /// What only its backend can read.
    Own(Box<dyn Any + Send + Sync>),
}

/// Where the memory of signals goes when they are dropped.
pub(crate) trait Home: Send + Sync {
    /// Takes the memory of a tensor that is about to be dropped, whose floats are then gone.
    fn take_back(&self, tensor: &Tensor);
}

impl Signal {
    /// A tensor whose memory is its own affair.
    pub(crate) fn of(tensor: Tensor) -> Result<Self> {
        Self::with_home(tensor, None)
    }

    /// A signal whose memory goes home.
    pub(super) fn at_home(tensor: Tensor, home: Arc<dyn Home>) -> Result<Self> {
        Self::with_home(tensor, Some(home))
    }

    fn with_home(tensor: Tensor, home: Option<Arc<dyn Home>>) -> Result<Self> {
        let dims = tensor.dims3()?.into();
        Ok(Self { dims, values: Values::Tensor(tensor, home) })
    }

    /// A signal that is not a tensor of candle.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "for devices that candle does not serve"))]
    pub(super) fn own(dims: [usize; 3], values: Box<dyn Any + Send + Sync>) -> Self {
        Self { dims, values: Values::Own(values) }
    }

    /// Rows, steps and channels.
    pub(crate) fn dims(&self) -> [usize; 3] {
        self.dims
    }

    /// Its tensor, for backends that run on candle's.
    pub(crate) fn tensor(&self) -> Result<&Tensor> {
        match &self.values {
            Values::Tensor(tensor, _) => Ok(tensor),
            Values::Own(_) => Err(elsewhere("a tensor")),
        }
    }

    /// What a backend made it of.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "for devices that candle does not serve"))]
    pub(super) fn values<T: Any>(&self) -> Result<&T> {
        match &self.values {
            Values::Own(values) => values.downcast_ref().ok_or_else(|| elsewhere("a signal of this backend")),
            Values::Tensor(..) => Err(elsewhere("a signal of this backend")),
        }
    }

    /// The same values as so many rows.
    pub(crate) fn in_rows(mut self, rows: usize) -> Result<Self> {
        let [before, steps, channels] = self.dims;
        self.dims = [rows, before * steps / rows.max(1), channels];
        if let Values::Tensor(tensor, _) = &mut self.values {
            *tensor = tensor.reshape(Shape::from(self.dims.to_vec()))?;
        }
        Ok(self)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        if let Values::Tensor(tensor, Some(home)) = &self.values {
            home.take_back(tensor);
        }
    }
}

/// The tensors of what an operation is given.
pub(super) fn tensors<'a>(x: &'a Signal, residual: Option<&'a Signal>) -> Result<(&'a Tensor, Option<&'a Tensor>)> {
    Ok((x.tensor()?, residual.map(Signal::tensor).transpose()?))
}

/// Codes `(vectors, count)`, wherever their backend keeps them.
pub(crate) struct Indices {
    pub(crate) vectors: usize,
    pub(crate) count: usize,
    values: Kept,
}

enum Kept {
    Host(Vec<u32>),
    Own(Box<dyn Any + Send + Sync>),
}

impl Indices {
    /// Codes in the memory of the process.
    pub(crate) fn host(codes: Vec<u32>, count: usize) -> Self {
        Self { vectors: codes.len() / count.max(1), count, values: Kept::Host(codes) }
    }

    /// Codes that only a backend can read.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "for devices that candle does not serve"))]
    pub(super) fn own(vectors: usize, count: usize, values: Box<dyn Any + Send + Sync>) -> Self {
        Self { vectors, count, values: Kept::Own(values) }
    }

    /// The codes of each vector.
    pub(crate) fn codes(&self) -> Result<&[u32]> {
        match &self.values {
            Kept::Host(codes) => Ok(codes),
            Kept::Own(_) => Err(elsewhere("codes in the memory of the process")),
        }
    }

    /// What a backend made them of.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "for devices that candle does not serve"))]
    pub(super) fn values<T: Any>(&self) -> Result<&T> {
        match &self.values {
            Kept::Own(values) => values.downcast_ref().ok_or_else(|| elsewhere("codes of this backend")),
            Kept::Host(_) => Err(elsewhere("codes of this backend")),
        }
    }
}

/// Some columns of codes `(vectors, count)`: those of the codebooks that a quantizer has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    pub(crate) first: usize,
    pub(crate) own: usize,
    pub(crate) count: usize,
}

impl Columns {
    /// All of them.
    #[cfg(test)]
    pub(crate) fn all(count: usize) -> Self {
        Self { first: 0, own: count, count }
    }

    /// The own codes of each vector.
    pub(super) fn of<'a>(&self, codes: &'a [u32]) -> impl Iterator<Item = &'a [u32]> {
        let Self { first, own, count } = *self;
        codes.chunks_exact(count).map(move |codes| &codes[first..first + own])
    }

    /// Puts the own codes of each vector in their place among all.
    pub(super) fn put(&self, own: &[u32], codes: Option<Indices>) -> Result<Indices> {
        let mut all = match codes {
            Some(Indices { values: Kept::Host(codes), .. }) => codes,
            Some(_) => return Err(elsewhere("codes in the memory of the process")),
            None => vec![0; own.len() / self.own * self.count],
        };
        for (codes, own) in all.chunks_exact_mut(self.count).zip(own.chunks_exact(self.own)) {
            codes[self.first..self.first + self.own].copy_from_slice(own);
        }
        Ok(Indices::host(all, self.count))
    }
}

/// What is handed to an operation that cannot take it: a mistake of the layers.
pub(super) fn elsewhere(expected: &str) -> Error {
    candle_core::Error::Msg(format!("expected {expected}, got something of another kind")).into()
}
