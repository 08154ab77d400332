//! Between NumPy arrays and the core's values.
//!
//! Python has codes and latents as `(batch, channels, frames)`, the core frame by frame; rows of a batch may end early.

use mimi_codec::{Codes, Error, Latents};
use numpy::ndarray::{Array2, Array3};
use numpy::{IntoPyArray, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;

use crate::errors::{raise, to_python};

/// The code of no frame: where a row has fewer frames than the longest.
const NO_CODE: i64 = -1;

/// The floats of a contiguous array.
pub(crate) fn pcm_slice<'a>(py: Python<'_>, pcm: &'a PyReadonlyArray2<'_, f32>) -> PyResult<&'a [f32]> {
    pcm.as_slice().map_err(|_| raise(py, "InputTypeError", "expected a C-contiguous array"))
}

/// The lengths of the rows of a batch, each at most `longest`.
pub(crate) fn check_lengths(py: Python<'_>, lengths: &[usize], rows: usize, longest: usize) -> PyResult<()> {
    if lengths.len() == rows && lengths.iter().all(|&length| length <= longest) {
        return Ok(());
    }
    let message = format!("expected {rows} lengths between 0 and {longest}, got {lengths:?}");
    Err(raise(py, "AudioError", message))
}

/// A mask of the sessions of a stream.
pub(crate) fn mask(
    py: Python<'_>,
    mask: Option<PyReadonlyArray1<'_, bool>>,
    sessions: usize,
) -> PyResult<Option<Vec<bool>>> {
    let Some(mask) = mask else { return Ok(None) };
    let mask = mask.as_array().to_vec();
    if mask.len() == sessions {
        return Ok(Some(mask));
    }
    let message = format!("expected a mask with one value for each of the {sessions} rows, got {} values", mask.len());
    Err(raise(py, "StreamError", message))
}

/// Codes `(K, T)` of each row of `(B, K, T)`, the first `lengths[b]` frames of each.
pub(crate) fn codes_in(
    py: Python<'_>,
    codes: &PyReadonlyArray3<'_, i64>,
    lengths: impl Fn(usize) -> usize,
    codebook_size: usize,
) -> PyResult<Vec<Codes>> {
    let array = codes.as_array();
    let codebooks = array.shape()[1];
    let mut rows = Vec::with_capacity(array.shape()[0]);
    for (b, row) in array.outer_iter().enumerate() {
        let frames = lengths(b);
        let mut data = Vec::with_capacity(codebooks * frames);
        for frame in 0..frames {
            for codebook in 0..codebooks {
                let code = row[(codebook, frame)];
                let valid = u32::try_from(code).ok().filter(|&code| (code as usize) < codebook_size);
                let Some(code) = valid else {
                    return Err(to_python(py, &Error::code_out_of_range(code, codebook_size, codebook, frame)));
                };
                data.push(code);
            }
        }
        rows.push(Codes { codebooks, data });
    }
    Ok(rows)
}

/// `(B, K, T)` with `T` the most frames of a row; -1 where a row has none.
pub(crate) fn codes_out<'py>(py: Python<'py>, rows: &[Codes], codebooks: usize) -> Bound<'py, PyArray3<i64>> {
    let frames = rows.iter().map(Codes::frames).max().unwrap_or(0);
    let mut array = Array3::from_elem((rows.len(), codebooks, frames), NO_CODE);
    for (mut out, row) in array.outer_iter_mut().zip(rows) {
        for (frame, codes) in row.data.chunks_exact(codebooks).enumerate() {
            for (codebook, &code) in codes.iter().enumerate() {
                out[(codebook, frame)] = i64::from(code);
            }
        }
    }
    array.into_pyarray(py)
}

/// Latents of each row of `(B, D, T)`, the first `lengths[b]` frames of each.
pub(crate) fn latents_in(latents: &PyReadonlyArray3<'_, f32>, lengths: impl Fn(usize) -> usize) -> Vec<Latents> {
    let array = latents.as_array();
    let dim = array.shape()[1];
    let row = |(b, row): (usize, numpy::ndarray::ArrayView2<'_, f32>)| {
        let frames = lengths(b);
        let data = (0..frames).flat_map(|frame| (0..dim).map(move |d| (d, frame))).map(|at| row[at]).collect();
        Latents { dim, data }
    };
    array.outer_iter().enumerate().map(row).collect()
}

/// `(B, D, T)` with `T` the most frames of a row; zeros where a row has none.
pub(crate) fn latents_out<'py>(py: Python<'py>, rows: &[Latents], dim: usize) -> Bound<'py, PyArray3<f32>> {
    let frames = rows.iter().map(Latents::frames).max().unwrap_or(0);
    let mut array = Array3::zeros((rows.len(), dim, frames));
    for (mut out, row) in array.outer_iter_mut().zip(rows) {
        for (frame, values) in row.data.chunks_exact(dim).enumerate() {
            for (d, &value) in values.iter().enumerate() {
                out[(d, frame)] = value;
            }
        }
    }
    array.into_pyarray(py)
}

/// `(B, samples)`, each row filled up with zeros. A single row of that length is handed over without a copy.
pub(crate) fn pcm_out<'py>(
    py: Python<'py>,
    mut rows: Vec<Vec<f32>>,
    samples: usize,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    if rows.len() == 1 && rows[0].len() == samples {
        return rows.remove(0).into_pyarray(py).reshape([1, samples]);
    }
    let mut array = Array2::zeros((rows.len(), samples));
    for (mut out, row) in array.outer_iter_mut().zip(&rows) {
        out.iter_mut().zip(row).for_each(|(out, &sample)| *out = sample);
    }
    Ok(array.into_pyarray(py))
}
