//! Checkpoints: a codec's weights in safetensors files, in one of several layouts, alone or inside a larger model.
//!
//! ```text
//! path -> Files (files, config.json) -> layout and prefix -> Checkpoint (places) -> check (shapes) -> read (float32)
//! ```
//! Which codecs there are, and how their tensors are spelled, `codecs/` says; a plan's tensors are asked for by their
//! canonical names.

mod bytes;
mod checkpoint;
mod file;
mod fingerprint;
mod layout;
mod packed;
mod save;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use checkpoint::Checkpoint;
pub(crate) use fingerprint::Fingerprints;
pub(crate) use layout::{Found, Layout, Spelled, detect};
pub use packed::check_packed;
pub(crate) use packed::{Description as PackedDescription, Layer, Mapped, Packed, write as write_packed};
pub(crate) use source::Files;

/// A codec's weights where they are kept.
pub(crate) enum Stored<'a> {
    /// As tensors, from which the kernels' arrays are made.
    Tensors(Checkpoint<'a>),
    /// As the kernels' arrays.
    Packed(Packed<'a>),
}
