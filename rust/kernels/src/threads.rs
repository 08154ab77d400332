//! The threads of a model: how work is shared out, and a team that is made on first use and anew in a forked child.

use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use crate::team::{MAX_PARTS, Team};

/// How many threads work on one call.
///
/// Threads do not survive `fork`, so a child process makes a team of its own. While the team works for one call, another
/// call does its work alone: where many streams run side by side, they keep the processors busy by themselves.
pub struct Threads {
    count: usize,
    team: Mutex<Option<(u32, Arc<Team>)>>,
}

/// Multiply-adds below which sharing costs more than it brings (a few microseconds of work).
const WORTH_A_PART: usize = 1 << 18;

/// Parts for each thread: one that is held up leaves its share to the others.
const PARTS_A_THREAD: usize = 4;

impl Threads {
    /// `count` threads, the calling one included; 0 is taken as 1.
    pub fn new(count: usize) -> Self {
        Self { count: count.max(1), team: Mutex::new(None) }
    }

    /// The number asked for.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Into how many parts to split `work` multiply-adds, or what takes as long.
    pub(crate) fn parts(&self, work: usize) -> usize {
        if self.count == 1 {
            1
        } else {
            (work / WORTH_A_PART).clamp(1, MAX_PARTS.min(self.count.saturating_mul(PARTS_A_THREAD)))
        }
    }

    /// Calls `part(0) .. part(parts - 1)`, side by side, and returns when all are done.
    pub(crate) fn run(&self, parts: usize, part: impl Fn(usize) + Sync) {
        let shared = parts > 1 && self.count > 1 && self.team().is_some_and(|team| team.run(parts, &part));
        if !shared {
            (0..parts).for_each(part);
        }
    }

    /// Hands `out`, cut into at most `parts` pieces of whole rows of `row` elements, to `part` with the index of its
    /// first row.
    pub(crate) fn run_rows<T: Send>(
        &self,
        parts: usize,
        out: &mut [T],
        row: usize,
        part: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let rows = out.len() / row.max(1);
        let parts = parts.min(rows).max(1);
        let start = Shared::new(out);
        self.run(parts, |index| {
            let (from, to) = (rows * index / parts, rows * (index + 1) / parts);
            // SAFETY: the pieces lie inside `out` and apart from each other.
            let piece = unsafe { std::slice::from_raw_parts_mut(start.get().add(from * row), (to - from) * row) };
            part(from, piece);
        });
    }

    /// None at the moment in which another call looks for it. (A process forked at such a moment would wait for ever.)
    fn team(&self) -> Option<Arc<Team>> {
        let mut team = match self.team.try_lock() {
            Ok(team) => team,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let process = std::process::id();
        if let Some((owner, found)) = team.take() {
            if owner == process {
                *team = Some((owner, Arc::clone(&found)));
                return Some(found);
            }
            // Joining the threads of the parent process would wait for ever.
            std::mem::forget(found);
        }
        // No more than can have a part.
        let made = Arc::new(Team::new(self.count.min(MAX_PARTS) - 1));
        *team = Some((process, Arc::clone(&made)));
        Some(made)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let team = self.team.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((owner, found)) = team.take()
            && owner != std::process::id()
        {
            std::mem::forget(found);
        }
    }
}

/// Where threads write, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(*mut T);

impl<T> Shared<T> {
    pub(crate) fn new(data: &mut [T]) -> Self {
        Self(data.as_mut_ptr())
    }

    pub(crate) fn get(&self) -> *mut T {
        self.0
    }
}

// SAFETY: a pointer does nothing by itself; who follows it says why that is sound.
unsafe impl<T: Send> Sync for Shared<T> {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// The threads that took part when no part ends before another has begun.
    fn threads_of_two_parts(threads: &Threads) -> Vec<thread::ThreadId> {
        let (begun, ids) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let watchdog = Instant::now() + Duration::from_secs(60);
        threads.run(2, |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            while begun.load(Ordering::SeqCst) < 2 {
                assert!(Instant::now() < watchdog, "nobody else took part");
                thread::yield_now();
            }
            ids.lock().unwrap_or_else(PoisonError::into_inner).push(thread::current().id());
        });
        ids.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    fn a_team_after_a_pause() {
        let threads = Threads::new(2);
        for _ in 0..5 {
            let ids = threads_of_two_parts(&threads);
            assert!(ids.len() == 2 && ids[0] != ids[1] && ids.contains(&thread::current().id()), "{ids:?}");
            // Longer than a worker stays awake; whether it sleeps by then or not, it comes.
            thread::sleep(Duration::from_millis(3));
        }
    }
}
