//! Memory that kernels on the host may touch: it ends where a page begins that nobody may.

use std::ptr;

use bytemuck::Pod;

use crate::Span;

pub(super) struct Memory {
    pages: *mut libc::c_void,
    length: usize,
    at: *mut u8,
    bytes: usize,
}

const PAGE: usize = 4096;

impl Memory {
    /// Bytes that are all set.
    pub(super) fn new(bytes: usize) -> Self {
        // As aligned as kernels may expect: up to 15 bytes lie behind.
        let room = bytes.next_multiple_of(16);
        let before = room.next_multiple_of(PAGE);
        let length = before + PAGE;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new pages, of which the last becomes inaccessible and the others are written.
        unsafe {
            let pages = libc::mmap(ptr::null_mut(), length, access, kind, -1, 0);
            assert!(pages != libc::MAP_FAILED, "no memory for a test");
            assert_eq!(libc::mprotect(pages.byte_add(before), PAGE, libc::PROT_NONE), 0);
            ptr::write_bytes(pages.cast::<u8>(), 0xff, before);
            Self { pages, length, at: pages.cast::<u8>().add(before - room), bytes }
        }
    }

    pub(super) fn of<T: Pod>(values: &[T]) -> Self {
        let memory = Self::new(size_of_val(values));
        memory.write(values);
        memory
    }

    pub(super) fn span(&self) -> Span<'_> {
        // SAFETY: on the host that runs the kernels, and alive as long as the borrow.
        unsafe { Span::of(self.at as u64, self.bytes) }
    }

    pub(super) fn read<T: Pod>(&self) -> Vec<T> {
        // SAFETY: so many bytes are there, aligned for any number.
        let bytes = unsafe { std::slice::from_raw_parts(self.at, self.bytes) };
        bytemuck::cast_slice(bytes).to_vec()
    }

    pub(super) fn write<T: Pod>(&self, values: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        assert_eq!(bytes.len(), self.bytes, "memory of a test");
        // SAFETY: as many bytes as are there.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.at, bytes.len()) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody has a pointer any more.
        unsafe { libc::munmap(self.pages, self.length) };
    }
}
