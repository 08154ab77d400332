//! A transposed convolution with kernel `2 stride` as a product: `[x[t - 1], x[t]]` times `(2 c_in, stride * c_out)`.

use std::borrow::Cow;

use super::ConvTransposeShape;

/// Where the element of PyTorch's weights `(c_in, c_out, 2 stride)` at each row and column of the product's right matrix
/// lies: the sum of the row's offset and the column's.
pub(super) fn offsets(
    shape: &ConvTransposeShape,
) -> (impl Iterator<Item = usize> + use<>, impl Iterator<Item = usize> + use<>) {
    let ConvTransposeShape { c_in, c_out, stride, .. } = *shape;
    let kernel = 2 * stride;
    // The first half of a left row is x[t - 1], the second x[t].
    let inputs = [stride, 0].into_iter().flat_map(move |tap| (0..c_in).map(move |i| i * c_out * kernel + tap));
    let outputs = (0..stride).flat_map(move |tap| (0..c_out).map(move |output| output * kernel + tap));
    (inputs, outputs)
}

/// Weights `(c_in, c_out, 2 stride)` with zeros between the groups.
pub(super) fn ungrouped<'a>(weight: &'a [f32], shape: &ConvTransposeShape) -> Cow<'a, [f32]> {
    let ConvTransposeShape { c_in, c_out, stride, groups, .. } = *shape;
    if groups == 1 {
        return Cow::Borrowed(weight);
    }
    let group = c_out / groups * 2 * stride;
    let mut dense = vec![0.0; c_in * c_out * 2 * stride];
    let inputs = dense.chunks_exact_mut(c_out * 2 * stride).zip(weight.chunks_exact(group));
    for (input, (outputs, weights)) in inputs.enumerate() {
        outputs[input / (c_in / groups) * group..][..group].copy_from_slice(weights);
    }
    Cow::Owned(dense)
}

/// Depthwise weights `(channels, 1, 2 stride)` tap by tap, `(2 stride, channels)`.
pub(super) fn taps(weight: &[f32], shape: &ConvTransposeShape) -> Vec<f32> {
    let (kernel, channels) = (2 * shape.stride, shape.c_in);
    (0..kernel * channels).map(|i| weight[i % channels * kernel + i / channels]).collect()
}
