//! Which devices there are, and where to look for what they need.

use std::path::PathBuf;

use mimi_cuda::{Error, Gpu, Info, libraries};
use pyo3::prelude::*;

use crate::errors::raise;

/// A CUDA device that the process sees: a dictionary in Python.
#[derive(IntoPyObject)]
pub(crate) struct CudaDevice {
    name: String,
    memory_bytes: usize,
    compute_capability: (u32, u32),
    multiprocessors: u32,
    driver_cuda: (u32, u32),
    nvrtc: Option<(u32, u32)>,
    missing: Option<String>,
}

impl From<Info> for CudaDevice {
    fn from(info: Info) -> Self {
        let (nvrtc, missing) = match libraries::compiler_for(&info) {
            Ok(version) => (Some(version), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            memory_bytes: info.memory,
            compute_capability: info.capability,
            multiprocessors: info.multiprocessors,
            driver_cuda: (info.driver / 1000, info.driver % 1000 / 10),
            name: info.name,
            nvrtc,
            missing,
        }
    }
}

/// Directories in which libraries of CUDA are looked for, besides the usual ones.
#[pyfunction]
pub(crate) fn look_in(directories: Vec<PathBuf>) {
    libraries::look_in(directories);
}

/// The CUDA devices that the process sees. None is opened.
#[pyfunction]
pub(crate) fn cuda_devices(py: Python<'_>) -> PyResult<Vec<CudaDevice>> {
    let found = py.detach(|| Ok(Gpu::devices()?.into_iter().map(CudaDevice::from).collect()));
    found.map_err(|error: Error| raise(py, "DeviceError", error.to_string()))
}
