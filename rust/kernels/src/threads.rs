//! The threads of a model: a pool of its own, made on first use and made anew in a forked child.

use std::sync::{Arc, Mutex, PoisonError};

/// How many threads work on one call.
///
/// The pool is made when it is first needed. Threads do not survive `fork`, so a child process makes its own.
pub struct Threads {
    count: usize,
    pool: Mutex<Option<(u32, Arc<rayon::ThreadPool>)>>,
}

/// Multiply-adds below which another thread costs more than it brings (a few microseconds of work).
const WORTH_A_THREAD: usize = 1 << 18;

impl Threads {
    /// `count` threads, the calling one not included; 0 is taken as 1.
    pub fn new(count: usize) -> Self {
        Self { count: count.max(1), pool: Mutex::new(None) }
    }

    /// The number asked for.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Into how many parts to split `work` multiply-adds.
    pub(crate) fn parts(&self, work: usize) -> usize {
        self.count.min(work / WORTH_A_THREAD).max(1)
    }

    /// Calls `part(0) .. part(parts - 1)`, side by side, and returns when all are done.
    pub(crate) fn run(&self, parts: usize, part: impl Fn(usize) + Sync) {
        if parts <= 1 {
            return part(0);
        }
        match self.pool() {
            Some(pool) => pool.in_place_scope(|scope| {
                let part = &part;
                for index in 1..parts {
                    scope.spawn(move |_| part(index));
                }
                part(0);
            }),
            None => (0..parts).for_each(part),
        }
    }

    /// None where the system gives no more threads: the work is then done by the caller.
    fn pool(&self) -> Option<Arc<rayon::ThreadPool>> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if let Some((owner, found)) = pool.take() {
            if owner == process {
                *pool = Some((owner, Arc::clone(&found)));
                return Some(found);
            }
            // Joining the threads of the parent process would wait for ever.
            std::mem::forget(found);
        }
        let made = rayon::ThreadPoolBuilder::new()
            .num_threads(self.count - 1)
            .thread_name(|index| format!("mimi-{index}"))
            .build()
            .ok()?;
        let made = Arc::new(made);
        *pool = Some((process, Arc::clone(&made)));
        Some(made)
    }
}
