//! Calls of the driver: whether it is there at all, and what its errors mean.

use std::ffi::CStr;

use cudarc::driver::{result, sys};

use crate::{Error, Result};

/// What to do where there is no driver.
const INSTALL_DRIVER: &str = "install the NVIDIA driver (https://www.nvidia.com/drivers), or use the CPU";

/// The oldest driver: the first of CUDA 12, as NVRTC 12 makes code for it.
const OLDEST: i32 = 12_000;

/// Finds and starts the driver. Every other call of it comes after this.
///
/// # Errors
/// [`Error::Missing`] where there is no driver, no device, or a driver before CUDA 12.
pub(super) fn start() -> Result<()> {
    // SAFETY: it only opens and closes libraries of the driver's names. It must be asked first, as cudarc panics without.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::Missing(format!("no CUDA driver was found (libcuda.so.1); {INSTALL_DRIVER}")));
    }
    match result::init() {
        Ok(()) => {}
        Err(error) if NOT_THERE.contains(&error.0) => {
            let why = describe(error.0);
            return Err(Error::Missing(format!("the CUDA driver finds no device ({why}); {INSTALL_DRIVER}")));
        }
        Err(error) => return Err(failure("starting the driver", error, 0)),
    }
    let version = version()?;
    if version < OLDEST {
        let found = format!("{}.{}", version / 1000, version % 1000 / 10);
        return Err(Error::Missing(format!("expected a driver of CUDA 12 or newer, got {found}; {INSTALL_DRIVER}")));
    }
    Ok(())
}

/// Answers of the driver to its start that mean that there is nothing to work with.
const NOT_THERE: [sys::CUresult; 4] = [
    sys::CUresult::CUDA_ERROR_NO_DEVICE,
    sys::CUresult::CUDA_ERROR_STUB_LIBRARY,
    sys::CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
    sys::CUresult::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE,
];

/// The version of CUDA that the driver is of, as 12080 for 12.8.
pub(super) fn version() -> Result<i32> {
    let mut version = 0;
    // SAFETY: the driver is there, and writes one int.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }
        .result()
        .map_err(|error| failure("asking for the driver's version", error, 0))?;
    Ok(version)
}

/// The error of this crate for one of the driver's. `bytes` is what the call asked for, if it asked for memory.
pub(super) fn failure(doing: &str, error: result::DriverError, bytes: usize) -> Error {
    match error.0 {
        sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => Error::Memory { bytes },
        code => Error::Driver(format!("the CUDA driver failed in {doing}: {}", describe(code))),
    }
}

/// Whether nothing works on a device after this error, in this process.
pub(super) fn is_lasting(code: sys::CUresult) -> bool {
    use sys::CUresult as R;
    matches!(
        code,
        R::CUDA_ERROR_ECC_UNCORRECTABLE
            | R::CUDA_ERROR_NVLINK_UNCORRECTABLE
            | R::CUDA_ERROR_CONTAINED
            | R::CUDA_ERROR_ILLEGAL_ADDRESS
            | R::CUDA_ERROR_LAUNCH_TIMEOUT
            | R::CUDA_ERROR_CONTEXT_IS_DESTROYED
            | R::CUDA_ERROR_ASSERT
            | R::CUDA_ERROR_HARDWARE_STACK_ERROR
            | R::CUDA_ERROR_ILLEGAL_INSTRUCTION
            | R::CUDA_ERROR_MISALIGNED_ADDRESS
            | R::CUDA_ERROR_INVALID_ADDRESS_SPACE
            | R::CUDA_ERROR_INVALID_PC
            | R::CUDA_ERROR_LAUNCH_FAILED
            | R::CUDA_ERROR_EXTERNAL_DEVICE
            | R::CUDA_ERROR_DEINITIALIZED
    )
}

/// The driver's own words for a code, as "CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected".
fn describe(code: sys::CUresult) -> String {
    let error = result::DriverError(code);
    let name = error.error_name().map_or_else(|_| format!("error {}", code as u32), text);
    let words = error.error_string().map(text).unwrap_or_default();
    if words.is_empty() { name } else { format!("{name}: {words}") }
}

fn text(words: &CStr) -> String {
    words.to_string_lossy().into_owned()
}
