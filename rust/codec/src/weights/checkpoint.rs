//! A plan's tensors in the files of a checkpoint, checked and read by their canonical names.

use std::collections::{BTreeMap, BTreeSet};

use safetensors::Dtype;

use super::Files;
use super::file::TensorFiles;
use super::fingerprint::{Fingerprints, Sums};
use super::layout::{Layout, Location, half_split_rows, is_weight_norm};
use crate::error::{Error, Result};
use crate::parts::Parts;
use crate::plan::{Kind, Part, TensorSpec};

/// The tensors of a codec in its files. They are read when asked for.
pub(crate) struct Checkpoint<'a> {
    pub(super) files: TensorFiles<'a>,
    /// By canonical name.
    pub(super) tensors: BTreeMap<String, (TensorSpec, Location)>,
    prefix: String,
    layout: &'static Layout,
    sums: Sums,
}

impl<'a> Checkpoint<'a> {
    /// The tensors `specs` under a layout and prefix.
    ///
    /// # Errors
    /// [`Error::File`] for weights that are split by weight norm.
    pub(crate) fn new(
        files: Files<'a>,
        prefix: String,
        layout: &'static Layout,
        specs: Vec<TensorSpec>,
    ) -> Result<Self> {
        let files = files.tensors;
        if let Some(name) = files.names().find(|name| name.starts_with(&prefix) && is_weight_norm(name)) {
            let message = format!(
                "expected plain weights, got weight norm in tensor `{name}`; remove the weight norm and save the model again"
            );
            return Err(Error::file(files.path(), message));
        }
        let locate = |spec: TensorSpec| {
            let location = layout.locate(&spec, &prefix, |name| files.contains(name));
            (spec.name.clone(), (spec, location))
        };
        let tensors = specs.into_iter().map(locate).collect();
        Ok(Self { files, tensors, prefix, layout, sums: Sums::default() })
    }

    /// The spelling of the names.
    pub(crate) fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// What stands before every name of the codec, such as `"codec_model."`; usually nothing.
    #[cfg(test)]
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The halves of the codec that the checkpoint has: one of two is missing where none of its tensors is there.
    pub(crate) fn parts(&self) -> Parts {
        let missing = |part| {
            let mut own = self.tensors.values().filter(|(spec, _)| spec.part == part).peekable();
            own.peek().is_some() && own.all(|(_, place)| !self.files.contains(&place.name))
        };
        match (missing(Part::Encoder), missing(Part::Decoder)) {
            (false, true) => Parts::Encoder,
            (true, false) => Parts::Decoder,
            _ => Parts::Both,
        }
    }

    /// Checks, before any data is read, that all of `needed` is there with the right shapes, and that the codec has no
    /// tensors besides those of its plan.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorShape`], [`Error::TensorDtype`] or [`Error::SurplusTensors`].
    pub(crate) fn check(&self, needed: &[TensorSpec]) -> Result<()> {
        for spec in needed.iter().filter(|spec| spec.kind != Kind::Flag) {
            self.stored(&spec.name)?;
        }
        let known: BTreeSet<&str> = self.tensors.values().map(|(_, location)| location.name.as_str()).collect();
        let surplus: Vec<String> = self
            .files
            .names()
            .filter(|name| name.starts_with(&self.prefix) && !known.contains(name))
            .filter(|name| !(self.layout.ignored)(&name[self.prefix.len()..]))
            .map(String::from)
            .collect();
        if surplus.is_empty() { Ok(()) } else { Err(Error::SurplusTensors { names: surplus }) }
    }

    /// The values of a tensor in float32, by its canonical name, in the shape of its [`TensorSpec`].
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorShape`], [`Error::TensorDtype`]; [`Error::TensorValue`] for NaN and
    /// infinity; [`Error::File`] if the file cannot be read.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        self.read_into(name, &mut values)?;
        Ok(values)
    }

    /// [`Checkpoint::read`], appended to `values`: who reads many tensors keeps one buffer.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`].
    pub(crate) fn read_into(&self, name: &str, values: &mut Vec<f32>) -> Result<()> {
        let (spec, location, dtype) = self.stored(name)?;
        let old = values.len();
        if dtype == Dtype::F32 && location.interleaved.is_none() && cfg!(target_endian = "little") {
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

    /// The sums of the tensors that were read.
    pub(crate) fn into_fingerprints(self) -> Fingerprints {
        self.sums.take()
    }

    /// A tensor's place, after its presence, shape and type are checked.
    pub(super) fn stored(&self, name: &str) -> Result<(&TensorSpec, &Location, Dtype)> {
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
    pub(super) fn bytes(&self, spec: &TensorSpec, location: &Location) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.files.read(&location.name, location.rows.as_ref(), &mut bytes)?;
        let Some(head_dim) = location.interleaved else {
            return Ok(bytes);
        };
        let rows = spec.shape.first().copied().unwrap_or(1).max(1);
        Ok(half_split_rows(&bytes, bytes.len() / rows, head_dim))
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
