//! The kernels' text: the files of `kernels/`, one after another.

/// Each file's name and text, in the order in which they need each other.
const FILES: &[(&str, &str)] = &[("common.cu", include_str!("../kernels/common.cu"))];

/// One text in CUDA C++, without includes. Messages of the compiler name the file and line.
pub fn text() -> String {
    FILES.iter().map(|(name, text)| format!("#line 1 \"{name}\"\n{text}\n")).collect()
}
