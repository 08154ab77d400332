//! Signals and codes in the memory of the device.

use std::sync::Arc;

use mimi_cuda::{Piece, Span};

use super::area::Area;
use super::card::{Card, floats};
use super::norm::Norm;
use crate::error::Result;
use crate::ops::{Indices, Signal, fault_point};

/// Where values lie.
#[derive(Clone)]
enum Place {
    Piece(Arc<Piece>),
    /// Where the step's input is.
    Input(Arc<Area>),
    /// Where a table of angles is.
    Table(Arc<Area>, usize),
}

impl Place {
    fn span(&self) -> Result<Span<'_>> {
        match self {
            Self::Piece(piece) => Ok(piece.span()),
            Self::Input(area) => area.input(),
            Self::Table(area, number) => area.table(*number),
        }
    }
}

/// A signal's values, or what they are to be made of: a norm waits for the product that takes it along.
pub(super) struct Values {
    place: Place,
    norm: Option<Arc<Norm>>,
}

impl Values {
    fn signal(dims: [usize; 3], place: Place, norm: Option<Arc<Norm>>) -> Signal {
        Signal::own(dims, Box::new(Self { place, norm }))
    }

    /// The input of a step.
    pub(super) fn input(area: &Arc<Area>, dims: [usize; 3]) -> Signal {
        Self::signal(dims, Place::Input(Arc::clone(area)), None)
    }

    /// A table of angles.
    pub(super) fn table(area: Arc<Area>, number: usize, dims: [usize; 3]) -> Signal {
        Self::signal(dims, Place::Table(area, number), None)
    }

    /// What a product reads, and the norm that it is to take first.
    pub(super) fn before_norm(signal: &Signal) -> Result<(Span<'_>, Option<&Norm>)> {
        let Self { place, norm } = signal.values()?;
        Ok((place.span()?, norm.as_deref()))
    }

    /// The norm of a signal, to be taken when somebody needs it.
    pub(super) fn normed(x: &Signal, norm: &Arc<Norm>, card: &Card) -> Result<Signal> {
        let place = match Ready::of(x, card)? {
            Ready::There(_) => x.values::<Self>()?.place.clone(),
            Ready::Made(made) => made.values::<Self>()?.place.clone(),
        };
        Ok(Self::signal(x.dims(), place, Some(Arc::clone(norm))))
    }
}

/// The values of a signal, with its norm taken if it waits for one.
pub(super) enum Ready<'a> {
    There(Span<'a>),
    Made(Signal),
}

impl<'a> Ready<'a> {
    pub(super) fn of(signal: &'a Signal, card: &Card) -> Result<Self> {
        let Values { place, norm } = signal.values()?;
        Ok(match norm {
            None => Self::There(place.span()?),
            Some(norm) => Self::Made(norm.take(place.span()?, signal.dims(), card)?),
        })
    }

    /// The values of what may not be there.
    pub(super) fn optional(signal: Option<&'a Signal>, card: &Card) -> Result<Option<Self>> {
        signal.map(|signal| Self::of(signal, card)).transpose()
    }

    pub(super) fn span(&self) -> Result<Span<'_>> {
        match self {
            Self::There(span) => Ok(*span),
            Self::Made(signal) => signal.values::<Values>()?.place.span(),
        }
    }
}

impl Card {
    /// A signal that `write` writes.
    pub(super) fn signal(&self, dims: [usize; 3], write: impl FnOnce(Span<'_>) -> Result<()>) -> Result<Signal> {
        fault_point()?;
        let piece = self.gpu().piece(floats(dims.iter().product()))?;
        write(piece.span())?;
        Ok(Values::signal(dims, Place::Piece(Arc::new(piece)), None))
    }
}

/// Codes in the memory of the device, `(vectors, count)`.
pub(super) struct CodeValues(Place);

impl CodeValues {
    /// The input of a step.
    pub(super) fn input(area: &Arc<Area>, vectors: usize, count: usize) -> Indices {
        Indices::own(vectors, count, Box::new(Self(Place::Input(Arc::clone(area)))))
    }

    /// Codes that are to be written.
    pub(super) fn room(vectors: usize, count: usize, card: &Card) -> Result<Indices> {
        let piece = card.gpu().piece(floats(vectors * count))?;
        Ok(Indices::own(vectors, count, Box::new(Self(Place::Piece(Arc::new(piece))))))
    }

    pub(super) fn span(codes: &Indices) -> Result<Span<'_>> {
        codes.values::<Self>()?.0.span()
    }
}
