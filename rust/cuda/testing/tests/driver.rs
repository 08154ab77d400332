//! What nobody but NVRTC asks a driver for.

#![allow(clippy::unwrap_used)]

use std::ffi::{c_int, c_void};
use std::ptr;

use libloading::Library;
use mimi_cuda_testing::driver_folder;

/// NVRTC looks for `libcuda.so.1`, and where `cuInit` succeeds it asks for the driver's cache of what was compiled.
/// Without the function for that it ends the process. `scripts/test-cuda.sh` tries NVRTC itself, where MIMI_NVRTC names
/// its folder.
#[test]
fn nvrtc_is_told_that_there_is_no_cache() {
    type Export = unsafe extern "C" fn(*mut *const c_void, *const u8) -> c_int;
    let id_that_nvrtc_asks_for = 0xda91_51d3_3ae6_cc41_a5c0_4f26_d533_e328_u128.to_be_bytes();
    let anything = 0_u8;
    let mut table = ptr::from_ref(&anything).cast();
    // SAFETY: the library runs nothing when it is loaded but constructors of its own variables. The function has the
    // type of the driver's, reads an id of 16 bytes at most, and writes a pointer.
    let status = unsafe {
        let driver = Library::new(driver_folder().join("libcuda.so.1")).unwrap();
        let export = driver.get::<Export>(b"cuGetExportTable").unwrap();
        export(&raw mut table, id_that_nvrtc_asks_for.as_ptr())
    };
    assert_ne!(status, 0);
    assert!(table.is_null());
}
