//! The Python binding of mimi-codec, `mimi_codec._core`.
//!
//! It converts arrays, releases the GIL and maps errors; everything else is the core's, or the Python package's.

mod arrays;
mod device_array;
mod devices;
mod errors;
mod interrupt;
mod locked;
mod model;
mod safetensors;
mod streams;

use pyo3::prelude::*;

/// The codec in Rust. Private: use `mimi_codec`.
#[pymodule]
mod _core {
    use std::collections::BTreeMap;

    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::device_array::DeviceArray;
    #[pymodule_export]
    use crate::devices::{cuda_devices, look_in};
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::safetensors::safetensors_entries;
    #[pymodule_export]
    use crate::streams::Stream;

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Folders of larger models that hold a codec, whole and with a configuration of its own.
    #[pyfunction]
    fn codec_folders() -> Vec<&'static str> {
        mimi_codec::CODEC_FOLDERS.to_vec()
    }

    /// What stands before the names of the codec's tensors, of every codec that such names may be of.
    #[pyfunction]
    fn codec_prefixes(names: Vec<String>, module: Option<&str>) -> Vec<String> {
        mimi_codec::codec_prefixes(names.iter().map(String::as_str), module)
    }

    /// Reads a packed file and compares its arrays with their checksums.
    #[pyfunction]
    fn check_packed(py: Python<'_>, path: &str) -> PyResult<()> {
        crate::interrupt::detached(py, |_| mimi_codec::check_packed(std::path::Path::new(path)))
    }

    /// Version, build profile and the instruction set in use.
    #[pyfunction]
    fn build_info() -> BTreeMap<&'static str, &'static str> {
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        BTreeMap::from([
            ("version", env!("CARGO_PKG_VERSION")),
            ("profile", profile),
            ("simd", mimi_codec::simd_name()),
        ])
    }
}
