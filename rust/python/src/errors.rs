//! From the core's errors to the classes of `mimi_codec.errors`.

use mimi_codec::Error;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// The exception for an error of the core.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error {
        Error::Config { .. } => "ConfigError",
        Error::File { .. } => "LoadError",
        Error::MissingTensor { .. }
        | Error::TensorShape { .. }
        | Error::TensorDtype { .. }
        | Error::TensorValue { .. }
        | Error::SurplusTensors { .. } => "WeightsError",
        Error::Audio(_) => "AudioError",
        Error::Codes(_) => "CodesError",
        Error::Latents(_) => "LatentsError",
        Error::Stream(_) => "StreamError",
        Error::Device(_) => "DeviceError",
        Error::Memory { .. } => "OutOfMemoryError",
        Error::Numeric(_) => "NumericError",
        _ => "MimiError",
    };
    raise(py, class, error.to_string())
}

/// An exception of the class named, with a message.
pub(crate) fn raise(py: Python<'_>, class: &str, message: impl Into<String>) -> PyErr {
    let found = py.import("mimi_codec.errors").and_then(|module| module.getattr(class));
    match found.and_then(|class| Ok(class.cast_into::<PyType>()?)) {
        Ok(class) => PyErr::from_type(class, (message.into(),)),
        Err(error) => error,
    }
}
