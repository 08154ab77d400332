//! The header of a safetensors file, for token files: models are read by the core.

use std::collections::HashMap;

use pyo3::prelude::*;
use safetensors::SafeTensors;

use crate::errors::raise;

const LONGEST_REASON: usize = 200; // of an error's text, which may quote the file

/// Name, element type, shape, and where the bytes begin and end in the file.
type Entry = (String, String, Vec<usize>, usize, usize);

/// The metadata of a whole file, and its tensors. All offsets lie inside of `data` and fit the shapes.
#[pyfunction]
pub(crate) fn safetensors_entries(py: Python<'_>, data: &[u8]) -> PyResult<(HashMap<String, String>, Vec<Entry>)> {
    let (size, header) = SafeTensors::read_metadata(data).map_err(|error| {
        let reason: String = error.to_string().chars().take(LONGEST_REASON).collect();
        raise(py, "LoadError", format!("not a whole safetensors file: {reason}"))
    })?;
    let start = size_of::<u64>() + size;
    let mut entries: Vec<Entry> = header
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            let (first, last) = info.data_offsets;
            (name, info.dtype.to_string(), info.shape.clone(), start + first, start + last)
        })
        .collect();
    entries.sort_by(|one, other| (one.3, &one.0).cmp(&(other.3, &other.0)));
    Ok((header.metadata().clone().unwrap_or_default(), entries))
}
