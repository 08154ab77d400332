//! The stream classes. A stream used from two threads is locked: calls follow one another.

use numpy::{PyArray2, PyArray3, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arrays::{codes_in, codes_out, mask, pcm_out, pcm_slice};
use crate::errors::raise;
use crate::interrupt::detached;
use crate::locked::Locked;
use crate::model::Mimi;

fn check_batch(py: Python<'_>, got: usize, batch_size: usize) -> PyResult<()> {
    if got == batch_size {
        return Ok(());
    }
    Err(raise(py, "StreamError", format!("the stream was made for a batch of {batch_size}, got a batch of {got}")))
}

/// Samples to codes, as they come.
#[pyclass(frozen, module = "mimi_codec._core")]
pub(crate) struct EncoderStream {
    stream: Locked<mimi_codec::EncoderStream>,
    batch_size: usize,
    codebooks: usize,
}

impl EncoderStream {
    fn wrap(stream: mimi_codec::EncoderStream) -> Self {
        Self { batch_size: stream.sessions(), codebooks: stream.codebooks(), stream: Locked::new(stream) }
    }
}

#[pymethods]
impl EncoderStream {
    #[new]
    fn new(py: Python<'_>, model: &Mimi, batch_size: usize, num_codebooks: usize) -> PyResult<Self> {
        let model = &model.model;
        let stream = detached(py, |_| mimi_codec::EncoderStream::new(model, batch_size, num_codebooks))?;
        Ok(Self::wrap(stream))
    }

    #[getter]
    fn batch_size(&self) -> usize {
        self.batch_size
    }

    #[getter]
    fn num_codebooks(&self) -> usize {
        self.codebooks
    }

    #[getter]
    fn pending(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        detached(py, |_| Ok(self.stream.lock()?.pending()))
    }

    #[getter]
    fn frames(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        detached(py, |_| Ok(self.stream.lock()?.frames()))
    }

    #[pyo3(signature = (pcm, active = None))]
    fn push<'py>(
        &self,
        py: Python<'py>,
        pcm: PyReadonlyArray2<'py, f32>,
        active: Option<PyReadonlyArray1<'py, bool>>,
    ) -> PyResult<Bound<'py, PyArray3<i64>>> {
        check_batch(py, pcm.shape()[0], self.batch_size)?;
        let active = mask(py, active, self.batch_size)?;
        let (all, samples) = (pcm_slice(py, &pcm)?, pcm.shape()[1]);
        let input = |row| is_active(active.as_deref(), row).then(|| &all[row * samples..][..samples]);
        let inputs: Vec<_> = (0..self.batch_size).map(input).collect();
        let codes = detached(py, |stop| self.stream.lock()?.push(&inputs, stop))?;
        codes_out(py, &codes, self.codebooks)
    }

    #[pyo3(signature = (active = None))]
    fn flush<'py>(
        &self,
        py: Python<'py>,
        active: Option<PyReadonlyArray1<'py, bool>>,
    ) -> PyResult<Bound<'py, PyArray3<i64>>> {
        let active = mask(py, active, self.batch_size)?;
        let codes = detached(py, |_| self.stream.lock()?.flush(active.as_deref()))?;
        codes_out(py, &codes, self.codebooks)
    }

    #[pyo3(signature = (mask = None))]
    fn reset(&self, py: Python<'_>, mask: Option<PyReadonlyArray1<'_, bool>>) -> PyResult<()> {
        let mask = self::mask(py, mask, self.batch_size)?;
        detached(py, |_| self.stream.lock()?.reset(mask.as_deref()))
    }

    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        detached(py, |_| self.stream.lock()?.copy()).map(Self::wrap)
    }

    fn save<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let state = detached(py, |_| self.stream.lock()?.save())?;
        Ok(PyBytes::new(py, &state))
    }

    fn load(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        detached(py, |_| self.stream.lock()?.load(state))
    }
}

/// Codes to samples, as they come.
#[pyclass(frozen, module = "mimi_codec._core")]
pub(crate) struct DecoderStream {
    stream: Locked<mimi_codec::DecoderStream>,
    batch_size: usize,
    codebook_size: usize,
    frame_size: usize,
}

impl DecoderStream {
    fn wrap(stream: mimi_codec::DecoderStream) -> Self {
        let config = stream.model().config();
        let (codebook_size, frame_size) = (config.codebook_size, config.frame_size());
        Self { batch_size: stream.sessions(), codebook_size, frame_size, stream: Locked::new(stream) }
    }
}

#[pymethods]
impl DecoderStream {
    #[new]
    fn new(py: Python<'_>, model: &Mimi, batch_size: usize) -> PyResult<Self> {
        let model = &model.model;
        detached(py, |_| mimi_codec::DecoderStream::new(model, batch_size)).map(Self::wrap)
    }

    #[getter]
    fn batch_size(&self) -> usize {
        self.batch_size
    }

    #[getter]
    fn frames(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        detached(py, |_| Ok(self.stream.lock()?.frames()))
    }

    #[pyo3(signature = (codes, active = None))]
    fn push<'py>(
        &self,
        py: Python<'py>,
        codes: PyReadonlyArray3<'py, i64>,
        active: Option<PyReadonlyArray1<'py, bool>>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        check_batch(py, codes.shape()[0], self.batch_size)?;
        let active = mask(py, active, self.batch_size)?;
        // A row at rest may hold anything, so it is not read.
        let frames = |row| if is_active(active.as_deref(), row) { codes.shape()[2] } else { 0 };
        let rows = codes_in(py, &codes, frames, self.codebook_size)?;
        let input = |(row, codes)| is_active(active.as_deref(), row).then_some(codes);
        let inputs: Vec<_> = rows.into_iter().enumerate().map(input).collect();
        let pcm = detached(py, |stop| self.stream.lock()?.push(&inputs, stop))?;
        pcm_out(py, pcm, codes.shape()[2] * self.frame_size)
    }

    #[pyo3(signature = (mask = None))]
    fn reset(&self, py: Python<'_>, mask: Option<PyReadonlyArray1<'_, bool>>) -> PyResult<()> {
        let mask = self::mask(py, mask, self.batch_size)?;
        detached(py, |_| self.stream.lock()?.reset(mask.as_deref()))
    }

    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        detached(py, |_| self.stream.lock()?.copy()).map(Self::wrap)
    }

    fn save<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let state = detached(py, |_| self.stream.lock()?.save())?;
        Ok(PyBytes::new(py, &state))
    }

    fn load(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        detached(py, |_| self.stream.lock()?.load(state))
    }
}

fn is_active(mask: Option<&[bool]>, row: usize) -> bool {
    mask.is_none_or(|mask| mask[row])
}
