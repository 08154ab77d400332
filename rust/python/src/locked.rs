//! The lock on a stream, which also tells when its holder is a thread that no longer exists.
//!
//! A process may be forked while one of its threads is inside a call. In the child the lock is then taken for ever, by a
//! thread that stayed behind, and what it protects is half changed. The first call in the child finds that out.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread;

use mimi_codec::{Error, Result};

/// A value that one call at a time may use.
pub(crate) struct Locked<T> {
    value: Arc<Mutex<T>>,
    /// A process and what is known in it.
    known: AtomicU64,
}

/// All holders of the lock are threads of this process.
const OURS: u32 = 0;
/// A thread of this process is about to find out.
const ASKED: u32 = 1;
/// The lock is held by a thread of another process.
const LOST: u32 = 2;

/// What is known, and in which process.
fn known(process: u32, what: u32) -> u64 {
    u64::from(process) << 2 | u64::from(what)
}

impl<T> Locked<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Arc::new(Mutex::new(value)), known: AtomicU64::new(known(process::id(), OURS)) }
    }

    /// Waits for the calls of other threads.
    ///
    /// # Errors
    /// [`Error::Stream`] if an earlier call panicked, or if the process was forked inside a call.
    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, T>> {
        if !self.is_ours() {
            let message = "this process was forked while another thread used the stream, so it cannot be used here: \
                           make a new one";
            return Err(Error::Stream(message.into()));
        }
        let failed = |_| {
            Error::Stream(
                "an earlier call failed halfway, so this stream cannot be used any more: make a new one".into(),
            )
        };
        self.value.lock().map_err(failed)
    }

    fn is_ours(&self) -> bool {
        let process = process::id();
        let [ours, asked, lost] = [OURS, ASKED, LOST].map(|what| known(process, what));
        loop {
            let found = self.known.load(Ordering::Acquire);
            if found == ours || found == lost {
                return found == ours;
            }
            if found == asked {
                // By another thread, which is a moment away from the answer.
                thread::yield_now();
                continue;
            }
            if self.known.compare_exchange(found, asked, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                // No thread of this process holds the lock yet: all wait for the answer.
                let free = !matches!(self.value.try_lock(), Err(TryLockError::WouldBlock));
                self.known.store(if free { ours } else { lost }, Ordering::Release);
            }
        }
    }
}

impl<T> Drop for Locked<T> {
    fn drop(&mut self) {
        if !self.is_ours() {
            // Half changed by a thread that is not here: left alone, nothing is freed twice.
            std::mem::forget(Arc::clone(&self.value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a forked child finds it.
    fn of_another_process<T>(value: T) -> Locked<T> {
        let locked = Locked::new(value);
        locked.known.store(known(process::id() + 1, OURS), Ordering::Relaxed);
        locked
    }

    #[test]
    fn a_free_lock_passes_to_the_child() -> Result<()> {
        let locked = of_another_process(1);
        *locked.lock()? += 1;
        assert_eq!(*locked.lock()?, 2);
        Ok(())
    }

    #[test]
    fn a_lock_that_was_held_is_lost() {
        for again in [false, true] {
            let kept = Arc::new(());
            let locked = of_another_process(Arc::clone(&kept));
            std::mem::forget(locked.value.lock());
            assert!(matches!(locked.lock(), Err(Error::Stream(message)) if message.contains("forked")));
            if again {
                // A child of the child.
                locked.known.store(known(process::id() + 1, LOST), Ordering::Relaxed);
            }
            assert!(locked.lock().is_err());
            drop(locked);
            assert_eq!(Arc::strong_count(&kept), 2, "it must not be dropped");
        }
    }

    #[test]
    fn threads_of_a_child_agree() {
        for _ in 0..200 {
            let locked = of_another_process(0);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| assert!(locked.lock().map(|mut count| *count += 1).is_ok()));
                }
            });
            assert!(matches!(locked.lock().as_deref(), Ok(3)));
        }
    }
}
