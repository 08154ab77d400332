//! CPU kernels of the Mimi codec, on plain slices.
//!
//! Everything dense in Mimi is a [`product`] of a left matrix whose rows lie, possibly overlapping, in the input
//! signal ([`Rows`]), and of weights packed once at load ([`PackedMatrix`]). What remains is attention ([`attend`]) over a
//! bounded window, the code search of the quantizer ([`Codebook`]), a [`layer_norm`], and a few element-wise passes. Codecs of the
//! family add [`rms_norm`], [`gated`] products, [`snake`], and convolutions of each channel by itself: [`depthwise`] and
//! [`upsample`].
//!
//! Each kernel is written once over the vector type of [`simd::Level`], chosen at run time, and adds up every output
//! in one fixed order: the result does not depend on how many rows are computed together, nor on the threads. That
//! is what makes streaming equal to whole-clip work bit for bit.
//!
//! The `unsafe` of the CPU is here: pointers inside tiles and calls of vector instructions.

mod attention;
mod code_search;
mod column;
mod depthwise;
mod elementwise;
mod epilogue;
mod map;
mod math;
mod memory;
mod norm;
mod numbers;
mod packed;
mod precision;
mod product;
mod rows;
mod screen;
pub mod simd;
mod snake;
mod strided;
mod team;
mod threads;
mod upsample;

pub use attention::{Attention, Steps, Strips, attend, cache_len, cache_of_window, window_of_cache, written};
pub use code_search::{Codebook, Unmeasurable};
pub use depthwise::{Depthwise, depthwise};
pub use elementwise::{activate, elu, gated};
pub use epilogue::{Activation, Epilogue};
pub use map::Map;
pub use memory::give_back_freed_memory;
pub use norm::{layer_norm, rms_norm};
pub use numbers::{Array, Arrays, Number, Numbers};
pub use packed::PackedMatrix;
pub use precision::{GROUP, Precision, Scale, as_kept, of_bfloat16, to_bfloat16};
pub use product::product;
pub use rows::Rows;
pub use snake::snake;
pub use strided::Strided;
pub use threads::Threads;
pub use upsample::{DepthwiseUpsample, upsample};
