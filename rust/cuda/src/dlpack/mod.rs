//! Tensors of other libraries on the device, and ours for them: DLPack, without a copy.
//!
//! A tensor travels as a pointer to a structure with a function that frees it, in Python inside of a capsule. Order
//! between the streams of both libraries is not part of it: [`crate::Gpu::wait_for`] and [`crate::Gpu::let_wait`].

#[cfg(feature = "python")]
mod capsule;
mod export;
mod import;
mod layout;

pub use export::{Export, Memory};
pub use import::Import;
pub use layout::{Device, Element, Managed, Versioned};
