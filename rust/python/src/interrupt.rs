//! Long work without the GIL, which Ctrl-C, the caller's wish or a deadline can stop between blocks.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mimi_codec::{Error, Result, StopFn};
use pyo3::prelude::*;

use crate::errors::{raise, to_python};

/// When the caller of a function wants it to give up: in Python `(stop, timeout)`, a function and seconds, or None.
#[derive(Default)]
pub(crate) struct Limits {
    /// Called without arguments; true to give up.
    stop: Option<Py<PyAny>>,
    deadline: Option<Instant>,
    timeout: f64,
}

impl FromPyObject<'_, '_> for Limits {
    type Error = PyErr;

    /// The time begins now. One that is too long to count does not end.
    fn extract(limits: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let (stop, timeout): (Option<Py<PyAny>>, Option<f64>) = limits.extract()?;
        let length = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let deadline = length.and_then(|length| Instant::now().checked_add(length));
        Ok(Self { stop, deadline, timeout: timeout.unwrap_or_default() })
    }
}

impl Limits {
    /// An error if it is time to give up.
    fn check(&self) -> PyResult<()> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let message = format!("the timeout of {} seconds has passed: nothing was changed", self.timeout);
            return Err(Python::attach(|py| raise(py, "TimedOutError", message)));
        }
        Python::attach(|py| {
            py.check_signals()?;
            match &self.stop {
                Some(stop) if stop.call0(py)?.is_truthy(py)? => {
                    Err(raise(py, "StoppedError", "the caller asked to stop: nothing was changed"))
                }
                _ => Ok(()),
            }
        })
    }
}

/// Runs `work` without the GIL. It is handed a function that asks Python for pending signals; what a signal's handler
/// raises is raised here.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce(StopFn<'_>) -> Result<T> + Send) -> PyResult<T> {
    detached_until(py, &Limits::default(), work)
}

/// [`detached`] work that also gives up where the limits say so.
pub(crate) fn detached_until<T: Send>(
    py: Python<'_>,
    limits: &Limits,
    work: impl FnOnce(StopFn<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let raised = Mutex::new(None);
    let stop = || match limits.check() {
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
