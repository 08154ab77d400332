//! Checkpoints through their public interface: layouts, prefixes, storage types, saving, and files that are not right.

#![allow(clippy::unwrap_used)]

mod errors;
mod fixture;
mod layouts;
mod save;
#[path = "../temp_dir/mod.rs"]
mod temp_dir;
