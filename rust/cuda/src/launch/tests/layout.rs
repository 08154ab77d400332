//! Structures lie in memory as the kernels have them.

use mimi_cuda_testing::Host;

use super::Mirrored;
use crate::launch::{attention, depthwise, entries, norm, pointwise, product, search, tensors, upsample};
use crate::{FAULTS, Session};

fn check<T: Mirrored>(kernels: &[&str]) {
    let host = Host::load();
    assert_eq!(host.field(T::NAME, ""), Some((0, size_of::<T>())), "{}", T::NAME);
    for &(field, offset, size) in T::FIELDS {
        assert_eq!(host.field(T::NAME, field), Some((offset, size)), "{}.{field}", T::NAME);
    }
    for kernel in kernels {
        assert_eq!(host.arguments(kernel), Some(size_of::<T>()), "arguments of {kernel}");
    }
}

#[test]
fn arguments() {
    let products = ["few", "small", "large"]
        .into_iter()
        .flat_map(|way| ["float32", "bfloat16", "int8"].map(|precision| format!("product_{way}_{precision}")));
    let products: Vec<_> = products.chain(["product_column".into()]).collect();
    check::<product::arguments::ProductArguments>(&products.iter().map(String::as_str).collect::<Vec<_>>());
    check::<norm::NormArguments>(&["normalise"]);
    check::<pointwise::PointwiseArguments>(&["activation", "add", "gate", "snake", "silence"]);
    check::<pointwise::CopyArguments>(&["copy"]);
    check::<depthwise::DepthwiseArguments>(&["depthwise"]);
    check::<upsample::UpsampleArguments>(&["upsample"]);
    check::<entries::EntriesArguments>(&["entries"]);
    check::<search::SearchArguments>(&["search_few", "search_many"]);
    check::<search::CodesArguments>(&["codes"]);
    check::<attention::AttentionArguments>(&["attention"]);
    check::<tensors::TensorArguments>(&["bring_floats", "bring_codes", "take_floats", "take_codes"]);
}

#[test]
fn sessions() {
    let host = Host::load();
    assert_eq!(host.field("Session", ""), Some((0, size_of::<Session>())));
    assert_eq!(host.field("Session", "frames"), Some((std::mem::offset_of!(Session, frames), 8)));
    assert_eq!(host.field("Session", "parity"), Some((std::mem::offset_of!(Session, parity), 4)));
    let text = crate::kernels_text();
    assert!(text.contains(&format!("FAULTS = {FAULTS} }};")));
}
