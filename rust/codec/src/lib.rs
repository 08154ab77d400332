//! Kyutai's Mimi neural audio codec: 24 kHz speech to 12.5 frames a second of discrete codes, and back.
//!
//! ```text
//! PCM -> conv stack -> transformer -> downsample -> quantizer -> codes        mimi/encoder.rs, mimi/quantizer.rs
//! codes -> quantizer -> upsample -> transformer -> conv stack -> PCM          mimi/decoder.rs
//! ```
//!
//! A [`Mimi`] is immutable and shared between threads and streams. Streaming is the only way it computes: a whole clip
//! ([`Mimi::encode`], [`Mimi::decode`]) is a stream of blocks that is thrown away, an [`EncoderStream`] or a
//! [`DecoderStream`] is one that is kept. Both give the same codes, bit for bit, however the input is cut.

pub mod config;
mod error;
mod finite;
mod memory;
mod mimi;
mod ops;
mod state;
pub mod weights;

pub use config::MimiConfig;
pub use error::{Error, Result};
pub use mimi::{Codes, DecoderStream, EncoderStream, Latents, LoadOptions, Mimi, Padding, StopFn, simd_name};
pub use weights::{Checkpoint, Parts};
