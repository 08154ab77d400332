//! The kernels as the driver has them, and their launches.

use std::collections::HashMap;
use std::ffi::{CString, c_int, c_void};
use std::ptr;
use std::sync::Mutex;

use cudarc::driver::{result, sys};

use super::info::Info;
use super::open::Gpu;
use super::{call, lock};
use crate::{Error, Result, compile, source};

/// Shared memory in bytes that a block can have without having asked for more: the kernel's own, and what a launch adds.
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
        let function = unsafe { result::module::get_function(self.module, c_name) };
        let own = function.and_then(|function| {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES;
            // SAFETY: the function's module is loaded.
            Ok((function, unsafe { result::function::get_function_attribute(function, attribute) }?))
        });
        let (function, own) = own.map_err(|error| call::failure(&format!("finding the kernel {name}"), error, 0))?;
        let own = u32::try_from(own).unwrap_or(0);
        Ok(Kernel { function, shared: Mutex::new(SHARED_MEMORY.saturating_sub(own)) })
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use mimi_cuda_testing::TestDriver;

    use super::*;
    use crate::{Buffer, Counts};

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct ProbeAdd {
        values: u64,
        addends: u64,
        length: u32,
    }

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct ProbeShared {
        sums: u64,
    }

    fn gpu() -> (Gpu, &'static TestDriver) {
        let driver = TestDriver::load();
        (Gpu::open(0).unwrap(), driver)
    }

    fn floats(gpu: &Gpu, values: &[f32]) -> Buffer {
        let buffer = gpu.buffer(size_of_val(values)).unwrap();
        gpu.upload(buffer.span(), bytemuck::cast_slice(values)).unwrap();
        buffer
    }

    fn read<T: bytemuck::Pod>(gpu: &Gpu, buffer: &Buffer) -> Vec<T> {
        let mut bytes = vec![0; buffer.span().bytes()];
        gpu.download(buffer.span(), &mut bytes).unwrap();
        bytemuck::pod_collect_to_vec(&bytes)
    }

    fn add(gpu: &Gpu, values: &Buffer, addends: &Buffer) -> Result<()> {
        let length = values.span().bytes() as u32 / 4;
        let arguments = ProbeAdd { values: values.span().address(), addends: addends.span().address(), length };
        // SAFETY: the kernel's structure, and as many floats as it says in both buffers.
        unsafe { gpu.launch("probe_add", [length.div_ceil(32), 1, 1], 32, 0, &arguments) }
    }

    #[test]
    fn a_kernel_runs_with_its_arguments() {
        let (gpu, _) = gpu();
        let (values, addends) = (floats(&gpu, &[1.0; 100]), floats(&gpu, &[0.5; 100]));
        let before = gpu.counts();
        add(&gpu, &values, &addends).unwrap();
        add(&gpu, &values, &addends).unwrap();
        assert_eq!(gpu.counts() - before, Counts { launches: 2, ..Counts::default() });
        assert_eq!(read::<f32>(&gpu, &values), [2.0; 100]);
    }

    #[test]
    fn a_recorded_kernel_runs_at_each_replay() {
        let (gpu, _) = gpu();
        let (values, addends) = (floats(&gpu, &[1.0; 8]), floats(&gpu, &[2.0; 8]));
        let before = gpu.counts();
        let ((), graph) = gpu.record(|| add(&gpu, &values, &addends)).unwrap();
        assert_eq!(graph.contents(), Counts { launches: 1, ..Counts::default() });
        (0..3).for_each(|_| gpu.replay(&graph).unwrap());
        assert_eq!(gpu.counts() - before, Counts { graph_launches: 3, ..Counts::default() });
        assert_eq!(read::<f32>(&gpu, &values), [7.0; 8]);
    }

    #[test]
    fn more_shared_memory_is_asked_for_up_to_what_the_device_has() {
        let (gpu, _) = gpu();
        let sums = gpu.buffer(8).unwrap();
        let launch = |shared| {
            let arguments = ProbeShared { sums: sums.span().address() };
            // SAFETY: the kernel's structure, and a sum for each of two blocks.
            unsafe { gpu.launch("probe_shared", [2, 1, 1], 64, shared, &arguments) }
        };
        // The driver for tests takes each kernel to have this much of its own.
        let most = gpu.info().shared_memory - 1024;
        for shared in [256, SHARED_MEMORY - 1024, SHARED_MEMORY - 1020, SHARED_MEMORY, most, 256] {
            gpu.fill(sums.span(), 0).unwrap();
            launch(shared).unwrap();
            assert_eq!(read::<u32>(&gpu, &sums), [64 * 63 / 2; 2], "{shared} bytes");
        }
        let error = launch(most + 4).unwrap_err().to_string();
        assert!(error.contains("launching probe_shared") && error.contains("INVALID_VALUE"), "{error}");
    }

    #[test]
    fn launches_that_fail_are_errors_and_the_next_works() {
        let (gpu, driver) = gpu();
        let (values, addends) = (floats(&gpu, &[1.0; 8]), floats(&gpu, &[2.0; 8]));
        let before = gpu.counts();
        driver.fail("launch", 1);
        let error = add(&gpu, &values, &addends).unwrap_err().to_string();
        assert!(error.contains("launching probe_add") && error.contains("OUT_OF_RESOURCES"), "{error}");
        let none = ProbeShared { sums: 0 };
        // SAFETY: nothing is launched.
        let refused =
            unsafe { [gpu.launch("nothing", [1; 3], 1, 0, &none), gpu.launch("probe_add", [0, 1, 1], 1, 0, &none)] };
        assert_eq!(refused[0], Err(Error::Driver("no kernel is named nothing".into())));
        assert!(matches!(&refused[1], Err(Error::Shape(text)) if text.contains("probe_add")), "{refused:?}");
        assert_eq!(gpu.counts(), before);
        driver.fail("launch", 1);
        assert!(gpu.record(|| add(&gpu, &values, &addends)).is_err());
        add(&gpu, &values, &addends).unwrap();
        assert_eq!(read::<f32>(&gpu, &values), [3.0; 8]);
    }
}
