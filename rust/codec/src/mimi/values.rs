//! What goes in and comes out: codes and latents.

use crate::{Error, Result};

/// The codes of one clip or block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codes {
    /// Codes in each frame.
    pub codebooks: usize,
    /// `(frames, codebooks)`, frame by frame.
    pub data: Vec<u32>,
}

impl Codes {
    /// Frames coded.
    pub fn frames(&self) -> usize {
        self.data.len() / self.codebooks.max(1)
    }
}

/// The latents of one clip or block, before or after the quantizer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latents {
    /// Floats in each frame.
    pub dim: usize,
    /// `(frames, dim)`, frame by frame.
    pub data: Vec<f32>,
}

impl Latents {
    /// Frames.
    pub fn frames(&self) -> usize {
        self.data.len() / self.dim.max(1)
    }
}

/// Samples must be numbers.
pub(crate) fn check_pcm(pcm: &[f32]) -> Result<()> {
    match pcm.iter().position(|sample| !sample.is_finite()) {
        Some(at) => Err(Error::Audio(format!("expected finite samples, got {} at sample {at}", pcm[at]))),
        None => Ok(()),
    }
}

/// What to blame for values that overflow in the model: input that is far too large, or else the weights.
pub(crate) fn blame(error: Error, input: &[f32], what: &str, kind: fn(String) -> Error) -> Error {
    /// Beyond any samples and latents that mean something.
    const LARGE: f32 = 1e6;
    let greatest = input.iter().fold(0.0, |greatest: f32, value| greatest.max(value.abs()));
    if matches!(error, Error::Numeric(_)) && greatest > LARGE {
        return kind(format!("expected {what} of usual size, got one of size {greatest:e}, with which sums overflow"));
    }
    error
}

/// Latents must be numbers, `dim` to a frame.
pub(crate) fn check_latents(latents: &Latents, dim: usize) -> Result<()> {
    if latents.dim != dim || !latents.data.len().is_multiple_of(dim) {
        return Err(Error::Latents(format!("expected latents of {dim} channels, got {}", latents.dim)));
    }
    match latents.data.iter().position(|value| !value.is_finite()) {
        Some(at) => {
            Err(Error::Latents(format!("expected finite latents, got {} in frame {}", latents.data[at], at / dim)))
        }
        None => Ok(()),
    }
}

/// Codes must name an entry of a codebook that is loaded.
pub(crate) fn check_codes(codes: &Codes, loaded: usize, entries: usize) -> Result<()> {
    let count = codes.codebooks;
    if count == 0 || count > loaded {
        return Err(Error::Codes(format!(
            "expected between 1 and {loaded} codebooks ({loaded} are loaded), got {count}"
        )));
    }
    if !codes.data.len().is_multiple_of(count) {
        let got = codes.data.len();
        return Err(Error::Codes(format!("expected whole frames of {count} codes each, got {got} codes in all")));
    }
    match codes.data.iter().position(|&code| code as usize >= entries) {
        Some(at) => Err(Error::code_out_of_range(i64::from(codes.data[at]), entries, at % count, at / count)),
        None => Ok(()),
    }
}
