//! Worker threads that share the parts of one piece of work, and are awake while there is more to come.
//!
//! A frame is a chain of some hundred short pieces of work. Waking a sleeping thread takes as long as one of them, so
//! a worker looks out for the next piece for a moment before it goes to sleep.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a worker without work stays awake: longer than the pauses inside a frame, a five-hundredth of the frame's
/// own duration.
const AWAKE: Duration = Duration::from_micros(150);

/// Looks at the state of affairs between two looks at the clock.
const LOOKS: usize = 64;

/// Workers, and the call they work for.
pub(crate) struct Team {
    board: Arc<Board>,
    workers: Vec<JoinHandle<()>>,
    /// Held by the call that the team works for.
    turn: Mutex<()>,
}

/// The most parts of a piece of work.
pub(crate) const MAX_PARTS: usize = u64::BITS as usize;

/// Which of how many threads.
type Place = (usize, usize);

type Part<'a> = dyn Fn(usize) + Sync + 'a;

/// Where a call puts up its parts and the workers take them.
struct Board {
    part: UnsafeCell<Option<*const Part<'static>>>,
    /// Parts that were put up.
    parts: AtomicUsize,
    /// A bit for each part that nobody has taken yet.
    left: AtomicU64,
    /// Parts that are not done yet.
    open: AtomicUsize,
    panicked: AtomicBool,
    closing: AtomicBool,
    asleep: AtomicUsize,
    door: Mutex<()>,
    bell: Condvar,
}

// SAFETY: `part` is written while no part is open, and read only by those that have taken an open one; what it points
// to is `Sync`.
unsafe impl Sync for Board {}
// SAFETY: as above.
unsafe impl Send for Board {}

impl Team {
    /// `count` workers, or as many as the system gives.
    pub(crate) fn new(count: usize) -> Self {
        let board = Arc::new(Board {
            part: UnsafeCell::new(None),
            parts: AtomicUsize::new(0),
            left: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            asleep: AtomicUsize::new(0),
            door: Mutex::new(()),
            bell: Condvar::new(),
        });
        let worker = |index: usize| {
            let board = Arc::clone(&board);
            let place = (index, count + 1);
            thread::Builder::new().name(format!("mimi-{index}")).spawn(move || board.work(place)).ok()
        };
        let workers = (1..=count).map_while(worker).collect();
        Self { board, workers, turn: Mutex::new(()) }
    }

    /// Calls `part(0) .. part(parts - 1)`, 1 to [`MAX_PARTS`] of them, here and on the workers, and returns true when all are done; false, and
    /// nothing is called, while the team works for another call.
    ///
    /// # Panics
    /// If a part does, once all are done.
    pub(crate) fn run(&self, parts: usize, part: &Part<'_>) -> bool {
        assert!((1..=MAX_PARTS).contains(&parts), "{parts} parts");
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let board = &*self.board;
        // SAFETY: only the lifetime changes. The pointer is followed by those that have taken a part, and this call
        // does not return before every part is done.
        let part = unsafe { std::mem::transmute::<*const Part<'_>, *const Part<'static>>(part) };
        // SAFETY: no part is open, and `turn` keeps other calls away.
        unsafe { *board.part.get() = Some(part) };
        board.open.store(parts, Ordering::Relaxed);
        board.parts.store(parts, Ordering::Relaxed);
        board.left.store(u64::MAX >> (MAX_PARTS - parts), Ordering::SeqCst);
        if board.asleep.load(Ordering::SeqCst) > 0 {
            board.ring();
        }
        let place = (0, self.workers.len() + 1);
        while board.take_part(place) {}
        let mut looks = 0;
        while board.open.load(Ordering::Acquire) > 0 {
            looks += 1;
            if looks % LOOKS == 0 { thread::yield_now() } else { std::hint::spin_loop() }
        }
        assert!(!board.panicked.swap(false, Ordering::Relaxed), "a part of the work panicked");
        true
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.board.closing.store(true, Ordering::SeqCst);
        self.board.ring();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its parts, so there is nothing to hear from it.
            let _ = worker.join();
        }
    }
}

impl Board {
    fn work(&self, place: Place) {
        loop {
            while self.take_part(place) {}
            if !self.wait() {
                return;
            }
        }
    }

    /// Takes a part and does it; false if none is left. Each thread begins at its own place: what it wrote in the piece of
    /// work before, it finds in its own cache.
    fn take_part(&self, (index, of): Place) -> bool {
        let first = (self.parts.load(Ordering::Relaxed) * index / of) as u32;
        let next = |left: u64| (first + left.rotate_right(first).trailing_zeros()) % u64::BITS;
        // Acquire: with a part comes sight of what was put up for it.
        let taken = self
            .left
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |left| (left != 0).then(|| left & !(1 << next(left))));
        let Ok(left) = taken else { return false };
        let index = next(left) as usize;
        // SAFETY: the part just taken is open, so its call is still there, and so is what it put up.
        let done = catch_unwind(AssertUnwindSafe(|| unsafe {
            if let Some(part) = *self.part.get() {
                (*part)(index);
            }
        }));
        if done.is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        // Release: who sees the part done sees what it wrote.
        self.open.fetch_sub(1, Ordering::Release);
        true
    }

    /// Waits for a part, awake at first, then asleep; false when the team is to end.
    fn wait(&self) -> bool {
        let since = Instant::now();
        while since.elapsed() < AWAKE {
            for _ in 0..LOOKS {
                if self.left.load(Ordering::Relaxed) > 0 {
                    return true;
                }
                std::hint::spin_loop();
            }
            // Another thread may need this processor more.
            thread::yield_now();
        }
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        // A call puts its parts up, then looks who is asleep; this says that it sleeps, then looks for parts: one of
        // the two sees the other.
        self.asleep.fetch_add(1, Ordering::SeqCst);
        while self.left.load(Ordering::SeqCst) == 0 && !self.closing.load(Ordering::SeqCst) {
            door = self.bell.wait(door).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::SeqCst);
        !self.closing.load(Ordering::SeqCst)
    }

    fn ring(&self) {
        // Through the door: nobody is then between the last look and the sleep.
        drop(self.door.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once() {
        let team = Team::new(3);
        for parts in [1, 2, 7, MAX_PARTS] {
            let calls: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
            assert!(team.run(parts, &|part| {
                calls[part].fetch_add(1, Ordering::Relaxed);
            }));
            assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1), "{parts} parts");
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_goes_on() {
        let team = Team::new(2);
        for _ in 0..3 {
            let done = AtomicUsize::new(0);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                team.run(8, &|part| {
                    assert_ne!(part, 3);
                    done.fetch_add(1, Ordering::Relaxed);
                })
            }));
            assert!(outcome.is_err());
            assert_eq!(done.load(Ordering::Relaxed), 7);
            assert!(team.run(4, &|_| {}));
        }
    }

    /// Runs as many parts as there are threads, none of which ends before all have begun: each thread must take one.
    fn all_take_part(team: &Team) {
        let threads = team.workers.len() + 1;
        let begun = AtomicUsize::new(0);
        let watchdog = Instant::now() + Duration::from_secs(60);
        assert!(team.run(threads, &|_| {
            begun.fetch_add(1, Ordering::SeqCst);
            while begun.load(Ordering::SeqCst) < threads {
                assert!(Instant::now() < watchdog, "a worker was not woken");
                thread::yield_now();
            }
        }));
    }

    #[test]
    fn workers_that_are_awake_take_part() {
        let team = Team::new(2);
        for _ in 0..100 {
            all_take_part(&team);
        }
    }

    #[test]
    fn workers_that_sleep_are_woken() {
        let team = Team::new(2);
        for _ in 0..5 {
            while team.board.asleep.load(Ordering::SeqCst) < 2 {
                thread::sleep(AWAKE);
            }
            all_take_part(&team);
        }
    }

    #[test]
    fn a_team_at_work_turns_others_away() {
        let team = Team::new(1);
        let refused = AtomicUsize::new(0);
        assert!(team.run(2, &|_| {
            refused.fetch_add(usize::from(!team.run(2, &|_| panic!("not called"))), Ordering::Relaxed);
        }));
        assert_eq!(refused.load(Ordering::Relaxed), 2);
    }
}
