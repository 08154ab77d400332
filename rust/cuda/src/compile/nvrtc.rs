//! NVRTC: the functions of its library that are used here.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr;

use libloading::Library;

use super::libraries;
use crate::{Error, Result};

type Status = c_int;
type Program = *mut std::ffi::c_void;
type Size = unsafe extern "C" fn(Program, *mut usize) -> Status;
type Read = unsafe extern "C" fn(Program, *mut c_char) -> Status;
type Create = unsafe extern "C" fn(
    *mut Program,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> Status;

/// A library of NVRTC that was loaded. It stays loaded.
pub(super) struct Nvrtc {
    version: (u32, u32),
    /// Compute capabilities that it compiles for, as 90 for 9.0.
    architectures: Vec<u32>,
    functions: Functions,
}

struct Functions {
    error: unsafe extern "C" fn(Status) -> *const c_char,
    create: Create,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> Status,
    destroy: unsafe extern "C" fn(*mut Program) -> Status,
    log_size: Size,
    log: Read,
    cubin_size: Size,
    cubin: Read,
    ptx_size: Size,
    ptx: Read,
}

/// What is compiled for: machine code of an architecture, or PTX, which the driver compiles further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Cubin(u32),
    Ptx(u32),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cubin(architecture) => write!(f, "sm_{architecture}"),
            Self::Ptx(architecture) => write!(f, "compute_{architecture}"),
        }
    }
}

impl Nvrtc {
    /// Loads a library, if it is one of NVRTC that works.
    pub(super) fn load(file: &Path) -> Option<Self> {
        load_builtins(file);
        // SAFETY: loading NVRTC runs no code but its own initialisers.
        let library = ManuallyDrop::new(unsafe { Library::new(file) }.ok()?);
        // SAFETY: the types are those of NVRTC's header. The library is never closed.
        unsafe {
            let version = version(*library.get(b"nvrtcVersion\0").ok()?)?;
            let architectures = architectures(
                *library.get(b"nvrtcGetNumSupportedArchs\0").ok()?,
                *library.get(b"nvrtcGetSupportedArchs\0").ok()?,
            )?;
            let functions = Functions {
                error: *library.get(b"nvrtcGetErrorString\0").ok()?,
                create: *library.get(b"nvrtcCreateProgram\0").ok()?,
                compile: *library.get(b"nvrtcCompileProgram\0").ok()?,
                destroy: *library.get(b"nvrtcDestroyProgram\0").ok()?,
                log_size: *library.get(b"nvrtcGetProgramLogSize\0").ok()?,
                log: *library.get(b"nvrtcGetProgramLog\0").ok()?,
                cubin_size: *library.get(b"nvrtcGetCUBINSize\0").ok()?,
                cubin: *library.get(b"nvrtcGetCUBIN\0").ok()?,
                ptx_size: *library.get(b"nvrtcGetPTXSize\0").ok()?,
                ptx: *library.get(b"nvrtcGetPTX\0").ok()?,
            };
            Some(Self { version, architectures, functions })
        }
    }

    /// Its version, major and minor.
    pub(super) fn version(&self) -> (u32, u32) {
        self.version
    }

    /// What can be compiled for a device, the best first: machine code runs on later devices of the same generation, PTX
    /// on all later ones.
    pub(super) fn targets(&self, (major, minor): (u32, u32)) -> Vec<Target> {
        targets(&self.architectures, major * 10 + minor)
    }

    /// Compiles a text.
    ///
    /// # Errors
    /// [`Error::Compile`] with what the compiler says.
    pub(super) fn compile(&self, text: &str, target: &Target, options: &[&str]) -> Result<Vec<u8>> {
        let strings = |words: &[&str]| words.iter().map(|word| CString::new(*word)).collect::<Result<Vec<_>, _>>();
        let architecture = format!("--gpu-architecture={target}");
        let options = strings(&[&[architecture.as_str()], options].concat()).map_err(not_text)?;
        let text = CString::new(text).map_err(not_text)?;
        let program = self.program(&text)?;
        let pointers: Vec<_> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: the program exists, and there are as many options as said.
        let status = unsafe { (self.functions.compile)(program.0, pointers.len() as c_int, pointers.as_ptr()) };
        if status != 0 {
            let log = program.read(self.functions.log_size, self.functions.log).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            return Err(self.failure(
                &format!("compiling the kernels for {target}"),
                status,
                log.trim_end_matches(['\0', '\n']),
            ));
        }
        let (size, read) = match target {
            Target::Cubin(_) => (self.functions.cubin_size, self.functions.cubin),
            Target::Ptx(_) => (self.functions.ptx_size, self.functions.ptx),
        };
        program.read(size, read).map_err(|status| self.failure("reading the compiled kernels", status, ""))
    }

    fn program(&self, text: &CStr) -> Result<Guard> {
        let mut program = ptr::null_mut();
        let (name, none) = (c"mimi.cu".as_ptr(), ptr::null());
        // SAFETY: both texts end in a zero; there are no headers.
        let status = unsafe { (self.functions.create)(&raw mut program, text.as_ptr(), name, 0, none, none) };
        if status != 0 {
            return Err(self.failure("giving the kernels to the compiler", status, ""));
        }
        Ok(Guard(program, self.functions.destroy))
    }

    fn failure(&self, doing: &str, status: Status, log: &str) -> Error {
        // SAFETY: NVRTC gives a constant text for any number.
        let words = unsafe { CStr::from_ptr((self.functions.error)(status)) }.to_string_lossy();
        let (major, minor) = self.version;
        Error::Compile(format!("NVRTC {major}.{minor} failed in {doing}: {words}\n{log}").trim_end().to_owned())
    }
}

/// A program of NVRTC, destroyed when dropped.
struct Guard(Program, unsafe extern "C" fn(*mut Program) -> Status);

impl Guard {
    /// What the compiler has of one kind.
    fn read(&self, size: Size, read: Read) -> Result<Vec<u8>, Status> {
        let mut bytes = 0;
        // SAFETY: the program exists.
        let status = unsafe { size(self.0, &raw mut bytes) };
        if status != 0 {
            return Err(status);
        }
        let mut data = vec![0_u8; bytes];
        // SAFETY: there is room for as many bytes as it said.
        match unsafe { read(self.0, data.as_mut_ptr().cast()) } {
            0 => Ok(data),
            status => Err(status),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: created by `Nvrtc::program`, and destroyed once.
        unsafe { (self.1)(&raw mut self.0) };
    }
}

/// Loads the library that NVRTC asks the loader for by its bare name, if it lies beside it.
fn load_builtins(file: &Path) {
    let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) else { return };
    let is_builtins = |path: &&std::path::PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libnvrtc-builtins.so.") || name.starts_with("nvrtc-builtins64_") && name.ends_with(".dll")
    };
    for builtins in libraries::entries(directory).iter().filter(is_builtins) {
        // SAFETY: as for NVRTC itself. It stays loaded; without it NVRTC says what it misses.
        drop(unsafe { Library::new(builtins) }.map(ManuallyDrop::new));
    }
}

/// # Safety
/// `ask` is `nvrtcVersion`.
unsafe fn version(ask: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status) -> Option<(u32, u32)> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: it writes two ints.
    let status = unsafe { ask(&raw mut major, &raw mut minor) };
    (status == 0).then_some((u32::try_from(major).ok()?, u32::try_from(minor).ok()?))
}

/// # Safety
/// They are `nvrtcGetNumSupportedArchs` and `nvrtcGetSupportedArchs`.
unsafe fn architectures(
    ask_number: unsafe extern "C" fn(*mut c_int) -> Status,
    ask: unsafe extern "C" fn(*mut c_int) -> Status,
) -> Option<Vec<u32>> {
    let mut number = 0;
    // SAFETY: it writes one int.
    let status = unsafe { ask_number(&raw mut number) };
    let mut architectures = vec![0; usize::try_from(number).ok().filter(|_| status == 0)?];
    // SAFETY: it writes as many ints as the other said.
    let status = unsafe { ask(architectures.as_mut_ptr()) };
    (status == 0)
        .then(|| architectures.into_iter().filter_map(|architecture| u32::try_from(architecture).ok()).collect())
}

fn targets(architectures: &[u32], device: u32) -> Vec<Target> {
    let best = architectures.iter().copied().filter(|&architecture| architecture <= device).max();
    let runs_as_it_is = |architecture: &u32| architecture / 10 == device / 10;
    best.filter(runs_as_it_is).map(Target::Cubin).into_iter().chain(best.map(Target::Ptx)).collect()
}

fn not_text(error: std::ffi::NulError) -> Error {
    Error::Compile(format!("not a text for the compiler: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_target_of_a_device() {
        let known = [75, 80, 86, 90, 100];
        assert_eq!(targets(&known, 90), [Target::Cubin(90), Target::Ptx(90)]);
        assert_eq!(targets(&known, 89), [Target::Cubin(86), Target::Ptx(86)]);
        assert_eq!(targets(&known, 120), [Target::Ptx(100)]);
        assert_eq!(targets(&known, 70), []);
    }
}
