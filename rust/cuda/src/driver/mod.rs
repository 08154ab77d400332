//! The driver of the device: its memory, its one stream, and graphs of what was recorded on it.
//!
//! A [`Gpu`] is opened once and cloned freely. All its work goes into one stream, in the order of the calls, so that
//! memory given back may be taken again at once. It may be used from several threads; while one of them records a graph
//! the others wait.

mod arena;
mod call;
mod counts;
mod gate;
mod graph;
mod info;
mod launch;
mod memory;
mod open;
mod order;
mod piece;
mod pinned;
mod transfer;
mod watch;

pub use counts::Counts;
pub use graph::Graph;
pub use info::Info;
pub use memory::{Buffer, Span};
pub use open::Gpu;
pub use piece::Piece;
pub use pinned::Pinned;

/// Locks a mutex, whatever a thread that panicked left: what it guards is whole between any two statements.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
