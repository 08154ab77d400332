//! The stream class. A stream used from two threads is locked: calls follow one another.

use mimi_codec::{Codes, Direction, Input, Latents, Output, Result, StopFn};
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arrays::{check_lengths, codes_in, codes_out, latents_in, latents_out, mask, pcm_out, pcm_slice};
use crate::device_array::DeviceArray;
use crate::errors::raise;
use crate::interrupt::{Limits, detached, detached_until};
use crate::locked::Locked;
use crate::model::Model;

/// What a codec does to clips as they come, in one of its directions.
#[pyclass(frozen, module = "mimi_codec._core")]
pub(crate) struct Stream {
    stream: Locked<mimi_codec::Stream>,
    model: mimi_codec::Model,
    direction: Direction,
    batch_size: usize,
    /// Floats of a latent that it gives.
    latent_dim: usize,
    codebook_size: usize,
    frame_size: usize,
    /// Samples by which the first frames of a clip are shorter.
    delay: usize,
}

impl Stream {
    fn wrap(stream: mimi_codec::Stream) -> Self {
        let model = stream.model().clone();
        Self {
            direction: stream.direction(),
            batch_size: stream.rows(),
            latent_dim: model.encoder_latent_dim().unwrap_or(0),
            codebook_size: model.codebook_size(),
            frame_size: model.frame_size(),
            delay: model.delay(),
            model,
            stream: Locked::new(stream),
        }
    }

    fn check_batch(&self, py: Python<'_>, got: usize) -> PyResult<()> {
        let batch_size = self.batch_size;
        if got == batch_size {
            return Ok(());
        }
        Err(raise(py, "StreamError", format!("the stream was made for a batch of {batch_size}, got a batch of {got}")))
    }

    /// Takes what each row is given; `longest` are the frames that samples are filled up to.
    fn push<'py>(
        &self,
        py: Python<'py>,
        inputs: &[Option<Input<'_>>],
        longest: usize,
        limits: &Limits,
    ) -> PyResult<Bound<'py, PyAny>> {
        let outputs = detached_until(py, limits, |stop| self.stream.lock()?.push_until(inputs, stop))?;
        self.array(py, outputs, longest)
    }

    /// What the rows give as one array.
    fn array<'py>(&self, py: Python<'py>, outputs: Vec<Output>, longest: usize) -> PyResult<Bound<'py, PyAny>> {
        fn all<T>(py: Python<'_>, outputs: Vec<Output>, of: fn(Output) -> Result<T>) -> PyResult<Vec<T>> {
            let all: Result<Vec<T>> = outputs.into_iter().map(of).collect();
            all.map_err(|error| crate::errors::to_python(py, &error))
        }
        Ok(match self.direction {
            Direction::ToCodes(codebooks) => {
                codes_out(py, &all(py, outputs, Output::into_codes)?, codebooks)?.into_any()
            }
            Direction::ToLatents => {
                latents_out(py, &all(py, outputs, Output::into_latents)?, self.latent_dim)?.into_any()
            }
            Direction::FromCodes | Direction::FromLatents => {
                let rows = all(py, outputs, Output::into_pcm)?;
                let samples = match self.delay {
                    0 => longest * self.frame_size,
                    _ => rows.iter().map(Vec::len).max().unwrap_or(0),
                };
                pcm_out(py, rows, samples)?.into_any()
            }
        })
    }
}

#[pymethods]
impl Stream {
    #[new]
    fn new(py: Python<'_>, model: &Model, direction: &str, batch_size: usize, num_codebooks: usize) -> PyResult<Self> {
        let direction = self::direction(py, direction, num_codebooks)?;
        let model = &model.model;
        detached(py, |_| mimi_codec::Stream::new(model, direction, batch_size)).map(Self::wrap)
    }

    #[getter]
    fn cuda_ordinal(&self) -> Option<usize> {
        crate::model::cuda_ordinal(&self.model)
    }

    #[getter]
    fn model(&self) -> Model {
        Model { model: self.model.clone() }
    }

    #[getter]
    fn batch_size(&self) -> usize {
        self.batch_size
    }

    #[getter]
    fn num_codebooks(&self) -> Option<usize> {
        if let Direction::ToCodes(codebooks) = self.direction { Some(codebooks) } else { None }
    }

    #[getter]
    fn of_latents(&self) -> bool {
        matches!(self.direction, Direction::ToLatents | Direction::FromLatents)
    }

    #[getter]
    fn pending(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        detached(py, |_| Ok(self.stream.lock()?.pending()))
    }

    #[getter]
    fn frames(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        detached(py, |_| Ok(self.stream.lock()?.frames()))
    }

    fn push_pcm<'py>(
        &self,
        py: Python<'py>,
        pcm: PyReadonlyArray2<'py, f32>,
        active: Option<PyReadonlyArray1<'py, bool>>,
        limits: Limits,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.check_batch(py, pcm.shape()[0])?;
        let active = mask(py, active, self.batch_size)?;
        let (all, samples) = (pcm_slice(py, &pcm)?, pcm.shape()[1]);
        let input = |row| is_active(active.as_deref(), row).then(|| Input::Pcm(&all[row * samples..][..samples]));
        self.push(py, &(0..self.batch_size).map(input).collect::<Vec<_>>(), 0, &limits)
    }

    fn push_codes<'py>(
        &self,
        py: Python<'py>,
        codes: PyReadonlyArray3<'py, i64>,
        lengths: Vec<usize>,
        active: Option<PyReadonlyArray1<'py, bool>>,
        limits: Limits,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.check_batch(py, codes.shape()[0])?;
        check_lengths(py, &lengths, codes.shape()[0], codes.shape()[2])?;
        let active = mask(py, active, self.batch_size)?;
        // A row at rest may hold anything, so it is not read.
        let frames = |row: usize| if is_active(active.as_deref(), row) { lengths[row] } else { 0 };
        let given: Vec<Codes> = codes_in(py, &codes, frames, self.codebook_size)?;
        let input = |row| is_active(active.as_deref(), row).then(|| Input::Codes(&given[row]));
        self.push(py, &(0..self.batch_size).map(input).collect::<Vec<_>>(), codes.shape()[2], &limits)
    }

    fn push_latents<'py>(
        &self,
        py: Python<'py>,
        latents: PyReadonlyArray3<'py, f32>,
        lengths: Vec<usize>,
        active: Option<PyReadonlyArray1<'py, bool>>,
        limits: Limits,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.check_batch(py, latents.shape()[0])?;
        check_lengths(py, &lengths, latents.shape()[0], latents.shape()[2])?;
        let active = mask(py, active, self.batch_size)?;
        let given: Vec<Latents> = latents_in(py, &latents, |row| lengths[row])?;
        let input = |row| is_active(active.as_deref(), row).then(|| Input::Latents(&given[row]));
        self.push(py, &(0..self.batch_size).map(input).collect::<Vec<_>>(), latents.shape()[2], &limits)
    }

    /// Whole frames of each row, from an array on the GPU to another.
    fn push_on_device(
        &self,
        py: Python<'_>,
        array: &DeviceArray,
        active: Option<PyReadonlyArray1<'_, bool>>,
        limits: Limits,
    ) -> PyResult<DeviceArray> {
        let active = mask(py, active, self.batch_size)?;
        let push = |stop: StopFn<'_>| self.stream.lock()?.push_on_device(&array.tensor, active.as_deref(), stop);
        detached_until(py, &limits, push).map(DeviceArray::of)
    }

    fn flush<'py>(
        &self,
        py: Python<'py>,
        active: Option<PyReadonlyArray1<'py, bool>>,
        padding: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (active, padding) = (mask(py, active, self.batch_size)?, crate::model::padding(py, padding)?);
        let outputs = detached(py, |_| self.stream.lock()?.flush(active.as_deref(), padding))?;
        self.array(py, outputs, 0)
    }

    #[pyo3(signature = (mask = None))]
    fn reset(&self, py: Python<'_>, mask: Option<PyReadonlyArray1<'_, bool>>) -> PyResult<()> {
        let mask = self::mask(py, mask, self.batch_size)?;
        detached(py, |_| self.stream.lock()?.reset(mask.as_deref()))
    }

    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        detached(py, |_| self.stream.lock()?.copy()).map(Self::wrap)
    }

    #[pyo3(signature = (rows = None))]
    fn save<'py>(&self, py: Python<'py>, rows: Option<Vec<usize>>) -> PyResult<Bound<'py, PyBytes>> {
        let state = detached(py, |_| self.stream.lock()?.save(rows.as_deref()))?;
        Ok(PyBytes::new(py, &state))
    }

    #[pyo3(signature = (state, rows = None))]
    fn load(&self, py: Python<'_>, state: &[u8], rows: Option<Vec<usize>>) -> PyResult<()> {
        detached(py, |_| self.stream.lock()?.load(state, rows.as_deref()))
    }
}

/// A direction by its name.
pub(crate) fn direction(py: Python<'_>, name: &str, num_codebooks: usize) -> PyResult<Direction> {
    Ok(match name {
        "to_codes" => Direction::ToCodes(num_codebooks),
        "to_latents" => Direction::ToLatents,
        "from_codes" => Direction::FromCodes,
        "from_latents" => Direction::FromLatents,
        other => return Err(raise(py, "ConfigError", format!("expected a direction, got {other:?}"))),
    })
}

fn is_active(mask: Option<&[bool]>, row: usize) -> bool {
    mask.is_none_or(|mask| mask[row])
}
