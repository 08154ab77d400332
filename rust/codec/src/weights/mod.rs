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

mod save;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use checkpoint::Checkpoint;
pub(crate) use fingerprint::Fingerprints;
pub(crate) use layout::{Found, Layout, Spelled, detect};

pub(crate) use source::Files;
