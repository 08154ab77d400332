//! Packed files: weights as the kernels of one kind of processor read them, to be mapped and not read; and compact files, the
//! same for all processors and as small as can be, to be read.
//!
//! Either is a safetensors file. Each array of a layer is a tensor of one axis, `{layer}.{array}`, which begins at a
//! multiple of 64 bytes and is filled up with zeros to one. One entry of the metadata says what the arrays are: a checksum of
//! eight hexadecimal digits, a space, and a [`Description`] as JSON. In a compact file floats that bfloat16 has exactly are
//! stored so, and what can be made of other arrays is not there.

mod read;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
pub use read::check_packed;
pub(crate) use read::{Layer, Mapped, Packed};
pub(crate) use write::write;

/// The entry of the metadata.
const ENTRY: &str = "mimi_packed";
/// Changes with what the arrays mean, or which there are.
const VERSION: u64 = 2;
/// Digits of a checksum.
const SUM_LEN: usize = 8;
/// Bytes that arrays begin and end at a multiple of: a cache line.
const ALIGNMENT: usize = 64;

/// What the arrays of a file are.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Description {
    /// Set when it is written, as are the sums of the arrays.
    pub(crate) version: u64,
    /// The instruction set for whose kernels they are arranged. Those of others arrange them anew.
    pub(crate) layout: String,
    /// Whether the file is to be small rather than mapped.
    pub(crate) compact: bool,
    /// The kind of the codec, the module of a larger model that it was, and its `config.json`.
    pub(crate) codec: String,
    pub(crate) module: String,
    pub(crate) config: Value,
    /// What of the codec there is, and how it is kept.
    pub(crate) dtype: String,
    pub(crate) parts: String,
    pub(crate) num_codebooks: usize,
    /// The sums of the tensors that they were made of, by canonical name.
    pub(crate) fingerprints: BTreeMap<String, u32>,
    /// The sum of each array.
    pub(crate) sums: BTreeMap<String, u32>,
}

impl Description {
    /// What is in an entry of the metadata.
    fn parse(path: &Path, entry: &str) -> Result<Self> {
        let damaged =
            |what: &str| Error::file(path, format!("the description of the packed weights is damaged: {what}"));
        let (sum, text) = entry.split_at_checked(SUM_LEN).ok_or_else(|| damaged("it is too short"))?;
        let text = text.strip_prefix(' ').ok_or_else(|| damaged("expected a space after the checksum"))?;
        if sum != checksum(text) {
            return Err(damaged("the checksum is another"));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| damaged(&error.to_string()))?;
        let version = value.get("version").and_then(Value::as_u64);
        if version != Some(VERSION) {
            let got = version.map_or("none".into(), |version| version.to_string());
            let message = format!("expected packed weights of version {VERSION}, got {got}: pack them again");
            return Err(Error::file(path, message));
        }
        serde_json::from_value(value).map_err(|error| damaged(&error.to_string()))
    }

    /// The entry of the metadata.
    fn entry(&self) -> serde_json::Result<String> {
        let text = serde_json::to_string(self)?;
        Ok(format!("{} {text}", checksum(&text)))
    }
}

fn checksum(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}
