//! What goes in and comes out: samples, codes and latents.

use crate::error::{Error, Result};

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

    /// Codes `(codebooks, frames)`, codebook by codebook: the order of the Python package, and of most models.
    ///
    /// # Errors
    /// [`Error::Codes`] where `data` is not a whole number of frames.
    pub fn from_codebooks(codebooks: usize, data: &[u32]) -> Result<Self> {
        if codebooks == 0 || !data.len().is_multiple_of(codebooks) {
            return Err(not_whole(codebooks, data.len()));
        }
        let frames = data.len() / codebooks;
        let frame = |frame| data.iter().skip(frame).step_by(frames).copied();
        Ok(Self { codebooks, data: (0..frames).flat_map(frame).collect() })
    }

    /// The same as `(codebooks, frames)`, codebook by codebook; back with [`Codes::from_codebooks`].
    pub fn to_codebooks(&self) -> Vec<u32> {
        (0..self.codebooks).flat_map(|codebook| self.codebook(codebook)).collect()
    }

    /// The codes of one codebook, in the order of time; none where there is no such codebook.
    pub fn codebook(&self, codebook: usize) -> impl Iterator<Item = u32> + '_ {
        self.data.chunks_exact(self.codebooks.max(1)).filter_map(move |frame| frame.get(codebook).copied())
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

/// What a stream takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From samples to so many codes a frame.
    ToCodes(usize),
    /// From samples to latents, before the quantizer.
    ToLatents,
    /// From codes to samples.
    FromCodes,
    /// From latents, as the quantizer gives them, to samples.
    FromLatents,
}

impl Direction {
    /// Whether it begins with samples.
    pub(crate) fn is_encoder(self) -> bool {
        matches!(self, Self::ToCodes(_) | Self::ToLatents)
    }

    /// An input without a frame.
    pub(crate) fn nothing(self) -> Input<'static> {
        static NO_CODES: Codes = Codes { codebooks: 1, data: Vec::new() };
        static NO_LATENTS: Latents = Latents { dim: 1, data: Vec::new() };
        match self {
            Self::ToCodes(_) | Self::ToLatents => Input::Pcm(&[]),
            Self::FromCodes => Input::Codes(&NO_CODES),
            Self::FromLatents => Input::Latents(&NO_LATENTS),
        }
    }

    /// What it takes, in words.
    pub(crate) fn wanted(self) -> &'static str {
        match self {
            Self::ToCodes(_) | Self::ToLatents => "samples",
            Self::FromCodes => "codes",
            Self::FromLatents => "latents",
        }
    }
}

/// What one row of a stream is given.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Samples, as many as there are.
    Pcm(&'a [f32]),
    /// Frames of codes.
    Codes(&'a Codes),
    /// Frames of latents.
    Latents(&'a Latents),
}

/// What one row of a stream gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Samples.
    Pcm(Vec<f32>),
    /// Frames of codes.
    Codes(Codes),
    /// Frames of latents.
    Latents(Latents),
}

impl Output {
    /// The codes of a stream to codes.
    ///
    /// # Errors
    /// [`Error::Stream`] if it is something else.
    pub fn into_codes(self) -> Result<Codes> {
        if let Self::Codes(codes) = self { Ok(codes) } else { Err(self.instead_of("codes")) }
    }

    /// The latents of a stream to latents.
    ///
    /// # Errors
    /// [`Error::Stream`] if it is something else.
    pub fn into_latents(self) -> Result<Latents> {
        if let Self::Latents(latents) = self { Ok(latents) } else { Err(self.instead_of("latents")) }
    }

    /// The samples of a stream to samples.
    ///
    /// # Errors
    /// [`Error::Stream`] if it is something else.
    pub fn into_pcm(self) -> Result<Vec<f32>> {
        if let Self::Pcm(pcm) = self { Ok(pcm) } else { Err(self.instead_of("samples")) }
    }

    fn instead_of(&self, expected: &str) -> Error {
        let got = match self {
            Self::Pcm(_) => "samples",
            Self::Codes(_) => "codes",
            Self::Latents(_) => "latents",
        };
        Error::Stream(format!("expected {expected} from this stream, got {got}"))
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
        return kind(format!("the {what} are too large: expected values up to about {LARGE:e}, got {greatest:e}"));
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
pub(crate) fn check_codes(codes: &Codes, fewest: usize, loaded: usize, entries: usize) -> Result<()> {
    let count = codes.codebooks;
    if fewest == loaded && count != loaded {
        return Err(Error::Codes(format!("expected codes of all {loaded} codebooks, got {count}")));
    }
    if !(fewest.max(1)..=loaded).contains(&count) {
        return Err(Error::Codes(format!(
            "expected between 1 and {loaded} codebooks ({loaded} are loaded), got {count}"
        )));
    }
    if !codes.data.len().is_multiple_of(count) {
        return Err(not_whole(count, codes.data.len()));
    }
    match codes.data.iter().position(|&code| code as usize >= entries) {
        Some(at) => Err(Error::code_out_of_range(i64::from(codes.data[at]), entries, at % count, at / count)),
        None => Ok(()),
    }
}

fn not_whole(codebooks: usize, codes: usize) -> Error {
    Error::Codes(format!("expected whole frames of {codebooks} codes each, got {codes} codes in all"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn codes_by_codebook() {
        let codes = Codes { codebooks: 2, data: vec![1, 10, 2, 20, 3, 30] };
        assert_eq!(codes.to_codebooks(), [1, 2, 3, 10, 20, 30]);
        assert_eq!(Codes::from_codebooks(2, &codes.to_codebooks()).unwrap(), codes);
        assert_eq!(codes.codebook(1).collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!(codes.codebook(2).count(), 0);
        assert_eq!(Codes::from_codebooks(3, &[]).unwrap().frames(), 0);
        for (codebooks, data) in [(2, &[0; 3][..]), (0, &[0; 3]), (0, &[])] {
            assert!(matches!(Codes::from_codebooks(codebooks, data), Err(Error::Codes(_))), "{codebooks} {data:?}");
        }
    }
}
