//! What can go wrong on a device.

/// Errors of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The driver, the compiler or a device is not there. The text says what is missing and what to install.
    #[error("{0}")]
    Missing(String),
    /// The device, or the host's memory that it can reach, has not enough left. Nothing has changed, and less may fit.
    #[error("not enough memory on the device: {bytes} bytes more were asked for")]
    Memory {
        /// What was asked for; 0 where the driver asked for its own needs.
        bytes: usize,
    },
    /// The driver refused a call, or the device is lost.
    #[error("{0}")]
    Driver(String),
    /// The kernels could not be compiled.
    #[error("{0}")]
    Compile(String),
    /// Lengths that do not fit each other: "expected …, got …".
    #[error("{0}")]
    Shape(String),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
