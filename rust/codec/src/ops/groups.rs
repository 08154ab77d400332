//! Weights of convolutions whose channels are in groups that do not see each other.

use std::borrow::Cow;

/// Weights `(outer, inner / groups, kernel)` as `(outer, inner, kernel)`, with zeros between the groups.
///
/// Those of a convolution have its outputs outside and its inputs inside, those of a transposed one the other way round.
pub(super) fn ungrouped(weight: &[f32], outer: usize, inner: usize, kernel: usize, groups: usize) -> Cow<'_, [f32]> {
    if groups == 1 {
        return Cow::Borrowed(weight);
    }
    let group = inner / groups * kernel;
    let mut dense = vec![0.0; outer * inner * kernel];
    for (i, (dense, weights)) in dense.chunks_exact_mut(inner * kernel).zip(weight.chunks_exact(group)).enumerate() {
        dense[i / (outer / groups) * group..][..group].copy_from_slice(weights);
    }
    Cow::Owned(dense)
}

/// Depthwise weights `(channels, 1, kernel)` tap by tap, `(kernel, channels)`.
pub(super) fn taps(weight: &[f32], channels: usize, kernel: usize) -> Vec<f32> {
    (0..kernel * channels).map(|i| weight[i % channels * kernel + i / channels]).collect()
}
