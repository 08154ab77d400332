//! Where NVRTC is: the compiler of the kernels, a library of CUDA's toolkit and of Python packages.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::nvrtc::Nvrtc;
use crate::driver::{Info, lock};
use crate::{Error, Result};

/// Directories that the caller named.
static NAMED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Names that the system's loader is asked for.
const NAMES: &[&str] = if cfg!(windows) {
    &["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"]
} else {
    &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]
};

/// Variables that name an installed toolkit.
const TOOLKITS: [&str; 2] = ["CUDA_HOME", "CUDA_PATH"];

/// Where libraries lie in a directory: itself, those of a toolkit, and those of Python packages in `nvidia/*`.
const PLACES: &[&str] = &["", "lib64", "lib", "bin", "bin/x64", "bin/x86_64"];

/// Looks for NVRTC in these directories too, and first: where libraries lie, toolkits, or `site-packages` of Python with
/// packages of NVIDIA.
pub fn look_in<P: Into<PathBuf>>(directories: impl IntoIterator<Item = P>) {
    let mut named = lock(&NAMED);
    for directory in directories.into_iter().map(Into::into) {
        if !named.contains(&directory) {
            named.push(directory);
        }
    }
}

/// The version, major and minor, of the NVRTC that is tried first for a device.
///
/// # Errors
/// [`Error::Missing`] where there is none that makes code for it.
pub fn compiler_for(info: &Info) -> Result<(u32, u32)> {
    let fits = |nvrtc: &Nvrtc| !nvrtc.targets(info.capability).is_empty();
    nvrtcs(info.driver).find(fits).map(|nvrtc| nvrtc.version()).ok_or_else(|| missing(info))
}

/// The compilers that are found, those that are not newer than the driver first. Each is loaded when its turn comes.
pub(super) fn nvrtcs(driver: u32) -> impl Iterator<Item = Nvrtc> {
    let named = lock(&NAMED).clone();
    let toolkits = TOOLKITS.iter().filter_map(env::var_os).map(PathBuf::from);
    let usual = [PathBuf::from("/usr/local/cuda")];
    let mut files: Vec<PathBuf> =
        named.iter().chain(&toolkits.collect::<Vec<_>>()).flat_map(|path| inside(path)).collect();
    files.extend(NAMES.iter().map(PathBuf::from));
    files.extend(usual.iter().flat_map(|path| inside(path)));
    files.sort_by_key(|file| major(file).is_some_and(|major| major > driver / 1000));
    files.into_iter().filter_map(|file| Nvrtc::load(&file))
}

/// The error where there is none that makes code for the device.
pub(super) fn missing(info: &Info) -> Error {
    let (major, minor) = info.capability;
    Error::Missing(format!(
        "no NVRTC was found that compiles for {} (compute capability {major}.{minor}, driver of CUDA {}.{}): expected {}; \
         install it with `pip install mimi-codec[cuda]`, or CUDA's toolkit and set CUDA_HOME",
        info.name,
        info.driver / 1000,
        info.driver % 1000 / 10,
        NAMES.join(" or "),
    ))
}

/// NVRTCs in a directory and where libraries lie in it.
fn inside(directory: &Path) -> Vec<PathBuf> {
    let packages = entries(&directory.join("nvidia"));
    let roots = std::iter::once(directory.to_path_buf()).chain(packages);
    let places = roots.flat_map(|root| PLACES.iter().map(move |place| root.join(place)));
    places.flat_map(|place| entries(&place)).filter(|file| major(file).is_some()).collect()
}

/// What a directory has, in the order of names; nothing if it cannot be read.
pub(super) fn entries(directory: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The major version in the name of an NVRTC: 13 of `libnvrtc.so.13`, 12 of `nvrtc64_120_0.dll`.
fn major(file: &Path) -> Option<u32> {
    let name = file.file_name()?.to_str()?;
    if let Some(version) = name.strip_prefix("libnvrtc.so.") {
        return version.split('.').next()?.parse().ok();
    }
    let version: u32 = name.strip_prefix("nvrtc64_")?.strip_suffix("_0.dll")?.parse().ok()?;
    Some(version / 10)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::compile::OPTIONS;
    use crate::compile::nvrtc::Target;

    #[test]
    fn names_say_the_major_version() {
        let major = |name: &str| super::major(Path::new(name));
        assert_eq!(major("/lib/libnvrtc.so.13"), Some(13));
        assert_eq!(major("libnvrtc.so.12.9.86"), Some(12));
        assert_eq!((major("bin/nvrtc64_120_0.dll"), major("nvrtc64_130_0.dll")), (Some(12), Some(13)));
        for other in
            ["libnvrtc.so", "libnvrtc.alt.so.13", "libnvrtc-builtins.so.13.0", "nvrtc-builtins64_130.dll", "lib"]
        {
            assert_eq!(major(other), None, "{other}");
        }
    }

    /// With NVRTC's own libraries, where MIMI_NVRTC names their folders. Without it there is nothing to be tested here.
    #[test]
    fn the_real_compiler_is_loaded_and_compiles() {
        let Some(folders) = std::env::var_os("MIMI_NVRTC") else { return };
        for folder in std::env::split_paths(&folders) {
            let file = inside(&folder).into_iter().next().unwrap();
            let nvrtc = Nvrtc::load(&file).unwrap();
            assert_eq!(Some(nvrtc.version().0), major(&file));
            for (device, best) in [((7, 5), 75), ((8, 0), 80), ((9, 0), 90), ((10, 0), 100)] {
                let targets = nvrtc.targets(device);
                assert_eq!(targets, [Target::Cubin(best), Target::Ptx(best)]);
                let text = "extern \"C\" __global__ void twice(float* x) { x[threadIdx.x] *= 2.0f; }";
                let [cubin, ptx] = [0, 1].map(|i| nvrtc.compile(text, &targets[i], OPTIONS).unwrap());
                assert!(cubin.starts_with(b"\x7fELF"));
                assert!(ptx.ends_with(b"\0") && String::from_utf8_lossy(&ptx).contains(".entry twice"));
            }
            let error = nvrtc.compile("int mistake = ;", &Target::Ptx(80), OPTIONS).unwrap_err().to_string();
            assert!(error.contains("mimi.cu(1): error: expected an expression"), "{error}");
        }
    }
}
