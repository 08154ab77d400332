//! A block on its way: what layers are given, which layers these are, and what comes back.

use super::signal::elsewhere;
use super::{Block, Indices, Signal};
use crate::error::Result;

/// What a block goes through.
pub(crate) type Layers<'a> = &'a dyn Fn(Flow) -> Result<Flow>;

/// A block that is to go through layers.
#[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "for devices that record their steps"))]
pub(crate) struct Step<'a> {
    pub(crate) block: &'a Block<'a>,
    pub(crate) input: Source,
    pub(crate) frames: usize,
    /// Which layers these are, among all that the backend serves.
    pub(crate) route: Route,
}

/// Ways through a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    /// From samples to so many codes.
    ToCodes(usize),
    ToLatents,
    /// From so many codes to samples.
    FromCodes(usize),
    FromLatents,
    /// From latents to so many codes, without the encoder.
    Quantize(usize),
    /// From so many codes to latents, without the decoder.
    Embed(usize),
}

/// What layers are given, in the memory of the process.
pub(crate) enum Source {
    /// Values in the order of `(rows, steps, channels)`.
    Floats(Vec<f32>, [usize; 3]),
    /// Codes `(vectors, count)`.
    Codes(Vec<u32>, usize),
}

/// What flows into the layers, and out of them.
pub(crate) enum Flow {
    Signal(Signal),
    Codes(Indices),
}

impl Flow {
    pub(crate) fn into_signal(self) -> Result<Signal> {
        if let Self::Signal(signal) = self { Ok(signal) } else { Err(elsewhere("a signal")) }
    }

    pub(crate) fn into_codes(self) -> Result<Indices> {
        if let Self::Codes(codes) = self { Ok(codes) } else { Err(elsewhere("codes")) }
    }
}

/// The same in the memory of the process: values in the order of rows and steps.
pub(crate) enum Given {
    Floats(Vec<f32>),
    Codes(Vec<u32>),
}

impl Given {
    pub(crate) fn into_floats(self) -> Result<Vec<f32>> {
        if let Self::Floats(floats) = self { Ok(floats) } else { Err(elsewhere("a signal")) }
    }

    pub(crate) fn into_codes(self) -> Result<Vec<u32>> {
        if let Self::Codes(codes) = self { Ok(codes) } else { Err(elsewhere("codes")) }
    }
}
