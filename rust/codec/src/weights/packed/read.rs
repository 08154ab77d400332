//! Reads packed files: arrays where they lie, after all that can be checked of them without reading them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crc32fast::Hasher;
use mimi_kernels::{Map, Number, Numbers, Precision};
use safetensors::Dtype;

use super::{ALIGNMENT, Description, ENTRY};
use crate::error::{Error, Result};
use crate::options::{Device, LoadOptions};
use crate::weights::Files;
use crate::weights::bytes::{Bytes, Memory};
use crate::weights::file::TensorFile;

/// The arrays of a packed file.
pub(crate) struct Packed<'a> {
    path: PathBuf,
    pub(crate) description: Description,
    memory: Memory<'a>,
    arrays: BTreeMap<String, Place>,
}

/// A packed file in use.
pub(crate) struct Mapped {
    path: PathBuf,
    map: Arc<Map>,
}

impl Mapped {
    /// Refuses a file that was changed since it was mapped. Of one that was made shorter, what is gone cannot be read: the
    /// system ends a process that tries. So this is asked before each block of frames.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn check(&self) -> Result<()> {
        if self.map.is_unchanged() {
            return Ok(());
        }
        let message =
            "expected packed weights as they were when they were loaded, got a file that was written to since";
        Err(Error::file(&self.path, format!("{message}: load it again")))
    }
}

/// Where an array lies.
struct Place {
    dtype: Dtype,
    /// The bytes in the file.
    bytes: Range<usize>,
}

impl<'a> Files<'a> {
    /// What the files say of packed weights, if that is what they hold.
    ///
    /// # Errors
    /// [`Error::File`] for a damaged description, or one of another version.
    pub(crate) fn packed(&self) -> Result<Option<Description>> {
        self.tensors.note(ENTRY).map(|entry| Description::parse(self.path(), entry)).transpose()
    }

    /// The packed weights of a description that the files gave.
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be mapped.
    pub(crate) fn into_packed(self, description: Description) -> Result<Packed<'a>> {
        let path = self.path().to_path_buf();
        let TensorFile { bytes, data_start, entries, .. } = self.tensors.into_only()?;
        let in_memory = |at: u64| usize::try_from(data_start + at).unwrap_or(usize::MAX);
        let places = entries.into_iter().map(|(name, entry)| {
            let bytes = in_memory(entry.bytes.start)..in_memory(entry.bytes.end);
            (name, Place { dtype: entry.dtype, bytes })
        });
        let arrays = places.collect();
        let memory =
            bytes.into_memory().map_err(|error| Error::file(&path, format!("cannot map the file: {error}")))?;
        Ok(Packed { path, description, memory, arrays })
    }
}

impl Packed<'_> {
    /// Refuses options that the arrays are not for. Fewer codebooks than there are, and one of two halves, can be had.
    ///
    /// # Errors
    /// [`Error::Config`] that says with which options to load them; [`Error::Device`] for another device, [`Error::File`] for
    /// another processor's arrays.
    pub(crate) fn check(&self, options: &LoadOptions, layout: &str) -> Result<()> {
        let Description { dtype, parts, module, .. } = &self.description;
        let of_option = |field: &str, there: &str, asked: &str| {
            let again = "load it so, or pack the weights again as they are wanted";
            let message = format!("expected {there:?}, as the weights are packed, got {asked:?}: {again}");
            Err(Error::config(field, message))
        };
        if options.dtype.as_str() != dtype {
            return of_option("dtype", dtype, options.dtype.as_str());
        }
        if parts != "both" && options.parts.as_str() != parts {
            return of_option("parts", parts, options.parts.as_str());
        }
        if let Some(asked) = options.module.as_deref().filter(|asked| asked != module) {
            return of_option("module", module, asked);
        }
        if options.device != Device::Cpu {
            let message = format!("expected device cpu for packed weights, got {}", options.device);
            return Err(Error::Device(message));
        }
        if self.description.layout != layout {
            let there = &self.description.layout;
            let message = format!("expected weights packed for {layout}, which runs here, got some for {there}");
            return Err(Error::file(&self.path, format!("{message}: pack them again on this machine")));
        }
        Ok(())
    }

    /// A layer's arrays.
    pub(crate) fn layer<'b>(&'b self, name: &'b str) -> Layer<'b> {
        Layer { packed: self, name }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file that the arrays are views of; none for weights in memory.
    pub(crate) fn mapped(&self) -> Option<Mapped> {
        match &self.memory {
            Memory::Mapped(map) => Some(Mapped { path: self.path.clone(), map: Arc::clone(map) }),
            Memory::Bytes(_) => None,
        }
    }

    fn find<T: Number>(&self, name: &str, len: usize) -> Result<Numbers<T>> {
        let wrong = |got: String| {
            let expected = format!("expected array `{name}` of {len} numbers of {}", dtype_of::<T>());
            Error::file(&self.path, format!("{expected}, got {got}: pack the weights again"))
        };
        let Some(Place { dtype, bytes }) = self.arrays.get(name) else {
            return Err(wrong("none".into()));
        };
        let needed = len.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_next_multiple_of(ALIGNMENT));
        if *dtype != dtype_of::<T>() || needed != Some(bytes.len()) {
            return Err(wrong(format!("{} bytes of {dtype}", bytes.len())));
        }
        let numbers = match &self.memory {
            Memory::Mapped(map) => map.numbers(bytes.start, len),
            Memory::Bytes(all) => all.get(bytes.start..bytes.start + len * size_of::<T>()).and_then(Numbers::copied),
        };
        numbers.ok_or_else(|| wrong(format!("bytes that are not there or not aligned, from {} on", bytes.start)))
    }
}

/// The arrays of one layer.
pub(crate) struct Layer<'a> {
    packed: &'a Packed<'a>,
    name: &'a str,
}

impl mimi_kernels::Arrays for Layer<'_> {
    type Error = Error;

    fn find<T: Number>(&self, name: &str, len: usize) -> Result<Numbers<T>> {
        self.packed.find(&format!("{}.{name}", self.name), len)
    }
}

/// How safetensors calls numbers.
pub(super) fn dtype_of_precision(precision: Precision) -> Dtype {
    match precision {
        Precision::Float32 => Dtype::F32,
        Precision::Bfloat16 => Dtype::BF16,
        Precision::Int8 => Dtype::I8,
    }
}

fn dtype_of<T: Number>() -> Dtype {
    dtype_of_precision(T::PRECISION)
}

/// Reads all of a packed file and compares each array with its checksum. Loading does not read the arrays; this finds what
/// was damaged since they were packed. It can be done on any processor.
///
/// # Errors
/// [`Error::File`] for a file that cannot be read, is not packed, or is damaged: the error names the array.
pub fn check_packed(path: &Path) -> Result<()> {
    const PIECE: usize = 1 << 20;
    let bytes = Bytes::open(path)?;
    let file = TensorFile::new(path, bytes)?;
    let Some(entry) = file.notes.get(ENTRY) else {
        return Err(Error::file(path, "expected packed weights, got a safetensors file of another kind"));
    };
    let sums = Description::parse(path, entry)?.sums;
    let missing = sums.keys().find(|name| !file.entries.contains_key(*name));
    if let Some(name) = missing.or_else(|| file.entries.keys().find(|name| !sums.contains_key(*name))) {
        return Err(Error::file(path, format!("expected an array and a checksum `{name}`, got only one of them")));
    }
    let mut piece = vec![0; PIECE];
    for (name, entry) in &file.entries {
        let mut hasher = Hasher::new();
        let (mut at, end) = (file.data_start + entry.bytes.start, file.data_start + entry.bytes.end);
        while at < end {
            let piece = &mut piece[..PIECE.min((end - at) as usize)];
            file.bytes
                .read_at(piece, at)
                .map_err(|error| Error::file(path, format!("cannot read array `{name}`: {error}")))?;
            hasher.update(piece);
            at += piece.len() as u64;
        }
        let (expected, got) = (sums[name], hasher.finalize());
        if expected != got {
            let message = format!("expected checksum {expected:08x} of array `{name}`, got {got:08x}: it is damaged");
            return Err(Error::file(path, message));
        }
    }
    Ok(())
}
