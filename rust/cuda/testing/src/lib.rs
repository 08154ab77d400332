//! The kernels of `mimi-cuda` on the host: for tests on machines without a GPU.
//!
//! `host/` has what the kernels' text finds on a device, and runs a grid of its threads one after another. The build script
//! compiles both into a library, and with it `driver/`: a CUDA driver whose devices are the host's memory and these kernels.

mod driver;
mod host;

pub use driver::TestDriver;
pub use host::{Host, Order, Refused};

use std::path::Path;

/// The library that runs kernels on the host. It exports `mimi_host_launch` and what else `host/run.cpp` says.
pub fn host_library() -> &'static Path {
    Path::new(concat!(env!("OUT_DIR"), "/libmimi_host.so"))
}

/// The folder of the driver for tests, for `LD_LIBRARY_PATH`: `libcuda.so.1` and `libnvrtc.so.12`.
pub fn driver_folder() -> &'static Path {
    Path::new(env!("OUT_DIR"))
}
