//! The C interface of mimi-codec: `libmimi` and `include/mimi.h`, which cbindgen writes from these files.
//!
//! A call converts what it is given, runs the codec and maps the error: nothing else. No panic leaves it (`status.rs`). What a
//! caller must keep to, the header says (`cbindgen.toml` has its first words); each function's `# Safety` is that contract.

#![allow(clippy::missing_safety_doc, reason = "the header's first words are the contract of all functions")]

mod arrays;
mod clips;
mod inputs;
mod model;
mod options;
mod status;
mod stream;

pub use arrays::*;
pub use clips::*;
pub use model::*;
pub use options::*;
pub use status::*;
pub use stream::*;
