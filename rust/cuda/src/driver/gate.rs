//! Who may put work into the stream: all threads, or the one that records.
//!
//! Whatever is put into a stream that records becomes part of the graph. So a recording begins when no call of another
//! thread is under way, and calls of others wait until it ends.

use std::sync::{Condvar, Mutex};
use std::thread::{self, ThreadId};

use super::lock;

#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    recorder: Option<ThreadId>,
    inside: usize,
}

/// Leave to call the driver, for one call. A thread that holds one must not ask for another.
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    /// Whether this thread records, so that the call becomes part of its graph.
    pub(super) recording: bool,
}

/// Leave to record: until it is dropped, no other thread is inside.
pub(super) struct Recorder<'a>(&'a Gate);

impl Gate {
    /// Waits while another thread records.
    pub(super) fn enter(&self) -> Pass<'_> {
        let me = thread::current().id();
        let mut state = lock(&self.state);
        while state.recorder.is_some_and(|recorder| recorder != me) {
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        let recording = state.recorder.is_some();
        state.inside += usize::from(!recording);
        Pass { gate: self, recording }
    }

    /// Waits until no thread is inside. `None` if this thread records already.
    pub(super) fn record(&self) -> Option<Recorder<'_>> {
        let me = thread::current().id();
        let mut state = lock(&self.state);
        if state.recorder == Some(me) {
            return None;
        }
        while state.recorder.is_some() {
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.recorder = Some(me);
        while state.inside > 0 {
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        Some(Recorder(self))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.recording {
            lock(&self.gate.state).inside -= 1;
            self.gate.changed.notify_all();
        }
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).recorder = None;
        self.0.changed.notify_all();
    }
}
