//! Kyutai's Mimi neural audio codec and the codecs built from its parts: speech to discrete codes or continuous latents, and
//! back.
//!
//! ```text
//! samples -> encoder chain -> latents -> quantizer -> codes
//! codes -> quantizer -> latents -> decoder chain -> samples
//! ```
//!
//! A [`Model`] is loaded once, never changes, and is shared between threads and streams. [`Model::encode`] and
//! [`Model::decode`] take whole clips:
//!
//! ```no_run
//! use mimi_codec::{LoadOptions, Model};
//!
//! let model = Model::load("kyutai-mimi".as_ref(), &LoadOptions::default())?;
//! let pcm = vec![0.0; model.sample_rate()];
//! let codes = model.encode(&pcm, 8)?;
//! let sound = model.decode(&codes)?;
//! assert_eq!(sound.len(), codes.frames() * model.frame_size());
//! # Ok::<(), mimi_codec::Error>(())
//! ```
//!
//! A [`Stream`] takes a clip as it comes, in one [`Direction`], for one row or for several side by side. Its output is that
//! of the whole clip, bit for bit, however the input is cut:
//!
//! ```no_run
//! use mimi_codec::{Direction, Input, LoadOptions, Model, Padding, Stream};
//!
//! let model = Model::load("kyutai-mimi".as_ref(), &LoadOptions::default())?;
//! let mut stream = Stream::new(&model, Direction::ToCodes(8), 1)?;
//! for block in [[0.0; 1000], [0.5; 1000]] {
//!     let outputs = stream.push(&[Some(Input::Pcm(&block))])?;
//!     for output in outputs {
//!         let codes = output.into_codes()?;
//!         assert_eq!(codes.codebooks, 8);
//!     }
//! }
//! stream.flush(None, Padding::default())?;
//! # Ok::<(), mimi_codec::Error>(())
//! ```
//!
//! [`Model::clip`] and [`Stream::push_until`] take a function that is asked between blocks whether to stop. After an
//! [`enum@Error`] a stream is as it was before the call.
//!
//! Read the code in the order the data flows: `codecs/` says what each codec is made of, as a `plan/`; `model.rs` loads it;
//! `session/` takes clips and streams through its `layers/`, whose operations are in `ops/`.

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

pub use codecs::{CodecKind, FOLDERS as CODEC_FOLDERS, mimi, prefixes as codec_prefixes};
pub use error::{Error, Result};
pub use mimi::MimiConfig;
#[cfg(feature = "cuda")]
pub use mimi_cuda::{Counts, Elements, Gpu, Tensor};
pub use model::Model;
pub use options::{Device, Dtype, LoadOptions};
pub use parts::Parts;
pub use plan::{Kind, Part, Product, TensorSpec};
pub use session::{Padding, StopFn, Stream};
pub use values::{Codes, Direction, Input, Latents, Output};

/// The instruction set that the kernels use on this processor.
pub fn simd_name() -> &'static str {
    ops::cpu::simd_name()
}
