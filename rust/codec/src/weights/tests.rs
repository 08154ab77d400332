//! Checkpoints layouts, prefixes, storage types, saving, and files that are not right.

#![allow(clippy::unwrap_used)]

mod errors;
mod fixture;
mod hosts;
mod layouts;
mod save;
