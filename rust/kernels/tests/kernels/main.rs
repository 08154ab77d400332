//! The kernels through the crate's public interface, on every instruction set of this processor, each against the plain
//! loops that define it.

mod absurd;
mod arranged;
mod attention;
mod canonical;
mod code_search;
mod depthwise;
mod norm;
mod precision;
mod product;
mod random;
mod rows;
mod rowwise;
mod same;
mod strided;
mod threads;

/// The relative error of one rounding to float32.
const ROUNDING: f64 = 1.0 / (1_u64 << 24) as f64;

/// The bits of floats: equal bits, not equal values, are what the kernels promise.
fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|value| value.to_bits()).collect()
}
