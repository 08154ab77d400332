//! Memory for weights: a frame of a stream reads all of them once, so they lie in huge pages where the system has them.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::any::Any;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};

use crate::numbers::Number;

/// The size of a huge page on the systems that have them.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes from which on a buffer has a region of its own. Smaller memory glibc may have used before, in small pages.
const LARGE: usize = 32 << 20;

/// Bytes of a region that buffers share. What none of them takes is never touched, and so no memory.
const SHARED: usize = 2 * LARGE;

/// Bytes up to which a buffer is not worth huge pages.
const SMALL: usize = 128 << 10;

/// A slice of numbers, zero at first, that begins with a cache line.
pub(crate) struct Buffer<T: Number> {
    start: NonNull<T>,
    len: usize,
    /// What keeps the memory.
    _memory: Arc<dyn Any + Send + Sync>,
}

// SAFETY: its numbers are nobody else's, as those of a `Vec`.
unsafe impl<T: Number + Send> Send for Buffer<T> {}
// SAFETY: as above.
unsafe impl<T: Number + Sync> Sync for Buffer<T> {}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct CacheLine {
    _bytes: [u8; 64],
}

impl<T: Number> Buffer<T> {
    /// # Panics
    /// If so many numbers do not fit the address space.
    pub(crate) fn zeros(len: usize) -> Self {
        let bytes = len.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= isize::MAX as usize);
        // What `Vec` says of it.
        let Some(bytes) = bytes else { panic!("capacity overflow: {len} numbers") };
        if bytes <= SMALL || !cfg!(target_os = "linux") {
            let mut lines = vec![CacheLine { _bytes: [0; 64] }; bytes.div_ceil(size_of::<CacheLine>())];
            let start = NonNull::from(lines.as_mut_slice()).cast();
            return Self { start, len, _memory: Arc::new(lines) };
        }
        let (start, region) = piece(bytes);
        // SAFETY: the piece has these bytes, and zeros are numbers. Only now are the pages taken.
        unsafe { start.write_bytes(0, bytes) };
        Self { start: start.cast(), len, _memory: region }
    }
}

/// Memory that begins with a huge page.
struct Region {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the buffers that it is cut into share no bytes, and the region itself touches none.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    fn new(bytes: usize) -> Self {
        // What `Vec` says of it.
        let Ok(layout) = Layout::from_size_align(bytes, HUGE_PAGE) else { panic!("capacity overflow: {bytes} bytes") };
        // SAFETY: the size is not zero.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        advise_huge_pages(start, bytes / HUGE_PAGE * HUGE_PAGE);
        Self { start, layout }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// Whole huge pages from `start` on. Advice only: where it is not taken, all works as before.
fn advise_huge_pages(start: NonNull<u8>, bytes: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: the range is memory of ours, which the advice does not change.
    unsafe {
        libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes);
}

/// A region that buffers are cut from, and how many of its bytes are taken. Those that are given back are not taken anew:
/// a model loses all its weights at once.
struct Open {
    region: Weak<Region>,
    taken: usize,
}

static OPEN: Mutex<Open> = Mutex::new(Open { region: Weak::new(), taken: 0 });

/// Bytes that nobody else has.
fn piece(bytes: usize) -> (NonNull<u8>, Arc<Region>) {
    if bytes < LARGE
        && let Some(piece) = shared_piece(bytes)
    {
        return piece;
    }
    let region = Arc::new(Region::new(bytes));
    (region.start, region)
}

/// None at the moment in which another thread looks for it: a process that is forked at such a moment would wait for ever.
fn open() -> Option<MutexGuard<'static, Open>> {
    match OPEN.try_lock() {
        Ok(open) => Some(open),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// A piece of the open region, or the first of a new one.
fn shared_piece(bytes: usize) -> Option<(NonNull<u8>, Arc<Region>)> {
    let mut open = open()?;
    let found = open.region.upgrade().filter(|_| open.taken + bytes <= SHARED);
    let region = found.unwrap_or_else(|| {
        let region = Arc::new(Region::new(SHARED));
        *open = Open { region: Arc::downgrade(&region), taken: 0 };
        region
    });
    // SAFETY: the region has `SHARED` bytes.
    let start = unsafe { region.start.add(open.taken) };
    open.taken += bytes.next_multiple_of(size_of::<CacheLine>());
    Some((start, region))
}

/// Gives memory that was freed back to the system. The allocator of glibc keeps pieces of up to 32 MB, and reading and
/// packing the weights of a model leaves many of them behind. Weights to come share no memory with those before.
pub fn give_back_freed_memory() {
    if let Some(mut open) = open() {
        open.region = Weak::new();
    }
    trim();
}

/// The same between layers of a model.
pub(crate) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

impl<T: Number> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` numbers, of which any bytes are a value.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Number> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        // As bytes: 0, 4 and 8 modulo 2^64, and more than half of the address space.
        for len in [1 << 62, (1 << 62) + 1, (1 << 62) + 2, 1 << 61, usize::MAX] {
            assert!(catch_unwind(|| Buffer::<f32>::zeros(len)).is_err(), "{len} floats");
        }
        assert!(catch_unwind(|| Buffer::<i8>::zeros(usize::MAX)).is_err());
    }

    #[test]
    fn zeros_of_every_size() {
        let mut lens = vec![0, 1, 15, 16, 17];
        lens.extend(
            [SMALL, HUGE_PAGE, LARGE, SHARED].iter().flat_map(|bytes| [bytes / 4 - 1, bytes / 4, bytes / 4 + 1]),
        );
        for len in lens {
            let mut buffer = Buffer::<f32>::zeros(len);
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|&value| value == 0.0), "{len} floats");
            assert_eq!(buffer.as_ptr() as usize % size_of::<CacheLine>(), 0, "{len} floats");
            buffer.fill(1.0);
        }
    }

    #[test]
    fn buffers_that_share_a_region_have_no_numbers_in_common() {
        // More than two regions of them, and some are given back meanwhile.
        let mut buffers = Vec::new();
        for i in 0..80_u32 {
            let mut buffer = Buffer::<f32>::zeros((SMALL + i as usize * 20_000) / 4 + 1);
            assert!(buffer.iter().all(|&value| value == 0.0), "buffer {i}");
            buffer.fill(i as f32);
            buffers.push((i, buffer));
            match i {
                40 => drop(buffers.drain(..20)),
                60 => give_back_freed_memory(),
                _ => {}
            }
        }
        for (i, buffer) in buffers {
            assert!(buffer.iter().all(|&value| value == i as f32), "buffer {i}");
        }
    }
}
