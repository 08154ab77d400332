//! What a device is.

use std::ffi::c_int;

use cudarc::driver::{result, sys};

use super::call;
use crate::Result;

/// What a device is, and what it runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its name, as "NVIDIA H100 80GB HBM3".
    pub name: String,
    /// Its place among the devices that the process sees.
    pub ordinal: usize,
    /// Its compute capability, major and minor: (9, 0) for sm_90.
    pub capability: (u32, u32),
    /// Its memory in bytes.
    pub memory: usize,
    /// Its multiprocessors, each of which runs some blocks at a time.
    pub multiprocessors: u32,
    /// Shared memory in bytes that a block can have if it asks for it.
    pub shared_memory: u32,
    /// The version of CUDA that the driver is of, as 12080 for 12.8.
    pub driver: u32,
}

impl Info {
    /// Asks the driver about a device of its own.
    pub(super) fn of(ordinal: usize, device: sys::CUdevice) -> Result<Self> {
        use sys::CUdevice_attribute_enum as A;
        let failed = |error| call::failure("asking about the device", error, 0);
        // SAFETY: `device` comes from the driver.
        let ask = |attribute| unsafe { result::device::get_attribute(device, attribute) }.map(count).map_err(failed);
        Ok(Self {
            name: result::device::get_name(device).map_err(failed)?,
            ordinal,
            capability: (
                ask(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                ask(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            // SAFETY: `device` comes from the driver.
            memory: unsafe { result::device::total_mem(device) }.map_err(failed)?,
            multiprocessors: ask(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared_memory: ask(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            driver: count(call::version()?),
        })
    }
}

fn count(value: c_int) -> u32 {
    u32::try_from(value).unwrap_or(0)
}
