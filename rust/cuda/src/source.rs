//! The kernels' text: the files of `kernels/`, one after another.

use std::sync::OnceLock;

/// Each file's name and text, in the order in which they need each other.
const FILES: &[(&str, &str)] = &[
    ("common.cu", include_str!("../kernels/common.cu")),
    ("math.cu", include_str!("../kernels/math.cu")),
    ("lanes.cu", include_str!("../kernels/lanes.cu")),
    ("rows.cu", include_str!("../kernels/rows.cu")),
    ("product.cu", include_str!("../kernels/product.cu")),
    ("product_norm.cu", include_str!("../kernels/product_norm.cu")),
    ("product_few.cu", include_str!("../kernels/product_few.cu")),
    ("product_many.cu", include_str!("../kernels/product_many.cu")),
    ("product_column.cu", include_str!("../kernels/product_column.cu")),
    ("norm.cu", include_str!("../kernels/norm.cu")),
    ("pointwise.cu", include_str!("../kernels/pointwise.cu")),
    ("depthwise.cu", include_str!("../kernels/depthwise.cu")),
    ("upsample.cu", include_str!("../kernels/upsample.cu")),
    ("entries.cu", include_str!("../kernels/entries.cu")),
    ("search.cu", include_str!("../kernels/search.cu")),
    ("attention.cu", include_str!("../kernels/attention.cu")),
    ("tensors.cu", include_str!("../kernels/tensors.cu")),
    #[cfg(test)]
    ("probe.cu", include_str!("../testing/driver/probe.cu")),
];

/// What stands before the name of a kernel and its launch bounds.
const KERNEL: &str = "extern \"C\" __global__";

/// One text in CUDA C++, without includes. Messages of the compiler name the file and line.
pub fn text() -> String {
    FILES.iter().map(|(name, text)| format!("#line 1 \"{name}\"\n{text}\n")).collect()
}

/// The names of the kernels, in the order of the text.
pub(crate) fn kernels() -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| FILES.iter().flat_map(|(_, text)| text.split(KERNEL).skip(1)).filter_map(name).collect())
}

/// The name in `void __launch_bounds__(256) name(const Arguments arguments) {`.
fn name(definition: &'static str) -> Option<&'static str> {
    let (head, _) = definition.split_once('{')?;
    let (before, _) = head.rsplit_once('(')?;
    before.split_whitespace().last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_kernels_are_found() {
        assert_eq!(name(" void __launch_bounds__(256) a_kernel(const Arguments arguments) {"), Some("a_kernel"));
        assert_eq!(name(" void\n__launch_bounds__(32, 2)\nother (Arguments a)\n{ f(); }"), Some("other"));
        assert!(kernels().contains(&"probe_add"));
        assert!(kernels().iter().all(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')));
    }
}
