//! Reads packed files: arrays where they lie, after all that can be checked of them without reading them; and compact files,
//! array by array.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crc32fast::Hasher;
use mimi_kernels::{Map, Number, Numbers, Precision, simd::Level};
use safetensors::Dtype;

use super::{ALIGNMENT, Description, ENTRY};
use crate::error::{Error, Result};
use crate::options::{Device, LoadOptions};
use crate::weights::Files;
use crate::weights::bytes::Bytes;
use crate::weights::file::TensorFile;

/// The arrays of a packed file.
pub(crate) struct Packed<'a> {
    path: PathBuf,
    pub(crate) description: Description,
    /// Floats in a vector of a product's tile, where they were arranged.
    tile_lanes: usize,
    memory: Memory<'a>,
    arrays: BTreeMap<String, Place>,
}

/// Where arrays come from.
enum Memory<'a> {
    /// Views of a file.
    Mapped(Arc<Map>),
    /// Copies.
    Read(Bytes<'a>),
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
    /// [`Error::File`] for a file that cannot be mapped, or weights that are arranged in a way that is not known.
    pub(crate) fn into_packed(self, description: Description) -> Result<Packed<'a>> {
        let path = self.path().to_path_buf();
        let TensorFile { bytes, data_start, entries, .. } = self.tensors.into_only()?;
        let in_memory = |at: u64| usize::try_from(data_start + at).unwrap_or(usize::MAX);
        let places = entries.into_iter().map(|(name, entry)| {
            let bytes = in_memory(entry.bytes.start)..in_memory(entry.bytes.end);
            (name, Place { dtype: entry.dtype, bytes })
        });
        let arrays = places.collect();
        let Some(tile_lanes) = Level::tile_lanes_of(&description.layout) else {
            let got = &description.layout;
            let message = format!("expected weights packed for avx512, avx2, neon or portable, got some for {got}");
            return Err(Error::file(&path, format!("{message}: pack them again")));
        };
        // What kernels do not read as it lies is arranged again, and then need not be mapped.
        let memory = if description.compact || tile_lanes != Level::detect().tile_lanes() {
            Memory::Read(bytes)
        } else {
            let mapped = bytes.map().map_err(|error| Error::file(&path, format!("cannot map the file: {error}")))?;
            mapped.map_or_else(Memory::Read, Memory::Mapped)
        };
        Ok(Packed { path, description, tile_lanes, memory, arrays })
    }
}

impl Packed<'_> {
    /// Refuses options that the arrays are not for. Fewer codebooks than there are, and one of two halves, can be had.
    ///
    /// # Errors
    /// [`Error::Config`] that says with which options to load them; [`Error::Device`] for another device.
    pub(crate) fn check(&self, options: &LoadOptions) -> Result<()> {
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
        Ok(())
    }

    /// A layer's arrays.
    pub(crate) fn layer<'b>(&'b self, name: &'b str) -> Layer<'b> {
        Layer { packed: self, name: name.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file that the arrays are views of; none for weights in memory.
    pub(crate) fn mapped(&self) -> Option<Mapped> {
        match &self.memory {
            Memory::Mapped(map) => Some(Mapped { path: self.path.clone(), map: Arc::clone(map) }),
            Memory::Read(_) => None,
        }
    }

    /// The array `name` of `len` numbers, to be `kept` or copied; floats may be stored in bfloat16.
    fn find<T: Number>(&self, name: &str, len: usize, kept: bool) -> Result<Numbers<T>> {
        let expected = format!("expected array `{name}` of {len} numbers of {}", dtype_of::<T>());
        let wrong = |got: &str| Error::file(&self.path, format!("{expected}, got {got}: pack the weights again"));
        let place = self.arrays.get(name).ok_or_else(|| wrong("none"))?;
        if place.dtype == Dtype::BF16 && dtype_of::<T>() == Dtype::F32 {
            return Numbers::of_bfloat16(&self.stored(name, place, len, false, wrong)?).ok_or_else(|| wrong("others"));
        }
        self.stored(name, place, len, kept, wrong)
    }

    /// The same of numbers as they are stored.
    fn stored<T: Number>(
        &self,
        name: &str,
        Place { dtype, bytes }: &Place,
        len: usize,
        kept: bool,
        wrong: impl Fn(&str) -> Error,
    ) -> Result<Numbers<T>> {
        let size = len.checked_mul(size_of::<T>());
        let needed = size.and_then(|size| size.checked_next_multiple_of(ALIGNMENT));
        if *dtype != dtype_of::<T>() || needed != Some(bytes.len()) {
            return Err(wrong(&format!("{} bytes of {dtype}", bytes.len())));
        }
        match &self.memory {
            Memory::Mapped(map) => map
                .numbers(bytes.start, len)
                .ok_or_else(|| wrong(&format!("bytes that are not there or not aligned, from {} on", bytes.start))),
            Memory::Read(from) => Numbers::read(len, kept, |into| {
                from.read_at(into, bytes.start as u64)
                    .map_err(|error| Error::file(&self.path, format!("cannot read array `{name}`: {error}")))?;
                let mut hasher = Hasher::new();
                hasher.update(into);
                hasher.update(&[0; ALIGNMENT][..bytes.len() - into.len()]);
                self.check_sum(name, hasher.finalize())
            }),
        }
    }

    /// Refuses an array whose checksum is not the one that it had.
    fn check_sum(&self, name: &str, got: u32) -> Result<()> {
        match self.description.sums.get(name) {
            Some(&expected) if expected == got => Ok(()),
            expected => Err(damaged(&self.path, name, expected.copied().unwrap_or_default(), got)),
        }
    }
}

/// The arrays of one layer.
#[derive(Clone)]
pub(crate) struct Layer<'a> {
    packed: &'a Packed<'a>,
    name: Cow<'a, str>,
}

impl Layer<'_> {
    /// Those of a part of it.
    pub(crate) fn part(&self, part: &str) -> Self {
        Self { packed: self.packed, name: format!("{}.{part}", self.name).into() }
    }
}

impl mimi_kernels::Arrays for Layer<'_> {
    type Error = Error;

    fn tile_lanes(&self) -> usize {
        self.packed.tile_lanes
    }

    fn contains(&self, name: &str) -> bool {
        self.packed.arrays.contains_key(&format!("{}.{name}", self.name))
    }

    fn find<T: Number>(&self, name: &str, len: usize) -> Result<Numbers<T>> {
        self.packed.find(&format!("{}.{name}", self.name), len, true)
    }

    fn find_to_copy<T: Number>(&self, name: &str, len: usize) -> Result<Numbers<T>> {
        self.packed.find(&format!("{}.{name}", self.name), len, false)
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
            return Err(damaged(path, name, expected, got));
        }
    }
    Ok(())
}

fn damaged(path: &Path, name: &str, expected: u32, got: u32) -> Error {
    let message = format!("expected checksum {expected:08x} of array `{name}`, got {got:08x}: it is damaged");
    Error::file(path, message)
}
