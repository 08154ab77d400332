//! Memory for what lives shortly: slabs of device memory, and what of them is free.
//!
//! A piece is the first free stretch that is long enough; given back, it unites with its neighbours. All work is in one
//! stream, so that a stretch may be taken again while work on it is still under way. Slabs are freed only when memory
//! is short.

#![allow(clippy::single_range_in_vec_init, reason = "lists of one stretch are meant")]

use std::ops::Range;

use super::memory::Memory;

/// Pieces begin at multiples of this, as the driver's own allocations do.
pub(super) const ALIGNMENT: usize = 256;

/// Addresses on the device.
pub(super) type Stretch = Range<u64>;

#[derive(Default)]
pub(super) struct Arena {
    slabs: Vec<Slab>,
}

struct Slab {
    memory: Memory,
    bytes: usize,
    /// In the order of addresses, no two of them adjacent.
    free: Vec<Stretch>,
}

impl Arena {
    /// Takes the first free stretch of that length.
    pub(super) fn take(&mut self, bytes: usize) -> Option<Stretch> {
        self.slabs.iter_mut().find_map(|slab| slab.take(bytes as u64))
    }

    /// Takes a stretch that is known to be free.
    pub(super) fn claim(&mut self, stretch: &Stretch) {
        if let Some(slab) = self.slab(stretch) {
            slab.claim(stretch);
        }
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&mut self, stretch: &Stretch) {
        if let Some(slab) = self.slab(stretch) {
            slab.give_back(stretch.clone());
        }
    }

    /// A new slab, all of it free.
    pub(super) fn grow(&mut self, memory: Memory, bytes: usize) {
        let free = vec![memory.0..memory.0 + bytes as u64];
        self.slabs.push(Slab { memory, bytes, free });
    }

    /// Bytes of all slabs.
    pub(super) fn bytes(&self) -> usize {
        self.slabs.iter().map(|slab| slab.bytes).sum()
    }

    /// Takes out the slabs of which nothing is used, to be freed.
    pub(super) fn idle(&mut self) -> Vec<Memory> {
        self.slabs.extract_if(.., |slab| slab.is_idle()).map(|slab| slab.memory).collect()
    }

    /// Takes out all slabs: nothing of them is used any more.
    pub(super) fn all(&mut self) -> Vec<Memory> {
        self.slabs.drain(..).map(|slab| slab.memory).collect()
    }

    fn slab(&mut self, stretch: &Stretch) -> Option<&mut Slab> {
        self.slabs.iter_mut().find(|slab| slab.all().contains(&stretch.start))
    }
}

impl Slab {
    fn all(&self) -> Stretch {
        self.memory.0..self.memory.0 + self.bytes as u64
    }

    fn is_idle(&self) -> bool {
        self.free == [self.all()]
    }

    fn take(&mut self, bytes: u64) -> Option<Stretch> {
        let place = self.free.iter().position(|free| free.end - free.start >= bytes)?;
        let start = self.free[place].start;
        let taken = start..start + bytes;
        self.claim(&taken);
        Some(taken)
    }

    fn claim(&mut self, stretch: &Stretch) {
        let place = self.free.partition_point(|free| free.end <= stretch.start);
        let free = self.free[place].clone();
        let rest = [free.start..stretch.start, stretch.end..free.end];
        self.free.splice(place..=place, rest.into_iter().filter(|rest| !rest.is_empty()));
    }

    fn give_back(&mut self, stretch: Stretch) {
        let place = self.free.partition_point(|free| free.end < stretch.start);
        let mut united = stretch;
        let mut end = place;
        while let Some(free) = self.free.get(end).filter(|free| free.start <= united.end) {
            united = united.start.min(free.start)..united.end.max(free.end);
            end += 1;
        }
        self.free.splice(place..end, [united]);
    }
}

/// What of `touched` is not part of `alive`, which lie in it and do not overlap: in the order of addresses, adjacent ones
/// united.
pub(super) fn without(mut touched: Vec<Stretch>, mut alive: Vec<Stretch>) -> Vec<Stretch> {
    touched.sort_by_key(|stretch| stretch.start);
    alive.sort_by_key(|stretch| stretch.start);
    let mut rest: Vec<Stretch> = Vec::new();
    let mut alive = alive.into_iter().peekable();
    let mut at = 0;
    for stretch in touched {
        at = at.max(stretch.start);
        while at < stretch.end {
            while alive.next_if(|alive| alive.end <= at).is_some() {}
            let used = alive.peek().map_or(stretch.end..stretch.end, |alive| alive.clone());
            let free = at..used.start.clamp(at, stretch.end);
            at = if used.start <= at { used.end } else { free.end };
            match rest.last_mut() {
                _ if free.is_empty() => {}
                Some(last) if last.end == free.start => last.end = free.end,
                _ => rest.push(free),
            }
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena(slabs: &[(u64, usize)]) -> Arena {
        let mut arena = Arena::default();
        for &(address, bytes) in slabs {
            arena.grow(Memory(address), bytes);
        }
        arena
    }

    #[test]
    fn the_first_stretch_that_is_long_enough_is_taken() {
        let mut arena = arena(&[(1000, 100), (5000, 300)]);
        assert_eq!(arena.take(60), Some(1000..1060));
        assert_eq!(arena.take(60), Some(5000..5060), "not enough was left in the first slab");
        assert_eq!(arena.take(40), Some(1060..1100));
        assert_eq!(arena.take(241), None);
        assert_eq!(arena.take(240), Some(5060..5300));
        assert_eq!(arena.take(1), None);
        assert_eq!(arena.bytes(), 400);
    }

    #[test]
    fn what_is_given_back_unites_with_its_neighbours() {
        // All orders of giving back three stretches end in one that is as long as all of them.
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut arena = arena(&[(1000, 90)]);
            let taken: Vec<_> = (0..3).map_while(|_| arena.take(30)).collect();
            assert_eq!(taken.len(), 3);
            for place in order {
                assert!(arena.idle().is_empty());
                arena.give_back(&taken[place]);
            }
            assert_eq!(arena.take(90), Some(1000..1090), "{order:?}");
        }
    }

    #[test]
    fn neighbouring_slabs_do_not_unite() {
        let mut arena = arena(&[(1000, 100), (1100, 100)]);
        let (first, second) = (arena.take(100), arena.take(100));
        arena.give_back(&second.unwrap_or_default());
        arena.give_back(&first.unwrap_or_default());
        assert_eq!(arena.take(101), None);
        assert_eq!(arena.idle().len(), 2);
    }

    #[test]
    fn only_slabs_of_which_nothing_is_used_are_idle() {
        let mut arena = arena(&[(1000, 100), (5000, 100)]);
        let piece = arena.take(10).unwrap_or_default();
        assert_eq!(arena.idle().iter().map(|memory| memory.0).collect::<Vec<_>>(), [5000]);
        arena.give_back(&piece);
        assert_eq!(arena.idle().iter().map(|memory| memory.0).collect::<Vec<_>>(), [1000]);
    }

    #[test]
    fn a_free_stretch_can_be_claimed() {
        let mut arena = arena(&[(1000, 100)]);
        arena.claim(&(1020..1040));
        assert_eq!(arena.take(30), Some(1040..1070));
        assert_eq!(arena.take(20), Some(1000..1020));
        arena.give_back(&(1020..1040));
        assert_eq!(arena.take(20), Some(1020..1040));
    }

    #[test]
    fn what_a_recording_touched_and_nobody_has() {
        assert_eq!(without(vec![0..10, 10..20, 5..15], vec![]), [0..20]);
        assert_eq!(without(vec![0..10, 30..40], vec![]), [0..10, 30..40]);
        assert_eq!(without(vec![0..10, 0..20, 30..40], vec![5..10, 30..40]), [0..5, 10..20]);
        assert_eq!(without(vec![0..100], vec![80..90, 20..30]), [0..20, 30..80, 90..100]);
        assert_eq!(without(vec![0..10, 10..20], vec![0..20]), []);
        assert_eq!(without(vec![5..6], vec![5..6]), []);
    }
}
