//! A transposed convolution as a product: `[x[t - h], ..., x[t]]`, with `h = kernel / stride - 1`, times
//! `((h + 1) c_in, stride * c_out)`.

use super::ConvTransposeShape;

/// Where the element of PyTorch's weights `(c_in, c_out, kernel)` at each row and column of the product's right matrix
/// lies: the sum of the row's offset and the column's.
pub(super) fn offsets(
    shape: &ConvTransposeShape,
) -> (impl Iterator<Item = usize> + use<>, impl Iterator<Item = usize> + use<>) {
    let ConvTransposeShape { c_in, c_out, kernel, stride, .. } = *shape;
    // The oldest input comes first, and adds by the last taps.
    let taps = (0..kernel / stride).rev().map(move |input| input * stride);
    let inputs = taps.flat_map(move |tap| (0..c_in).map(move |i| i * c_out * kernel + tap));
    let outputs = (0..stride).flat_map(move |tap| (0..c_out).map(move |output| output * kernel + tap));
    (inputs, outputs)
}
