//! Opening a device where something is missing or does not work, and the cache of compiled kernels. Each case is a process
//! of its own, as libraries and the environment are the process's.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mimi_cuda::Gpu;
use mimi_cuda_testing::TestDriver;

/// Names what the process of this test does.
const CASE: &str = "MIMI_TEST_CASE";

/// What came of opening a device in another process: "opened, compilations" or the kind of the error and its text.
fn open_elsewhere(case: &str, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_other_process", "--nocapture"]).env(CASE, case);
    command.env("MIMI_CODEC_CACHE", "").env_remove("LD_LIBRARY_PATH");
    command.envs(environment.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let found = said.split("<<").nth(1).and_then(|rest| rest.split(">>").next());
    found.unwrap_or_else(|| panic!("no answer: {output:?}")).to_owned()
}

#[test]
#[allow(clippy::print_stdout)]
fn the_other_process() {
    let driver = match std::env::var(CASE).as_deref() {
        Ok("both") => Some(TestDriver::load()),
        Ok("driver") => Some(TestDriver::load_without_compiler()),
        Ok(_) => None,
        Err(_) => return,
    };
    let opened = Gpu::open(0);
    let answer = match opened {
        Ok(gpu) => {
            // The kernels work, whatever the cache had.
            gpu.wait().unwrap();
            format!("opened, {}", driver.map_or(0, TestDriver::compilations))
        }
        Err(error) => format!("{error:?}"),
    };
    println!("<<{answer}>>");
}

#[test]
fn without_a_driver_it_says_what_to_install() {
    // On a machine that has one the device opens, or something else of it is missing.
    let answer = open_elsewhere("nothing", &[]);
    // SAFETY: it only looks for the library.
    let is_there = unsafe { cudarc::driver::sys::is_culib_present() };
    let expected = "Missing(\"no CUDA driver was found (libcuda.so.1); install the NVIDIA driver";
    assert!(is_there || answer.starts_with(expected), "{answer}");
}

#[test]
fn without_a_compiler_it_says_what_to_install() {
    let answer = open_elsewhere("driver", &[("CUDA_HOME", "/nowhere"), ("CUDA_PATH", "/nowhere")]);
    let is_there = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "/usr/local/cuda/lib64/libnvrtc.so"];
    // SAFETY: loading the library does nothing else.
    let is_there = is_there.iter().any(|name| unsafe { libloading::Library::new(*name) }.is_ok());
    let expected = "Missing(\"no NVRTC was found that compiles for driver for tests, device 0 (compute capability 9.0, driver \
                    of CUDA 12.9): expected libnvrtc.so.13 or libnvrtc.so.12 or libnvrtc.so; install it with `pip install \
                    mimi-codec[cuda]`";
    assert!(is_there || answer.starts_with(expected), "{answer}");
}

#[test]
fn a_compiler_is_found_in_an_installed_toolkit() {
    let toolkit = Folder::new("toolkit");
    let from = mimi_cuda_testing::driver_folder().join("libnvrtc.so.12");
    for place in ["lib64", "nvidia/cuda_nvrtc/lib", "nvidia/cu13/lib"] {
        let root = toolkit.0.join(place.replace('/', "-"));
        fs::create_dir_all(root.join(place)).unwrap();
        fs::copy(&from, root.join(place).join("libnvrtc.so.12")).unwrap();
        // Names that are not the compiler's, though they begin as its do.
        fs::write(root.join(place).join("libnvrtc-builtins.so.12.9"), "nothing").unwrap();
        fs::write(root.join(place).join("libnvrtc.alt.so.12"), "nothing").unwrap();
        let answer = open_elsewhere("driver", &[("CUDA_HOME", root.to_str().unwrap())]);
        assert_eq!(answer, "opened, 0", "in {place}");
    }
}

#[test]
fn devices_and_drivers_that_are_not_enough() {
    let none = open_elsewhere("both", &[("MIMI_TEST_DEVICES", "0")]);
    assert!(none.starts_with("Missing(\"the CUDA driver finds no device (CUDA_ERROR_NO_DEVICE"), "{none}");
    let old = open_elsewhere("both", &[("MIMI_TEST_VERSION", "11080")]);
    assert!(old.starts_with("Missing(\"expected a driver of CUDA 12 or newer, got 11.8; install"), "{old}");
    let old = open_elsewhere("both", &[("MIMI_TEST_CAPABILITY", "70")]);
    assert!(old.starts_with("Missing(\"no NVRTC was found that compiles for") && old.contains("7.0"), "{old}");
    let full = open_elsewhere("both", &[("MIMI_TEST_COMPILER", "fails")]);
    let expected =
        "Compile(\"NVRTC 12.9 failed in compiling the kernels for sm_90: NVRTC_ERROR_COMPILATION\\ncommon.cu(1): error";
    assert!(full.starts_with(expected), "{full}");
}

#[test]
fn all_architectures_that_the_compiler_knows_open() {
    for capability in ["75", "80", "90", "100"] {
        assert_eq!(open_elsewhere("both", &[("MIMI_TEST_CAPABILITY", capability)]), "opened, 1");
    }
}

#[test]
fn code_that_the_driver_does_not_take_is_followed_by_the_next() {
    // The driver for tests wants code of its very architecture, which the compiler does not know: it refuses both.
    let answer = open_elsewhere("both", &[("MIMI_TEST_CAPABILITY", "87")]);
    assert!(
        answer.starts_with("Driver(\"the CUDA driver failed in loading the kernels: CUDA_ERROR_NO_BINARY"),
        "{answer}"
    );
}

#[test]
fn compiled_kernels_are_kept() {
    let folder = Folder::new("kept");
    let cache = [("MIMI_CODEC_CACHE", folder.0.to_str().unwrap())];
    assert_eq!(open_elsewhere("both", &cache), "opened, 1");
    assert_eq!(open_elsewhere("both", &cache), "opened, 0");
    let other_driver = [cache[0], ("MIMI_TEST_VERSION", "12080")];
    assert_eq!(open_elsewhere("both", &other_driver), "opened, 1", "another driver, other code");
    assert_eq!(open_elsewhere("both", &other_driver), "opened, 0");
    assert_eq!(files(&folder.0).len(), 2);
}

#[test]
fn caches_are_where_the_system_keeps_them() {
    let folder = Folder::new("home");
    let home = folder.0.to_str().unwrap();
    for (place, variables) in [
        (".cache/mimi-codec", vec![("HOME", home), ("XDG_CACHE_HOME", "")]),
        ("xdg/mimi-codec", vec![("HOME", "/nowhere"), ("XDG_CACHE_HOME", folder.0.join("xdg").to_str().unwrap())]),
    ] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_other_process"]).env(CASE, "both").envs(variables);
        // The harness turns the cache off unless a variable is there, so it goes through the driver's own search path.
        command.env_remove("MIMI_CODEC_CACHE").env(CASE, "nothing");
        command.env("LD_LIBRARY_PATH", mimi_cuda_testing::driver_folder());
        assert!(command.output().unwrap().status.success());
        assert_eq!(files(&folder.0.join(place)).len(), 1, "{place}");
    }
}

#[test]
fn a_cache_that_is_broken_is_no_error() {
    let folder = Folder::new("broken");
    let cache = [("MIMI_CODEC_CACHE", folder.0.to_str().unwrap())];
    assert_eq!(open_elsewhere("both", &cache), "opened, 1");
    let file = files(&folder.0).remove(0);
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let other_key = [&whole[..8], &[0; 16], &whole[24..]].concat();
    for broken in [&whole[..whole.len() / 2], &whole[..20], &[], &flipped, &other_key, b"something else"] {
        fs::write(&file, broken).unwrap();
        assert_eq!(open_elsewhere("both", &cache), "opened, 1");
        assert_eq!(fs::read(&file).unwrap(), whole, "it is whole again");
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(open_elsewhere("both", &cache), "opened, 1", "a folder of the file's name");
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_cache_that_cannot_be_written_is_no_error() {
    let folder = Folder::new("unwritable");
    let file = folder.0.join("file");
    fs::write(&file, "").unwrap();
    // A path through a file cannot be made, whoever the user is.
    for place in [file.join("cache"), PathBuf::from("/proc/nothing")] {
        let answer = open_elsewhere("both", &[("MIMI_CODEC_CACHE", place.to_str().unwrap())]);
        assert_eq!(answer, "opened, 1", "{}", place.display());
    }
}

#[test]
fn processes_that_compile_at_the_same_time_do_not_disturb_each_other() {
    let folder = Folder::new("together");
    let path = folder.0.to_str().unwrap().to_owned();
    let answers: Vec<String> = std::thread::scope(|scope| {
        let path = &path;
        let run = move || open_elsewhere("both", &[("MIMI_CODEC_CACHE", path)]);
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer.starts_with("opened")), "{answers:?}");
    assert_eq!(open_elsewhere("both", &[("MIMI_CODEC_CACHE", &path)]), "opened, 0");
    assert_eq!(files(&folder.0).len(), 1);
}

/// What the cache in a folder has.
fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder.join("cubins")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("mimi-cuda-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
