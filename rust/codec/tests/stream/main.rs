//! The codec through its public interface: the kernels against plain candle operations, and streams against whole clips.

#![allow(clippy::unwrap_used)]

mod backends;
mod batches;
mod chunks;
mod compact;
#[cfg(feature = "cuda")]
mod cuda;
mod failures;
mod fingerprints;
mod fixture;
mod from_bytes;
mod interruptions;
mod packed;
mod packed_damage;
mod saved;
mod streams;
#[path = "../temp_dir/mod.rs"]
mod temp_dir;
