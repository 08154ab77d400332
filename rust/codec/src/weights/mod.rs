//! Checkpoints: the codec's weights in safetensors files, in any of three spellings, alone or inside a larger model.
//!
//! ```text
//! path -> source (files, config.json) -> names (layout, prefix, places) -> check (shapes) -> read (float32)
//! ```
//! Callers know the canonical names and shapes of [`expected_tensors`] only.

mod file;
mod fingerprint;
mod names;
mod save;
mod source;
mod spellings;
mod tensors;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use safetensors::Dtype;

use crate::config::MimiConfig;
use crate::{Error, Result};
use file::TensorFiles;
use fingerprint::Sums;
pub use names::Layout;
use names::{Location, Locator};
use source::Source;
pub use tensors::{Part, TensorSpec, expected_tensors, needed_tensors};

/// Least cluster usage that a codebook's sums are divided by, as in the reference.
const MIN_USAGE: f32 = 1e-5;

/// The halves of the codec that are wanted. The quantizer goes with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parts {
    /// Encoder and decoder.
    #[default]
    Both,
    /// From samples to codes only.
    Encoder,
    /// From codes to samples only.
    Decoder,
}

impl Parts {
    /// Whether the encoder is wanted.
    pub fn encoder(self) -> bool {
        self != Parts::Decoder
    }

    /// Whether the decoder is wanted.
    pub fn decoder(self) -> bool {
        self != Parts::Encoder
    }

    /// `"both"`, `"encoder"` or `"decoder"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Parts::Both => "both",
            Parts::Encoder => "encoder",
            Parts::Decoder => "decoder",
        }
    }
}

impl FromStr for Parts {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = [Parts::Both, Parts::Encoder, Parts::Decoder];
        known.into_iter().find(|parts| parts.as_str() == text).ok_or_else(|| {
            Error::config("parts", format!("expected \"both\", \"encoder\" or \"decoder\", got {text:?}"))
        })
    }
}

/// An opened checkpoint: its headers are read and its names understood; tensors are read when asked for.
pub struct Checkpoint {
    path: PathBuf,
    config: MimiConfig,
    layout: Layout,
    prefix: String,
    files: TensorFiles,
    /// By canonical name.
    tensors: BTreeMap<String, (TensorSpec, Location)>,
    sums: Sums,
}

impl Checkpoint {
    /// Opens a directory (`config.json` and `model.safetensors`, an index of several, or the only `.safetensors` file),
    /// a `.safetensors` file, or an index.
    ///
    /// # Errors
    /// [`Error::File`] for files that are missing, corrupt or hold no Mimi codec, [`Error::Config`] for a configuration
    /// that is not supported. Tensors are looked at by [`Checkpoint::check`].
    pub fn open(path: &Path) -> Result<Self> {
        let source = Source::find(path)?;
        let files = TensorFiles::open(&source.weights)?;
        let (prefix, layout) = the_codec(&files)?;
        let config = source.config(layout, &prefix)?;
        let locator = Locator::new(&config, layout, &prefix);
        let locate = |spec: TensorSpec| {
            let location = locator.locate(&spec, |name| files.contains(name));
            (spec.name.clone(), (spec, location))
        };
        let tensors = expected_tensors(&config).into_iter().map(locate).collect();
        Ok(Self { path: path.into(), config, layout, prefix, files, tensors, sums: Sums::default() })
    }

    /// The codec's configuration.
    pub fn config(&self) -> &MimiConfig {
        &self.config
    }

    /// The spelling of the names.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// What stands before every name of the codec, such as `"codec_model."`; usually nothing.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The halves of which the checkpoint has any tensor.
    pub fn parts(&self) -> Parts {
        let has =
            |part| self.tensors.values().any(|(spec, place)| spec.part == part && self.files.contains(&place.name));
        match (has(Part::Encoder), has(Part::Decoder)) {
            (true, false) => Parts::Encoder,
            (false, true) => Parts::Decoder,
            _ => Parts::Both,
        }
    }

    /// Checks, before any data is read, that all tensors for `parts` and the first `num_codebooks` codebooks (`None`:
    /// all) are there with the right shapes, and that the codec has no tensors besides the configuration's.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorShape`], [`Error::TensorDtype`] or [`Error::SurplusTensors`];
    /// [`Error::Config`] if `num_codebooks` is less than the semantic codebooks or more than there are.
    pub fn check(&self, parts: Parts, num_codebooks: Option<usize>) -> Result<()> {
        let codebooks = num_codebooks.unwrap_or(self.config.num_quantizers);
        let range = self.config.num_semantic_quantizers..=self.config.num_quantizers;
        if !range.contains(&codebooks) {
            let message = format!("expected between {} and {}, got {codebooks}", range.start(), range.end());
            return Err(Error::config("num_codebooks", message));
        }
        for spec in needed_tensors(&self.config, parts, codebooks) {
            self.stored(&spec.name)?;
        }
        let known: BTreeSet<&str> = self.tensors.values().map(|(_, location)| location.name.as_str()).collect();
        let surplus: Vec<String> = self
            .files
            .names()
            .filter(|name| name.starts_with(&self.prefix) && !known.contains(name) && !names::is_unused(name))
            .map(String::from)
            .collect();
        if surplus.is_empty() { Ok(()) } else { Err(Error::SurplusTensors { names: surplus }) }
    }

    /// The values of a tensor in float32, by its canonical name, in the shape of its [`TensorSpec`].
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorShape`], [`Error::TensorDtype`]; [`Error::TensorValue`] for NaN and
    /// infinity; [`Error::File`] if the file cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        self.read_into(name, &mut values)?;
        Ok(values)
    }

    /// [`Checkpoint::read`], appended to `values`: who reads many tensors keeps one buffer.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`].
    pub fn read_into(&self, name: &str, values: &mut Vec<f32>) -> Result<()> {
        let (spec, location, dtype) = self.stored(name)?;
        let old = values.len();
        if dtype == Dtype::F32 && !location.deinterleave && cfg!(target_endian = "little") {
            self.files.read(&location.name, location.rows.as_ref(), values)?;
        } else {
            values.extend(to_f32(dtype, &self.bytes(spec, location)?));
        }
        // Without a way out in the middle, the compiler makes vectors of it.
        if values[old..].iter().fold(true, |finite, value| finite & value.is_finite()) {
            self.sums.add(name, &values[old..]);
            return Ok(());
        }
        match values[old..].iter().position(|value| !value.is_finite()) {
            Some(at) => Err(Error::TensorValue { name: location.name.clone(), index: at, value: values[old + at] }),
            None => Ok(()),
        }
    }

    /// The entries of one codebook, `(codebook_size, codebook_dim)` row by row: its sums divided by its usage. `index`
    /// counts within the semantic or the acoustic codebooks.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`].
    pub fn read_codebook(&self, semantic: bool, index: usize) -> Result<Vec<f32>> {
        let kind = if semantic { "semantic" } else { "acoustic" };
        let codebook = tensors::quantizer_name(kind, &format!("layers.{index}.codebook"));
        let name = format!("{codebook}.embed_sum");
        let mut entries = self.read(&name)?;
        let usage = self.read(&format!("{codebook}.cluster_usage"))?;
        for (entry, usage) in entries.chunks_exact_mut(self.config.codebook_dim).zip(usage) {
            entry.iter_mut().for_each(|value| *value /= usage.max(MIN_USAGE));
        }
        match entries.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(Error::TensorValue { name, index, value: entries[index] }),
            None => Ok(entries),
        }
    }

    /// Sums over the values that were read of a half and its quantizer: one for each number of codebooks from 1 on.
    pub(crate) fn fingerprints(&self, half: Parts, codebooks: usize) -> Vec<String> {
        self.sums.of_half(&self.config, half, codebooks)
    }

    /// A tensor's place, after its presence, shape and type are checked.
    fn stored(&self, name: &str) -> Result<(&TensorSpec, &Location, Dtype)> {
        let Some((spec, location)) = self.tensors.get(name) else {
            return Err(Error::MissingTensor { name: name.into(), expected: Vec::new() });
        };
        let name = || location.name.clone();
        let Some(entry) = self.files.entry(&location.name)? else {
            return Err(Error::MissingTensor { name: name(), expected: location.shape.clone() });
        };
        if entry.shape != location.shape {
            return Err(Error::TensorShape {
                name: name(),
                expected: location.shape.clone(),
                got: entry.shape.clone(),
            });
        }
        match entry.dtype {
            dtype @ (Dtype::F32 | Dtype::BF16 | Dtype::F16) => Ok((spec, location, dtype)),
            other => Err(Error::TensorDtype { name: name(), got: other.to_string() }),
        }
    }

    /// A tensor's bytes, as stored but for rows in canonical order.
    fn bytes(&self, spec: &TensorSpec, location: &Location) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.files.read(&location.name, location.rows.as_ref(), &mut bytes)?;
        if !location.deinterleave {
            return Ok(bytes);
        }
        let rows = spec.shape.first().copied().unwrap_or(1).max(1);
        Ok(half_split_rows(&bytes, bytes.len() / rows, self.config.head_dim()))
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, layout, prefix, .. } = self;
        let mut debug = f.debug_struct("Checkpoint");
        debug.field("path", path).field("layout", layout).field("prefix", prefix).finish_non_exhaustive()
    }
}

/// The layout and prefix of the one codec in the files.
fn the_codec(files: &TensorFiles) -> Result<(String, Layout)> {
    let mut found = names::detect(files.names()).into_iter();
    let (prefix, layout) = match (found.next(), found.next()) {
        (Some(only), None) => only,
        (None, _) => {
            return Err(Error::file(files.path(), "expected the tensors of a Mimi codec, found none of them"));
        }
        (Some(first), Some(second)) => {
            let message = format!(
                "expected one codec, found several: with the prefix {:?} and with the prefix {:?}",
                first.0, second.0
            );
            return Err(Error::file(files.path(), message));
        }
    };
    match files.names().find(|name| name.starts_with(&prefix) && names::is_weight_norm(name)) {
        None => Ok((prefix, layout)),
        Some(name) => {
            let message = format!(
                "expected plain weights, got weight norm in tensor `{name}`; remove the weight norm and save the model again"
            );
            Err(Error::file(files.path(), message))
        }
    }
}

/// Little-endian floats of one of the supported types.
fn to_f32(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let pairs = || bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    match dtype {
        Dtype::BF16 => pairs().map(|pair| half::bf16::from_le_bytes(pair).to_f32()).collect(),
        Dtype::F16 => pairs().map(|pair| half::f16::from_le_bytes(pair).to_f32()).collect(),
        _ => bytes.chunks_exact(4).map(|quad| f32::from_le_bytes([quad[0], quad[1], quad[2], quad[3]])).collect(),
    }
}

/// Within each head, rows (0, 1, 2, 3, ...) become (0, 2, ..., 1, 3, ...): a rotary pair's members, beside each other
/// before, are then half a head apart.
fn half_split_rows(bytes: &[u8], row: usize, head_dim: usize) -> Vec<u8> {
    let mut split = Vec::with_capacity(bytes.len());
    for head in bytes.chunks_exact((row * head_dim).max(1)) {
        for member in 0..2 {
            head.chunks_exact(row).skip(member).step_by(2).for_each(|bytes| split.extend_from_slice(bytes));
        }
    }
    split
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_each_head_are_split_in_halves() {
        assert_eq!(half_split_rows(&[0, 1, 2, 3, 10, 11, 12, 13], 1, 4), [0, 2, 1, 3, 10, 12, 11, 13]);
        assert_eq!(half_split_rows(&[0, 0, 1, 1, 2, 2, 3, 3], 2, 4), [0, 0, 2, 2, 1, 1, 3, 3]);
    }

    #[test]
    fn parts_parse() {
        assert_eq!("decoder".parse::<Parts>().unwrap(), Parts::Decoder);
        assert!(Parts::Encoder.encoder() && !Parts::Encoder.decoder());
        let error = "half".parse::<Parts>().unwrap_err().to_string();
        assert!(error.contains("parts") && error.contains("half"), "{error}");
    }
}
