//! The model class.

use std::collections::BTreeMap;
use std::path::Path;

use mimi_codec::{Direction, Input, LoadOptions, Padding};
use numpy::{PyArray2, PyArray3, PyReadonlyArray2, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::arrays::{check_lengths, codes_in, codes_out, latents_in, latents_out, pcm_by_rows, pcm_slice};
use crate::device_array::DeviceArray;
use crate::errors::raise;
use crate::interrupt::{Limits, detached, detached_until};

/// A loaded codec: immutable, shared between threads and streams.
#[pyclass(frozen, module = "mimi_codec._core")]
pub(crate) struct Model {
    pub(crate) model: mimi_codec::Model,
}

pub(crate) fn padding(py: Python<'_>, name: &str) -> PyResult<Padding> {
    match name {
        "transformers" => Ok(Padding::Transformers),
        "moshi" => Ok(Padding::Moshi),
        _ => Err(raise(py, "ConfigError", format!("expected padding \"transformers\" or \"moshi\", got {name:?}"))),
    }
}

/// The number of the CUDA device that a model's arrays may lie on.
pub(crate) fn cuda_ordinal(model: &mimi_codec::Model) -> Option<usize> {
    model.gpu().filter(|_| model.takes_tensors()).map(|gpu| gpu.info().ordinal)
}

impl Model {
    /// The GPU that it runs on.
    pub(crate) fn gpu(&self, py: Python<'_>) -> PyResult<&mimi_cuda::Gpu> {
        self.model.gpu().ok_or_else(|| {
            let device = self.model.options().device;
            raise(py, "InputTypeError", format!("expected a codec on a CUDA device, got one on {device}"))
        })
    }
}

#[pymethods]
impl Model {
    /// The number of the CUDA device that arrays may lie on; none where they may not.
    #[getter]
    fn cuda_ordinal(&self) -> Option<usize> {
        cuda_ordinal(&self.model)
    }

    /// The handle of the CUDA stream in which the model works.
    #[getter]
    fn cuda_stream(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.gpu(py)?.stream_handle())
    }

    /// Whole clips of one length, from an array on the GPU to another.
    fn clips_on_device(
        &self,
        py: Python<'_>,
        direction: &str,
        num_codebooks: usize,
        array: &DeviceArray,
        limits: Limits,
    ) -> PyResult<DeviceArray> {
        let direction = crate::streams::direction(py, direction, num_codebooks)?;
        let tensor = detached_until(py, &limits, |stop| self.model.clips_on_device(direction, &array.tensor, stop))?;
        Ok(DeviceArray::of(tensor))
    }

    #[staticmethod]
    #[expect(clippy::too_many_arguments, reason = "each option of loading is one")]
    fn load(
        py: Python<'_>,
        path: &str,
        parts: &str,
        num_codebooks: Option<usize>,
        threads: usize,
        dtype: &str,
        device: &str,
        module: Option<String>,
    ) -> PyResult<Self> {
        let model = detached(py, |_| {
            let options = LoadOptions {
                parts: parts.parse()?,
                num_codebooks,
                threads,
                dtype: dtype.parse()?,
                device: device.parse()?,
                module,
            };
            mimi_codec::Model::load(Path::new(path), &options)
        })?;
        Ok(Self { model })
    }

    #[getter]
    fn config_json(&self) -> String {
        self.model.config_json()
    }

    #[getter]
    fn layout(&self) -> &'static str {
        self.model.layout()
    }

    #[getter]
    fn module(&self) -> &str {
        self.model.module()
    }

    #[getter]
    fn sample_rate(&self) -> usize {
        self.model.sample_rate()
    }

    #[getter]
    fn frame_rate(&self) -> f64 {
        self.model.frame_rate()
    }

    #[getter]
    fn frame_size(&self) -> usize {
        self.model.frame_size()
    }

    #[getter]
    fn delay(&self) -> usize {
        self.model.delay()
    }

    #[getter]
    fn leaves_rest_out(&self) -> bool {
        self.model.leaves_rest_out()
    }

    #[getter]
    fn gives_codes(&self) -> bool {
        self.model.gives_codes()
    }

    #[getter]
    fn num_codebooks(&self) -> usize {
        self.model.num_codebooks()
    }

    #[getter]
    fn codebook_size(&self) -> usize {
        self.model.codebook_size()
    }

    #[getter]
    fn latent_dim(&self) -> usize {
        self.model.encoder_latent_dim().or(self.model.decoder_latent_dim()).unwrap_or(0)
    }

    #[getter]
    fn decoder_latent_dim(&self) -> usize {
        self.model.decoder_latent_dim().or(self.model.encoder_latent_dim()).unwrap_or(0)
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.model.kind().as_str()
    }

    #[getter]
    fn num_semantic_codebooks(&self) -> usize {
        self.model.num_semantic_codebooks()
    }

    #[getter]
    fn has_encoder(&self) -> bool {
        self.model.has_encoder()
    }

    #[getter]
    fn has_decoder(&self) -> bool {
        self.model.has_decoder()
    }

    #[getter]
    fn threads(&self) -> usize {
        self.model.options().threads
    }

    #[getter]
    fn dtype(&self) -> &'static str {
        self.model.options().dtype.as_str()
    }

    #[getter]
    fn device(&self) -> String {
        self.model.options().device.to_string()
    }

    #[getter]
    fn simd(&self) -> &'static str {
        self.model.backend_name()
    }

    #[getter]
    fn device_counts(&self) -> BTreeMap<&'static str, u64> {
        self.model.device_counts().into_iter().collect()
    }

    #[getter]
    fn weight_bytes(&self) -> usize {
        self.model.weight_bytes()
    }

    fn encode<'py>(
        &self,
        py: Python<'py>,
        pcm: PyReadonlyArray2<'py, f32>,
        lengths: Vec<usize>,
        num_codebooks: usize,
        padding: &str,
        limits: Limits,
    ) -> PyResult<Bound<'py, PyArray3<i64>>> {
        let padding = self::padding(py, padding)?;
        let clips = clips(py, &pcm, &lengths)?;
        let codes = detached_until(py, &limits, |stop| {
            let encode =
                |clip: &&[f32]| self.model.clip(Direction::ToCodes(num_codebooks), Input::Pcm(clip), padding, stop);
            clips.iter().map(|clip| encode(clip)?.into_codes()).collect::<Result<Vec<_>, _>>()
        })?;
        codes_out(py, &codes, num_codebooks)
    }

    fn decode<'py>(
        &self,
        py: Python<'py>,
        codes: PyReadonlyArray3<'py, i64>,
        lengths: Vec<usize>,
        limits: Limits,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        check_lengths(py, &lengths, codes.shape()[0], codes.shape()[2])?;
        let rows = codes_in(py, &codes, |row| lengths[row], self.model.codebook_size())?;
        let samples = self.samples(lengths.iter().max().unwrap_or(&0));
        pcm_by_rows(py, &limits, rows.len(), samples, |row, stop| {
            let codes = Input::Codes(&rows[row]);
            self.model.clip(Direction::FromCodes, codes, Padding::default(), stop)?.into_pcm()
        })
    }

    fn encode_latents<'py>(
        &self,
        py: Python<'py>,
        pcm: PyReadonlyArray2<'py, f32>,
        lengths: Vec<usize>,
        padding: &str,
        limits: Limits,
    ) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let padding = self::padding(py, padding)?;
        let clips = clips(py, &pcm, &lengths)?;
        let latents = detached_until(py, &limits, |stop| {
            let encode = |clip: &&[f32]| self.model.clip(Direction::ToLatents, Input::Pcm(clip), padding, stop);
            clips.iter().map(|clip| encode(clip)?.into_latents()).collect::<Result<Vec<_>, _>>()
        })?;
        latents_out(py, &latents, self.latent_dim())
    }

    fn decode_latents<'py>(
        &self,
        py: Python<'py>,
        latents: PyReadonlyArray3<'py, f32>,
        lengths: Vec<usize>,
        limits: Limits,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        check_lengths(py, &lengths, latents.shape()[0], latents.shape()[2])?;
        let rows = latents_in(py, &latents, |row| lengths[row])?;
        let samples = self.samples(lengths.iter().max().unwrap_or(&0));
        pcm_by_rows(py, &limits, rows.len(), samples, |row, stop| {
            let latents = Input::Latents(&rows[row]);
            self.model.clip(Direction::FromLatents, latents, Padding::default(), stop)?.into_pcm()
        })
    }

    fn latents_to_codes<'py>(
        &self,
        py: Python<'py>,
        latents: PyReadonlyArray3<'py, f32>,
        num_codebooks: usize,
        limits: Limits,
    ) -> PyResult<Bound<'py, PyArray3<i64>>> {
        let rows = latents_in(py, &latents, |_| latents.shape()[2])?;
        let codes = detached_until(py, &limits, |stop| {
            let codes = rows.iter().map(|latents| self.model.latents_to_codes_until(latents, num_codebooks, stop));
            codes.collect::<Result<Vec<_>, _>>()
        })?;
        codes_out(py, &codes, num_codebooks)
    }

    fn codes_to_latents<'py>(
        &self,
        py: Python<'py>,
        codes: PyReadonlyArray3<'py, i64>,
        lengths: Vec<usize>,
        limits: Limits,
    ) -> PyResult<Bound<'py, PyArray3<f32>>> {
        check_lengths(py, &lengths, codes.shape()[0], codes.shape()[2])?;
        let rows = codes_in(py, &codes, |row| lengths[row], self.model.codebook_size())?;
        let latents = detached_until(py, &limits, |stop| {
            rows.iter().map(|codes| self.model.codes_to_latents_until(codes, stop)).collect::<Result<Vec<_>, _>>()
        })?;
        latents_out(py, &latents, self.decoder_latent_dim())
    }

    fn save(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        detached(py, |_| self.model.save(Path::new(path)))
    }

    fn save_compact(&self, py: Python<'_>, path: &str, dtype: &str) -> PyResult<()> {
        detached(py, |_| self.model.save_compact(Path::new(path), dtype.parse()?))
    }

    fn save_packed(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        detached(py, |_| self.model.save_packed(Path::new(path)))
    }
}

impl Model {
    /// Samples that a clip of so many frames is decoded to.
    fn samples(&self, frames: &usize) -> usize {
        (frames * self.model.frame_size()).saturating_sub(self.model.delay())
    }
}

/// The first `lengths[b]` samples of each row.
fn clips<'a>(py: Python<'_>, pcm: &'a PyReadonlyArray2<'_, f32>, lengths: &[usize]) -> PyResult<Vec<&'a [f32]>> {
    let (rows, samples) = (pcm.shape()[0], pcm.shape()[1]);
    check_lengths(py, lengths, rows, samples)?;
    let all = pcm_slice(py, pcm)?;
    Ok(lengths.iter().enumerate().map(|(row, &length)| &all[row * samples..][..length]).collect())
}
