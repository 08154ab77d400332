//! Memory for weights: a frame of a stream reads all of them once, so they lie in huge pages where the system has them.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// The size of a huge page on the systems that have them.
const HUGE_PAGE: usize = 2 << 20;
const CACHE_LINE: usize = 64;

/// Numbers of which zero bytes are a value.
///
/// # Safety
/// As said; and dropping one does nothing.
pub(crate) unsafe trait Number: Copy {}

// SAFETY: plain numbers.
unsafe impl Number for f32 {}
// SAFETY: as above.
unsafe impl Number for u16 {}
// SAFETY: as above.
unsafe impl Number for i8 {}

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
    let bytes = len * size_of::<T>();
    let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { CACHE_LINE };
    // Only sizes near the end of the address space fail, and such a slice cannot be asked for.
    Layout::from_size_align(bytes, align).unwrap_or(Layout::new::<T>())
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
