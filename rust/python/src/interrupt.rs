//! Long work without the GIL, which Ctrl-C can stop between blocks.

use std::sync::{Mutex, PoisonError};

use mimi_codec::{Error, Result, StopFn};
use pyo3::prelude::*;

use crate::errors::to_python;

/// Runs `work` without the GIL. It is handed a function that asks Python for pending signals; what a signal's handler
/// raises is raised here.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce(StopFn<'_>) -> Result<T> + Send) -> PyResult<T> {
    let raised = Mutex::new(None);
    let stop = || match Python::attach(|py| py.check_signals()) {
        Ok(()) => false,
        Err(error) => {
            *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            true
        }
    };
    let result = py.detach(|| work(&stop));
    match (result, raised.into_inner().unwrap_or_else(PoisonError::into_inner)) {
        (Err(Error::Interrupted), Some(raised)) => Err(raised),
        (Err(error), _) => Err(to_python(py, &error)),
        (Ok(value), _) => Ok(value),
    }
}
