//! The driver for tests, in this process.

use std::ffi::CString;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libloading::{Library, Symbol};

use crate::driver_folder;

/// The driver for tests and its compiler, where the process finds a CUDA driver and NVRTC.
///
/// Its devices are settable by the environment when it is loaded: `MIMI_TEST_CAPABILITY` (90), `MIMI_TEST_MEMORY` (bytes),
/// `MIMI_TEST_DEVICES` (4), `MIMI_TEST_VERSION` (12090), `MIMI_TEST_FAIL` (`allocation:3`), `MIMI_TEST_TRACE`,
/// `MIMI_TEST_COMPILER` (`fails`).
pub struct TestDriver {
    cuda: Library,
    nvrtc: Option<Library>,
}

impl TestDriver {
    /// Loads both libraries, before anything else of CUDA is asked for. The cache of compiled kernels is off, unless the
    /// environment names one.
    ///
    /// # Panics
    /// If they cannot be loaded.
    pub fn load() -> &'static Self {
        Self::get(true)
    }

    /// Loads the driver alone: there is no compiler then, if the machine has none.
    ///
    /// # Panics
    /// If it cannot be loaded.
    pub fn load_without_compiler() -> &'static Self {
        Self::get(false)
    }

    fn get(with_compiler: bool) -> &'static Self {
        static DRIVER: OnceLock<TestDriver> = OnceLock::new();
        DRIVER.get_or_init(|| {
            const CACHE: &str = "MIMI_CODEC_CACHE";
            if std::env::var_os(CACHE).is_none() {
                // SAFETY: all tests of a process come through here before they do anything that reads the environment.
                unsafe { std::env::set_var(CACHE, "") };
            }
            let nvrtc = with_compiler.then(|| open(&driver_folder().join("libnvrtc.so.12")));
            Self { cuda: open(&driver_folder().join("libcuda.so")), nvrtc }
        })
    }

    /// Waits until no other test that asked for it counts, or looks at what is alive.
    pub fn alone(&self) -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the `nth` call from now on, of this thread, fail: `allocation`, `pinned`, `launch`, `replay`, `record` or `wait`,
    /// after which the device is lost. 0 for none.
    pub fn fail(&self, kind: &str, nth: u64) {
        let kind = text(kind);
        // SAFETY: the function has this type, and reads a text.
        unsafe { self.function::<unsafe extern "C" fn(*const i8, u64)>("mimi_test_fail")(kind.as_ptr().cast(), nth) };
    }

    /// How often the process has called a function of the driver so far, as `cuLaunchKernel`.
    pub fn calls(&self, function: &str) -> u64 {
        let name = text(function);
        // SAFETY: as above.
        unsafe { self.function::<unsafe extern "C" fn(*const i8) -> u64>("mimi_test_calls")(name.as_ptr().cast()) }
    }

    /// What the process has made and not given back: `allocation`, `pinned`, `stream`, `event`, `module`, `graph` or
    /// `context`.
    pub fn alive(&self, kind: &str) -> i64 {
        let kind = text(kind);
        // SAFETY: as above.
        unsafe { self.function::<unsafe extern "C" fn(*const i8) -> i64>("mimi_test_alive")(kind.as_ptr().cast()) }
    }

    /// How often the process has compiled.
    pub fn compilations(&self) -> u64 {
        let Some(nvrtc) = &self.nvrtc else { return 0 };
        // SAFETY: the function has this type.
        unsafe {
            nvrtc.get::<unsafe extern "C" fn() -> u64>(b"mimi_test_compilations").expect("the library exports it")()
        }
    }

    /// # Safety
    /// `T` is the function's type.
    unsafe fn function<T>(&self, name: &str) -> Symbol<'_, T> {
        // SAFETY: the caller's promise.
        unsafe { self.cuda.get(name) }.expect("the library exports it")
    }
}

fn open(path: &Path) -> Library {
    // SAFETY: the libraries run nothing when they are loaded but constructors of their own variables.
    unsafe { Library::new(path) }.unwrap_or_else(|error| panic!("the driver for tests: {error}"))
}

fn text(text: &str) -> CString {
    CString::new(text).expect("names have no zero bytes")
}
