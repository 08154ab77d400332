#![doc = include_str!("../README.md")]
// Read the code in the order the data flows: `codecs/` says what each codec is made of, as a `plan/`; `model.rs` loads it;
// `session/` takes clips and streams through its `layers/`, whose operations are in `ops/`.

mod codecs;
mod error;
mod finite;
mod layers;
mod memory;
mod model;
mod ops;
mod options;
mod parts;
mod plan;
mod session;
mod values;
mod weights;

// The models of the tests in `tests/`, for those that need to look inside.
#[cfg(test)]
extern crate self as mimi_codec;
#[cfg(test)]
#[path = "../tests/stream/fixture.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod fixture;
#[cfg(test)]
#[path = "../tests/stream/streams.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod streams;
#[cfg(test)]
#[path = "../tests/temp_dir/mod.rs"]
#[allow(clippy::unwrap_used)]
mod temp_dir;

pub use codecs::mimi::{MimiConfig, RopeParameters};
pub use codecs::{CodecKind, FOLDERS as CODEC_FOLDERS, prefixes as codec_prefixes};
pub use error::{Error, Result};
#[cfg(feature = "cuda")]
pub use mimi_cuda::{Counts, Elements, Gpu, Tensor};
pub use model::Model;
pub use options::{Device, Dtype, LoadOptions};
pub use parts::Parts;
pub use plan::{Kind, Part, Product, TensorSpec};
pub use session::{Padding, StopFn, Stream};
pub use values::{Codes, Direction, Input, Latents, Output};
pub use weights::check_packed;

/// The instruction set that the kernels use on this processor: `avx512`, `avx2`, `neon` or `portable`.
pub fn simd_name() -> &'static str {
    ops::cpu::simd_name()
}
