//! Between NumPy arrays and the core's values.
//!
//! Python has codes and latents as `(batch, channels, frames)`, the core frame by frame; rows of a batch may end early.

use mimi_codec::{Codes, Error, Latents, Result, StopFn};
use numpy::ndarray::Array3;
use numpy::{IntoPyArray, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;

use crate::errors::{raise, to_python};
use crate::interrupt::{Limits, detached_until};

/// The code of no frame: where a row has fewer frames than the longest.
const NO_CODE: i64 = -1;

/// The floats of a contiguous array.
pub(crate) fn pcm_slice<'a>(py: Python<'_>, pcm: &'a PyReadonlyArray2<'_, f32>) -> PyResult<&'a [f32]> {
    pcm.as_slice().map_err(|_| raise(py, "InputTypeError", "expected a C-contiguous array"))
}

/// An empty vector with room for `len` elements.
pub(crate) fn with_room<T>(py: Python<'_>, len: usize) -> PyResult<Vec<T>> {
    let mut vec = Vec::new();
    match vec.try_reserve_exact(len) {
        Ok(()) => Ok(vec),
        Err(_) => Err(to_python(py, &Error::Memory { bytes: len.saturating_mul(size_of::<T>()) })),
    }
}

/// The elements of an array of this shape, all of one value.
pub(crate) fn filled<T: Clone, const N: usize>(py: Python<'_>, shape: [usize; N], value: T) -> PyResult<Vec<T>> {
    let len = shape.into_iter().fold(1, usize::saturating_mul);
    let mut vec = with_room(py, len)?;
    vec.resize(len, value);
    Ok(vec)
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
        let mut data = with_room(py, codebooks * frames)?;
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
pub(crate) fn codes_out<'py>(py: Python<'py>, rows: &[Codes], codebooks: usize) -> PyResult<Bound<'py, PyArray3<i64>>> {
    let frames = rows.iter().map(Codes::frames).max().unwrap_or(0);
    let mut array = array3(py, [rows.len(), codebooks, frames], NO_CODE)?;
    for (mut out, row) in array.outer_iter_mut().zip(rows) {
        for (frame, codes) in row.data.chunks_exact(codebooks).enumerate() {
            for (codebook, &code) in codes.iter().enumerate() {
                out[(codebook, frame)] = i64::from(code);
            }
        }
    }
    Ok(array.into_pyarray(py))
}

fn array3<T: Clone>(py: Python<'_>, shape: [usize; 3], value: T) -> PyResult<Array3<T>> {
    let array = Array3::from_shape_vec(shape, filled(py, shape, value)?);
    array.map_err(|error| raise(py, "MimiError", error.to_string()))
}

/// Latents of each row of `(B, D, T)`, the first `lengths[b]` frames of each.
pub(crate) fn latents_in(
    py: Python<'_>,
    latents: &PyReadonlyArray3<'_, f32>,
    lengths: impl Fn(usize) -> usize,
) -> PyResult<Vec<Latents>> {
    let array = latents.as_array();
    let dim = array.shape()[1];
    let row = |(b, row): (usize, numpy::ndarray::ArrayView2<'_, f32>)| {
        let frames = lengths(b);
        let mut data = with_room(py, frames * dim)?;
        data.extend((0..frames).flat_map(|frame| (0..dim).map(move |d| (d, frame))).map(|at| row[at]));
        Ok(Latents { dim, data })
    };
    array.outer_iter().enumerate().map(row).collect()
}

/// `(B, D, T)` with `T` the most frames of a row; zeros where a row has none.
pub(crate) fn latents_out<'py>(py: Python<'py>, rows: &[Latents], dim: usize) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let frames = rows.iter().map(Latents::frames).max().unwrap_or(0);
    let mut array = array3(py, [rows.len(), dim, frames], 0.0)?;
    for (mut out, row) in array.outer_iter_mut().zip(rows) {
        for (frame, values) in row.data.chunks_exact(dim).enumerate() {
            for (d, &value) in values.iter().enumerate() {
                out[(d, frame)] = value;
            }
        }
    }
    Ok(array.into_pyarray(py))
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
    let mut all = filled(py, [rows.len(), samples], 0.0)?;
    for (i, row) in rows.iter().enumerate() {
        all[i * samples..][..row.len()].copy_from_slice(row);
    }
    all.into_pyarray(py).reshape([rows.len(), samples])
}

/// `(B, samples)` of rows that `decode` gives one after the other, each filled up with zeros: there is never more than one
/// of them besides the array.
pub(crate) fn pcm_by_rows<'py>(
    py: Python<'py>,
    limits: &Limits,
    rows: usize,
    samples: usize,
    decode: impl Fn(usize, StopFn<'_>) -> Result<Vec<f32>> + Sync,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    if rows == 1 {
        return pcm_out(py, vec![detached_until(py, limits, |stop| decode(0, stop))?], samples);
    }
    let mut all = filled(py, [rows, samples], 0.0)?;
    detached_until(py, limits, |stop| {
        for row in 0..rows {
            let pcm = decode(row, stop)?;
            all[row * samples..][..pcm.len()].copy_from_slice(&pcm);
        }
        Ok(())
    })?;
    all.into_pyarray(py).reshape([rows, samples])
}
