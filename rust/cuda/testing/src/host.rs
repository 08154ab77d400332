//! The library that runs kernels on the host.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;

use libloading::Library;

use crate::host_library;

/// The kernels, compiled for the host.
pub struct Host(Library);

/// In which order blocks, and the threads of a block, take their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the first to the last.
    Forwards,
    /// From the last to the first.
    Backwards,
}

/// Why a launch was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no kernel of the name.
    Name,
    /// The grid, the block or the shared memory are not what a device takes.
    Dimensions,
}

impl Host {
    /// Loads the library of the kernels.
    ///
    /// # Panics
    /// If it cannot be loaded.
    pub fn load() -> Self {
        Self::of(host_library())
    }

    /// The same of other kernels.
    ///
    /// # Panics
    /// If it cannot be loaded.
    pub fn of(path: &Path) -> Self {
        // SAFETY: the library runs nothing when it is loaded but constructors of its own variables.
        let library = unsafe { Library::new(path) };
        Self(library.unwrap_or_else(|error| panic!("the host's library of kernels: {error}")))
    }

    /// Runs a kernel with `arguments`, the bytes of its struct of arguments.
    ///
    /// # Errors
    /// [`Refused`].
    ///
    /// # Panics
    /// If the arguments are not as long as the kernel's struct.
    ///
    /// # Safety
    /// The kernel may read and write where its arguments say.
    pub unsafe fn launch(
        &self,
        name: &str,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        arguments: &[u8],
    ) -> Result<(), Refused> {
        type Launch = unsafe extern "C" fn(*const c_char, *const u32, *const u32, u32, *const c_void) -> c_int;
        let length = self.arguments(name).ok_or(Refused::Name)?;
        assert_eq!(arguments.len(), length, "arguments of {name}");
        let name = text(name);
        // SAFETY: the function has this type; the arrays and the arguments are as long as it reads them.
        let outcome = unsafe {
            let launch = self.0.get::<Launch>(b"mimi_host_launch").expect("the library exports it");
            launch(name.as_ptr(), grid.as_ptr(), block.as_ptr(), shared, arguments.as_ptr().cast())
        };
        match outcome {
            0 => Ok(()),
            1 => Err(Refused::Name),
            _ => Err(Refused::Dimensions),
        }
    }

    /// Bytes of a kernel's arguments, if there is a kernel of the name.
    pub fn arguments(&self, name: &str) -> Option<usize> {
        let name = text(name);
        // SAFETY: the function has this type, and reads a text.
        let size = unsafe {
            let size = self.0.get::<unsafe extern "C" fn(*const c_char) -> u64>(b"mimi_host_arguments");
            size.expect("the library exports it")(name.as_ptr())
        };
        (size > 0).then_some(size as usize)
    }

    /// The offset and the bytes of a field of one of the kernels' structs; of the struct itself where `field` is empty.
    pub fn field(&self, structure: &str, field: &str) -> Option<(usize, usize)> {
        type Find = unsafe extern "C" fn(*const c_char, *const c_char, *mut u64, *mut u64) -> c_int;
        let (structure, field) = (text(structure), text(field));
        let (mut offset, mut size) = (0, 0);
        // SAFETY: the function has this type, reads two texts and writes two numbers.
        let found = unsafe {
            let find = self.0.get::<Find>(b"mimi_host_field").expect("the library exports it");
            find(structure.as_ptr(), field.as_ptr(), &mut offset, &mut size)
        };
        (found == 0).then_some((offset as usize, size as usize))
    }

    /// Sets the order of turns in what the calling thread launches.
    pub fn order(&self, order: Order) {
        // SAFETY: the function has this type.
        unsafe {
            let set = self.0.get::<unsafe extern "C" fn(c_int)>(b"mimi_host_order").expect("the library exports it");
            set((order == Order::Backwards).into());
        }
    }
}

fn text(text: &str) -> CString {
    CString::new(text).expect("names have no zero bytes")
}
