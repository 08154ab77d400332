//! Compiles the kernels' text with the host's C++ compiler, against what `host/` has in place of a GPU.

// The same list of files as the crate that compiles them for a device.
#[path = "../src/source.rs"]
#[allow(dead_code, unreachable_pub)]
mod source;
#[path = "build/tables.rs"]
mod tables;

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=host");
    println!("cargo::rerun-if-changed=driver");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=tests/shim.cu");
    println!("cargo::rerun-if-changed=../kernels");
    println!("cargo::rerun-if-changed=../src/source.rs");
    println!("cargo::rerun-if-env-changed=CXX");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("host");
    let library = |text: &str, name: &str| {
        let kernels = out.join(format!("{name}.cpp"));
        let program = tables::program(&tables::dynamic_shared_memory(text));
        std::fs::write(&kernels, program).expect("a file in the build folder can be written");
        compile(&here, &[kernels, here.join("run.cpp")], &out.join(format!("lib{name}.so")), &[]);
    };
    let probe = std::fs::read_to_string("driver/probe.cu").expect("the kernels for tests can be read");
    library(&format!("{}#line 1 \"probe.cu\"\n{probe}", source::text()), "mimi_host");
    // For the tests of what runs the kernels.
    let tests = std::fs::read_to_string("tests/shim.cu").expect("the test's kernels can be read");
    library(&format!("#line 1 \"shim.cu\"\n{tests}"), "mimi_shim");
    driver(&here.with_file_name("driver"), &out);
}

/// The driver for tests, beside the kernels that it runs, and its compiler.
fn driver(here: &Path, out: &Path) {
    let sources = ["device.cpp", "memory.cpp", "state.cpp", "stream.cpp"].map(|name| here.join(name));
    let search = format!("-L{}", out.display());
    // It is what is found under the name that cudarc asks for first, and under the name of the real one.
    let linked = [search.as_str(), "-Wl,-rpath,$ORIGIN", "-Wl,-soname,libcuda.so", "-lmimi_host"];
    compile(here, &sources, &out.join("libcuda.so"), &linked);
    let other = out.join("libcuda.so.1");
    let _ = std::fs::remove_file(&other);
    std::fs::hard_link(out.join("libcuda.so"), other).expect("a file in the build folder can be written");
    let named = ["-Wl,-soname,libnvrtc.so.12"];
    compile(here, &[here.join("nvrtc.cpp")], &out.join("libnvrtc.so.12"), &named);
}

fn compile(include: &Path, sources: &[PathBuf], library: &Path, linked: &[&str]) {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let mut command = Command::new(&compiler);
    // Sums are rounded as they are written down; misaligned vectors and indices past an array end the process.
    command.args([
        "-std=c++17",
        "-O2",
        "-g1",
        "-fPIC",
        "-shared",
        "-pthread",
        "-ffp-contract=off",
        "-fno-strict-aliasing",
    ]);
    command.args(["-fsanitize=alignment,bounds", "-fsanitize-undefined-trap-on-error"]);
    command.args(["-Wall", "-Wextra", "-Wno-unused-function", "-Wno-unknown-pragmas", "-Wno-unused-parameter"]);
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
        // A fused multiply-add must be one instruction.
        command.args(["-mavx2", "-mfma"]);
    }
    command.arg("-I").arg(include).args(sources).arg("-o").arg(library).args(linked);
    let output = command.output().unwrap_or_else(|error| panic!("a C++ compiler, {}: {error}", compiler.display()));
    let messages = String::from_utf8_lossy(&output.stderr);
    messages.lines().filter(|line| line.contains("warning:")).for_each(|line| println!("cargo::warning={line}"));
    assert!(output.status.success(), "the kernels' text does not compile for the host:\n{messages}");
}
