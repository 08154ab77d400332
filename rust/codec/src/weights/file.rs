//! Safetensors files, read tensor by tensor at the positions that their headers give.
//!
//! Tensors are not mapped (a file truncated under a map would kill the process; `packed/` says what packed files do about
//! that), and no file is read as a whole. A file may also lie in memory. Every size is checked against the file's length before memory is asked for.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde_json::Value;

use super::bytes::Bytes;
use crate::error::{Error, Result};

/// Largest header, as in the safetensors format.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes before the header: its length.
const LENGTH_BYTES: u64 = 8;

/// A tensor's entry in a file's header.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// The bytes in the file.
    pub(super) bytes: Range<u64>,
}

/// The tensors of one file, or of several under an index. Files are opened when the first of their tensors is asked for.
pub(super) struct TensorFiles<'a> {
    path: PathBuf,
    shards: Vec<Shard<'a>>,
    /// The shard of each tensor.
    shard_of: BTreeMap<String, usize>,
}

enum Shard<'a> {
    Open(TensorFile<'a>),
    /// One that an index names, open once it was asked for.
    Listed(PathBuf, OnceLock<TensorFile<'static>>),
}

impl<'a> TensorFiles<'a> {
    /// Opens a `.safetensors` file, or an index (`.json`) of several.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path.extension().is_some_and(|extension| extension == "json") {
            return Self::open_index(path);
        }
        Self::of_one(path, Bytes::open(path)?)
    }

    /// The tensors of one file, which is called `path`.
    pub(super) fn of_one(path: &Path, bytes: Bytes<'a>) -> Result<Self> {
        let file = TensorFile::new(path, bytes)?;
        let shard_of = file.entries.keys().map(|name| (name.clone(), 0)).collect();
        Ok(Self { path: path.into(), shards: vec![Shard::Open(file)], shard_of })
    }

    fn open_index(path: &Path) -> Result<Self> {
        let index = read_json(path, &Bytes::open(path)?)?;
        let Some(weight_map) = index.get("weight_map").and_then(Value::as_object) else {
            return Err(Error::file(path, "expected an index with an object `weight_map`, which is missing"));
        };
        let mut number_of: BTreeMap<&str, usize> = BTreeMap::new();
        let mut shard_of = BTreeMap::new();
        for (name, file) in weight_map {
            let Some(file) = file.as_str().filter(|file| is_file_name(file)) else {
                let message = format!("expected `weight_map` to give a file beside it for tensor `{name}`, got {file}");
                return Err(Error::file(path, message));
            };
            let next = number_of.len();
            shard_of.insert(name.clone(), *number_of.entry(file).or_insert(next));
        }
        let mut files: Vec<_> =
            number_of.into_iter().map(|(file, number)| (number, path.with_file_name(file))).collect();
        files.sort();
        let shards = files.into_iter().map(|(_, path)| Shard::Listed(path, OnceLock::new())).collect();
        Ok(Self { path: path.into(), shards, shard_of })
    }

    /// The file or index that was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All tensors' names, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.shard_of.keys().map(String::as_str)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.shard_of.contains_key(name)
    }

    /// What the header of the only file says under a name.
    pub(super) fn note(&self, name: &str) -> Option<&str> {
        match self.shards.as_slice() {
            [Shard::Open(file)] => file.notes.get(name).map(String::as_str),
            _ => None,
        }
    }

    /// The only file.
    pub(super) fn into_only(mut self) -> Result<TensorFile<'a>> {
        match (self.shards.pop(), self.shards.is_empty()) {
            (Some(Shard::Open(file)), true) => Ok(file),
            _ => Err(Error::file(self.path, "expected one file, got an index of several")),
        }
    }

    /// A tensor's entry, or nothing if there is no such tensor.
    pub(super) fn entry(&self, name: &str) -> Result<Option<&Entry>> {
        Ok(self.find(name)?.map(|(_, entry)| entry))
    }

    /// Appends some rows (of the first axis) of a tensor, or all of it, to `values`, as they are stored.
    ///
    /// The caller has compared the tensor's shape with the one that it expects.
    pub(super) fn read<T: bytemuck::Pod>(
        &self,
        name: &str,
        rows: Option<&Range<usize>>,
        values: &mut Vec<T>,
    ) -> Result<()> {
        let Some((file, entry)) = self.find(name)? else {
            return Err(Error::MissingTensor { name: name.into(), expected: Vec::new() });
        };
        let total = entry.bytes.end - entry.bytes.start;
        let mut range = 0..total;
        if let Some(rows) = rows {
            let all = entry.shape.first().copied().unwrap_or(1).max(1) as u64;
            let row = total / all;
            range = (rows.start as u64).min(all) * row..(rows.end as u64).min(all) * row;
        }
        let length = usize::try_from(range.end.saturating_sub(range.start))
            .map_err(|_| Error::file(&file.path, format!("tensor `{name}` does not fit in memory")))?;
        // What is stored is a whole number of values: the header says so, and is checked when a file is opened.
        let old = values.len();
        values.resize(old + length / size_of::<T>(), T::zeroed());
        let at = file.data_start + entry.bytes.start + range.start;
        file.bytes.read_at(bytemuck::cast_slice_mut(&mut values[old..]), at).map_err(|error| {
            Error::file(&file.path, format!("cannot read the {length} bytes of tensor `{name}`: {error}"))
        })?;
        Ok(())
    }

    fn find(&self, name: &str) -> Result<Option<(&TensorFile<'_>, &Entry)>> {
        let Some(shard) = self.shard_of.get(name).and_then(|&shard| self.shards.get(shard)) else {
            return Ok(None);
        };
        let file = match shard {
            Shard::Open(file) => file,
            Shard::Listed(path, opened) => match opened.get() {
                Some(file) => file,
                None => {
                    let file = TensorFile::new(path, Bytes::open(path)?)?;
                    opened.get_or_init(|| file)
                }
            },
        };
        match file.entries.get(name) {
            Some(entry) => Ok(Some((file, entry))),
            None => Err(Error::file(
                &file.path,
                format!("tensor `{name}` is missing, although the index says that it is in this file"),
            )),
        }
    }
}

/// One open safetensors file.
pub(super) struct TensorFile<'a> {
    path: PathBuf,
    pub(super) bytes: Bytes<'a>,
    /// Where the tensors' bytes begin.
    pub(super) data_start: u64,
    pub(super) entries: BTreeMap<String, Entry>,
    /// What else the header says, by name.
    pub(super) notes: HashMap<String, String>,
}

impl<'a> TensorFile<'a> {
    /// Reads the header.
    pub(super) fn new(path: &Path, bytes: Bytes<'a>) -> Result<Self> {
        let corrupt = |message: String| Error::file(path, message);
        let length = bytes.length();
        if length < LENGTH_BYTES {
            return Err(corrupt(format!("expected a safetensors file, got a file of only {length} bytes")));
        }
        let mut head = [0; LENGTH_BYTES as usize];
        bytes.read_at(&mut head, 0).map_err(|error| corrupt(error.to_string()))?;
        if let Some(kind) = other_format(&head) {
            return Err(corrupt(format!("expected a safetensors file, got {kind}")));
        }
        let header_length = u64::from_le_bytes(head);
        if header_length > MAX_HEADER.min(length - LENGTH_BYTES) {
            return Err(corrupt(format!(
                "expected a safetensors header within the file's {length} bytes (at most {MAX_HEADER}), got a length of \
                 {header_length} bytes: the file is truncated or corrupt"
            )));
        }
        let mut header = vec![0; header_length as usize];
        bytes.read_at(&mut header, LENGTH_BYTES).map_err(|error| corrupt(error.to_string()))?;
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|error| corrupt(format!("this is not a safetensors header: {error}")))?;
        let data_start = LENGTH_BYTES + header_length;
        let expected = data_start.saturating_add(metadata.data_len() as u64);
        if expected != length {
            return Err(corrupt(format!("expected {expected} bytes, got {length}: the file is truncated or corrupt")));
        }
        let entries = metadata.tensors().into_iter().map(|(name, info)| {
            let bytes = info.data_offsets.0 as u64..info.data_offsets.1 as u64;
            (name, Entry { dtype: info.dtype, shape: info.shape.clone(), bytes })
        });
        let notes = metadata.metadata().clone().unwrap_or_default();
        Ok(Self { path: path.into(), entries: entries.collect(), data_start, bytes, notes })
    }
}

/// Parses a JSON file of moderate size.
pub(super) fn read_json(path: &Path, bytes: &Bytes<'_>) -> Result<Value> {
    let length = bytes.length();
    if length > MAX_HEADER {
        return Err(Error::file(path, format!("expected at most {MAX_HEADER} bytes of JSON, got {length}")));
    }
    let mut text = vec![0; length as usize];
    bytes.read_at(&mut text, 0).map_err(|error| Error::file(path, error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| Error::file(path, format!("this is not valid JSON: {error}")))
}

/// What a file is that begins so and is no safetensors file.
fn other_format(head: &[u8; 8]) -> Option<&'static str> {
    const CONVERT: &str = "a PyTorch pickle; load it in PyTorch and save it with safetensors";
    match head {
        [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => Some(CONVERT),
        b"version " => Some("a Git LFS pointer; fetch the file itself (`git lfs pull`)"),
        [b'G', b'G', b'U', b'F', ..] => Some("a GGUF file"),
        _ => None,
    }
}

/// Whether a string names a file in the same directory.
pub(super) fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_stay_in_their_directory() {
        assert!(is_file_name("model-00001-of-00002.safetensors"));
        for name in ["", ".", "..", "../x", "/etc/passwd", "a/b"] {
            assert!(!is_file_name(name), "{name}");
        }
    }
}
