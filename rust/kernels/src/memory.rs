//! Memory for weights: a frame of a stream reads all of them once, so they lie in huge pages where the system has them.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::numbers::Number;

/// The size of a huge page on the systems that have them.
const HUGE_PAGE: usize = 2 << 20;
const CACHE_LINE: usize = 64;

/// A slice of numbers, zero at first, that begins with a cache line, and with a huge page if it fills one.
pub(crate) struct Buffer<T: Number> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: it owns its numbers, as a `Vec` does.
unsafe impl<T: Number + Send> Send for Buffer<T> {}
// SAFETY: as above.
unsafe impl<T: Number + Sync> Sync for Buffer<T> {}

impl<T: Number> Buffer<T> {
    /// # Panics
    /// If so many numbers do not fit the address space.
    pub(crate) fn zeros(len: usize) -> Self {
        if len == 0 {
            return Self { start: NonNull::dangling(), len };
        }
        let layout = layout::<T>(len);
        // SAFETY: the size is not zero.
        let start = unsafe { alloc(layout) }.cast::<T>();
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        advise_huge_pages(start, layout.size() / HUGE_PAGE * HUGE_PAGE);
        // SAFETY: `len` numbers were just allocated, and zero bytes are numbers. Only now are the pages taken.
        unsafe { start.write_bytes(0, len) };
        Self { start, len }
    }
}

fn layout<T>(len: usize) -> Layout {
    let fits = |bytes: usize| {
        let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { CACHE_LINE };
        Layout::from_size_align(bytes, align).ok()
    };
    match len.checked_mul(size_of::<T>()).and_then(fits) {
        Some(layout) => layout,
        // What `Vec` says of it.
        None => panic!("capacity overflow: {len} numbers"),
    }
}

/// Whole huge pages from `start` on. Advice only: where it is not taken, all works as before.
fn advise_huge_pages<T>(start: NonNull<T>, bytes: usize) {
    #[cfg(target_os = "linux")]
    if bytes > 0 {
        // SAFETY: the range is memory of ours, which the advice does not change.
        unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes);
}

/// Gives memory that was freed back to the system. The allocator of glibc keeps pieces of up to 32 MB, and reading and
/// packing the weights of a model leaves many of them behind.
pub fn give_back_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

impl<T: Number> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated with this layout.
            unsafe { dealloc(self.start.as_ptr().cast(), layout::<T>(self.len)) };
        }
    }
}

impl<T: Number> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` numbers, written in `zeros`.
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
        for len in [0, 1, 15, 16, 17, HUGE_PAGE / 4 - 1, HUGE_PAGE / 4, HUGE_PAGE / 4 + 1] {
            let mut buffer = Buffer::<f32>::zeros(len);
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|&value| value == 0.0));
            if len > 0 {
                let align = if len >= HUGE_PAGE / 4 { HUGE_PAGE } else { CACHE_LINE };
                assert_eq!(buffer.as_ptr() as usize % align, 0, "{len} floats");
            }
            buffer.fill(1.0);
        }
    }
}
