//! The kernels as the driver has them, and their launches.

#![allow(dead_code, reason = "launches come with the kernels")]

use std::collections::HashMap;
use std::ffi::{CString, c_int, c_void};
use std::ptr;
use std::sync::Mutex;

use cudarc::driver::{result, sys};

use super::info::Info;
use super::open::Gpu;
use super::{call, lock};
use crate::{Error, Result, compile, source};

/// Shared memory in bytes that a launch can have without having asked for more.
const SHARED_MEMORY: u32 = 48 << 10;

/// All kernels, loaded onto a device.
pub(super) struct Kernels {
    module: sys::CUmodule,
    by_name: HashMap<&'static str, Kernel>,
}

struct Kernel {
    function: sys::CUfunction,
    /// Dynamic shared memory that launches can have.
    shared: Mutex<u32>,
}

// SAFETY: modules and functions of the driver may be used from any thread.
unsafe impl Send for Kernels {}
// SAFETY: as above, and at the same time; what changes is behind a mutex.
unsafe impl Sync for Kernels {}

impl Kernels {
    /// Compiles the kernels for the device, or takes them from the cache, and loads them. The context is current.
    pub(super) fn load(info: &Info) -> Result<Self> {
        compile::first_that_loads(info, Self::of)
    }

    /// Loads a compiled text.
    fn of(image: &[u8]) -> Result<Self> {
        let failed = |error| call::failure("loading the kernels", error, 0);
        // SAFETY: an image of the compiler, whole.
        let module = unsafe { result::module::load_data(image.as_ptr().cast()) }.map_err(failed)?;
        let mut kernels = Self { module, by_name: HashMap::new() };
        // All of them now: a driver that loads a kernel at its first launch could not do so while recording.
        for name in source::kernels() {
            match kernels.find(name) {
                Ok(kernel) => kernels.by_name.insert(name, kernel),
                Err(error) => {
                    kernels.unload();
                    return Err(error);
                }
            };
        }
        Ok(kernels)
    }

    fn find(&self, name: &str) -> Result<Kernel> {
        let c_name = CString::new(name).map_err(|_| Error::Driver(format!("not the name of a kernel: {name:?}")))?;
        // SAFETY: the module was loaded above.
        let function = unsafe { result::module::get_function(self.module, c_name) }
            .map_err(|error| call::failure(&format!("finding the kernel {name}"), error, 0))?;
        Ok(Kernel { function, shared: Mutex::new(SHARED_MEMORY) })
    }

    /// Unloads them: no launch is under way, and none follows.
    pub(super) fn unload(&self) {
        // SAFETY: loaded by `load`. There is nothing to be done about an error.
        let _ = unsafe { result::module::unload(self.module) };
    }
}

impl Kernel {
    /// Sees to it that a launch can have `bytes` of dynamic shared memory.
    fn allow(&self, bytes: u32) -> Result<(), result::DriverError> {
        let mut shared = lock(&self.shared);
        if bytes > *shared {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let bytes_int = c_int::try_from(bytes).unwrap_or(c_int::MAX);
            // SAFETY: the function's module is loaded.
            unsafe { result::function::set_function_attribute(self.function, attribute, bytes_int) }?;
            *shared = bytes;
        }
        Ok(())
    }
}

impl Gpu {
    /// Launches a kernel, in stream order, or records it.
    ///
    /// # Errors
    /// [`Error::Shape`] for an empty grid or block, [`Error::Driver`].
    ///
    /// # Safety
    /// `arguments` is the structure that the kernel `name` takes, and what it points to on the device is there, as long as
    /// the kernel expects, until the work is done, or until the graph that is recorded is dropped.
    pub(crate) unsafe fn launch<T: Copy>(
        &self,
        name: &'static str,
        grid: [u32; 3],
        block: u32,
        shared: u32,
        arguments: &T,
    ) -> Result<()> {
        let pass = self.0.enter()?;
        let [x, y, z] = grid;
        if x == 0 || y == 0 || z == 0 || block == 0 {
            return Err(Error::Shape(format!("expected blocks of {name}, got a grid of {grid:?} of {block} threads")));
        }
        let kernel =
            self.0.kernels.by_name.get(name).ok_or_else(|| Error::Driver(format!("no kernel is named {name}")))?;
        let doing = || format!("launching {name} on a grid of {grid:?} with {block} threads and {shared} bytes");
        kernel.allow(shared).map_err(|error| self.0.failure(&doing(), error, 0))?;
        let mut parameters = [ptr::from_ref(arguments).cast_mut().cast::<c_void>()];
        let (grid_size, block_size) = ((x, y, z), (block, 1, 1));
        // SAFETY: the driver copies the arguments during the call; the rest is the caller's promise.
        unsafe {
            result::launch_kernel(kernel.function, grid_size, block_size, shared, self.0.stream(), &mut parameters)
        }
        .map_err(|error| self.0.failure(&doing(), error, 0))?;
        self.0.count(&pass, |counts| &mut counts.launches, &self.0.counters.launches);
        Ok(())
    }
}
