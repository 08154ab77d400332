//! Arrays in the memory of the GPU that a codec runs on.

use std::sync::Arc;

use mimi_cuda::dlpack::Import;
use mimi_cuda::{Elements, Tensor};
use numpy::ndarray::ArrayD;
use numpy::{IntoPyArray, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::errors::{raise, to_python};
use crate::interrupt::detached;
use crate::model::Model;

/// DLPack's number of CUDA.
const CUDA: i32 = 2;

/// An array on a GPU, float32 or int64, that other libraries share by DLPack.
#[pyclass(frozen, module = "mimi_codec._core")]
pub(crate) struct DeviceArray {
    pub(crate) tensor: Arc<Tensor>,
}

impl DeviceArray {
    pub(crate) fn of(tensor: Tensor) -> Self {
        Self { tensor: Arc::new(tensor) }
    }

    fn ordinal(&self) -> i32 {
        self.tensor.gpu().info().ordinal as i32
    }
}

/// What is said of an array that cannot be used.
fn unusable(py: Python<'_>, error: &mimi_cuda::Error) -> PyErr {
    match error {
        mimi_cuda::Error::Shape(message) => raise(py, "InputTypeError", message.clone()),
        other => to_python(py, &mimi_codec::Error::from(other.clone())),
    }
}

#[pymethods]
impl DeviceArray {
    /// Takes an array out of a capsule of DLPack. Its owner's work on it is ordered before that of the model's stream: the
    /// capsule was asked for with `cuda_stream`.
    #[staticmethod]
    fn of_capsule(py: Python<'_>, model: &Model, capsule: &Bound<'_, PyAny>) -> PyResult<Self> {
        let gpu = model.gpu(py)?;
        let tensor = Import::from_capsule(capsule).and_then(|import| Tensor::imported(gpu, import));
        tensor.map(Self::of).map_err(|error| unusable(py, &error))
    }

    /// Copies floats to the GPU of a model.
    #[staticmethod]
    fn of_floats(py: Python<'_>, model: &Model, array: PyReadonlyArrayDyn<'_, f32>) -> PyResult<Self> {
        Self::upload(py, model, Elements::Float32, array.shape(), bytes_of(py, array.as_slice())?)
    }

    /// Copies codes to the GPU of a model.
    #[staticmethod]
    fn of_codes(py: Python<'_>, model: &Model, array: PyReadonlyArrayDyn<'_, i64>) -> PyResult<Self> {
        Self::upload(py, model, Elements::Int64, array.shape(), bytes_of(py, array.as_slice())?)
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.tensor.shape())
    }

    #[getter]
    fn dtype(&self) -> &'static str {
        match self.tensor.elements() {
            Elements::Float32 => "float32",
            Elements::Int64 => "int64",
        }
    }

    /// Another view of the same memory: an axis of length 1 more, before `axis`.
    fn expanded(&self, py: Python<'_>, axis: usize) -> PyResult<Self> {
        Tensor::expanded(&self.tensor, axis).map(Self::of).map_err(|error| unusable(py, &error))
    }

    /// The same with an axis of length 1 less.
    fn squeezed(&self, py: Python<'_>, axis: usize) -> PyResult<Self> {
        Tensor::squeezed(&self.tensor, axis).map(Self::of).map_err(|error| unusable(py, &error))
    }

    /// A copy in the memory of the process.
    fn to_host<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let tensor = &self.tensor;
        Ok(match tensor.elements() {
            Elements::Float32 => array(py, tensor, f32::from_ne_bytes)?.into_pyarray(py).into_any(),
            Elements::Int64 => array(py, tensor, i64::from_ne_bytes)?.into_pyarray(py).into_any(),
        })
    }

    /// The result is complete: no stream has to wait for it.
    #[pyo3(signature = (*, stream = None, max_version = None, dl_device = None, copy = None))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        stream: Option<&Bound<'py, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = stream;
        if copy == Some(true) || dl_device.is_some_and(|device| device != (CUDA, self.ordinal())) {
            let message = "expected to share the memory of the GPU, got a wish for a copy or another device";
            return Err(pyo3::exceptions::PyBufferError::new_err(message));
        }
        self.tensor.export().into_capsule(py, max_version.is_some_and(|(major, _)| major >= 1))
    }

    fn __dlpack_device__(&self) -> (i32, i32) {
        (CUDA, self.ordinal())
    }
}

impl DeviceArray {
    fn upload(py: Python<'_>, model: &Model, elements: Elements, shape: &[usize], bytes: &[u8]) -> PyResult<Self> {
        let gpu = model.gpu(py)?;
        let axes: Vec<usize> = (0..shape.len()).collect();
        let tensor = detached(py, |_| {
            let tensor = Tensor::new(gpu, elements, shape, &axes)?;
            gpu.upload(tensor.span()?, bytes)?;
            gpu.wait()?;
            Ok(tensor)
        });
        tensor.map(Self::of)
    }
}

/// The bytes of a contiguous array.
fn bytes_of<'a, T: numpy::Element + bytemuck::NoUninit>(
    py: Python<'_>,
    slice: Result<&'a [T], numpy::AsSliceError>,
) -> PyResult<&'a [u8]> {
    let slice = slice.map_err(|_| raise(py, "InputTypeError", "expected a C-contiguous array"))?;
    Ok(bytemuck::cast_slice(slice))
}

/// The elements of a tensor in the order of its shape.
fn array<T: Clone + Send, const N: usize>(
    py: Python<'_>,
    tensor: &Tensor,
    of: fn([u8; N]) -> T,
) -> PyResult<ArrayD<T>> {
    let elements = detached(py, |_| {
        let mut bytes = vec![0; tensor.span()?.bytes()];
        tensor.gpu().download(tensor.span()?, &mut bytes)?;
        let all = bytes.as_chunks().0;
        let mut places = vec![0];
        for (&len, &stride) in tensor.shape().iter().zip(tensor.strides()) {
            places = places.iter().flat_map(|&place| (0..len).map(move |i| place + i * stride)).collect();
        }
        Ok(places.into_iter().map(|place: usize| of(all[place])).collect::<Vec<T>>())
    })?;
    let array = ArrayD::from_shape_vec(tensor.shape().to_vec(), elements);
    array.map_err(|error| raise(py, "MimiError", error.to_string()))
}
