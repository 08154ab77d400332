//! CUDA kernels of the Mimi codec, and the driver calls that run them.
//!
//! The kernels are one text in CUDA C++ (`kernels/`), compiled for the device at hand at first use. Neither building this
//! crate nor loading it needs anything of CUDA: the driver and the compiler are looked for when a device is opened.
//!
//! Sums are taken in the order of the CPU's kernels of 16 lanes (`mimi-kernels` on AVX-512 and on NEON), so that both give the
//! same bits.

mod compile;
pub mod dlpack;
pub(crate) mod driver;
mod error;
mod launch;
mod packing;
mod source;
mod tensor;
mod weights;

pub use compile::libraries;
pub use driver::{Buffer, Counts, Gpu, Graph, Info, Piece, Pinned, Span};
pub use error::{Error, Result};
pub use launch::{
    Attention, Codes, Depthwise, Edge, Entries, FAULTS, Fault, Norm, Normalise, Product, Rows, Runs, Search, Session,
    Strided, Upsample, Window, activate, add, attention, bring_codes, bring_floats, codes, copy_runs, depthwise,
    entries, gate, is_measurable, normalise, product, search, silence, snake, squared_lengths, take_codes, take_floats,
    upsample,
};
pub use source::text as kernels_text;
pub use tensor::{Elements, Tensor};
pub use weights::Weights;
