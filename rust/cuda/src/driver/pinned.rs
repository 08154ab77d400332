//! Memory of the host that the device reaches by itself, so that copies are part of the stream and of graphs.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::result;

use super::memory::{Allocation, Span, same_length};
use super::open::{Device, Gpu};
use super::{gate::Pass, lock};
use crate::{Error, Result};

/// Host memory for copies that nobody waits for. A graph that copies from or to it keeps it alive.
pub struct Pinned(Arc<Pages>);

/// The pages, and the last transfer that reads or writes them.
pub(super) struct Pages {
    gpu: Gpu,
    start: NonNull<u8>,
    bytes: usize,
    last: AtomicU64,
}

// SAFETY: the pages are plain memory, owned by this alone.
unsafe impl Send for Pages {}
// SAFETY: written only through `&mut Pinned` and by transfers whose end `Pinned` waits for before it shows the memory.
unsafe impl Sync for Pages {}

impl Gpu {
    /// Allocates host memory that the device reaches by itself, all zeros.
    ///
    /// # Errors
    /// [`Error::Memory`]; [`Error::Driver`], also while a graph is recorded.
    pub fn pinned(&self, bytes: usize) -> Result<Pinned> {
        let pass = self.0.enter()?;
        self.0.refuse_while_recording(&pass, "an allocation")?;
        // SAFETY: the context is current.
        let start = unsafe { result::malloc_host(bytes.max(1), 0) }
            .map_err(|error| self.0.failure("taking pinned memory", error, bytes))?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(Error::Memory { bytes })?;
        // SAFETY: as many bytes were allocated.
        unsafe { start.write_bytes(0, bytes) };
        self.0.counters.allocations.fetch_add(1, Ordering::Relaxed);
        Ok(Pinned(Arc::new(Pages { gpu: self.clone(), start, bytes, last: AtomicU64::new(0) })))
    }

    /// Copies a part of pinned memory to the device, in stream order, without waiting.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ; [`Error::Driver`].
    pub fn upload_pinned(&self, to: Span, from: &Pinned, range: Range<usize>) -> Result<()> {
        let pass = self.0.enter()?;
        let from_part = from.0.part(&range)?;
        same_length(to.bytes(), range.len())?;
        if range.is_empty() {
            return Ok(());
        }
        // SAFETY: the pages live until the stream has done with them (`Pages::drop`, `Graph`), and the span likewise.
        let part = unsafe { std::slice::from_raw_parts(from_part, range.len()) };
        // SAFETY: as above; the lengths agree.
        unsafe { result::memcpy_htod_async(to.address(), part, self.0.stream()) }
            .map_err(|error| self.0.failure("copying to the device", error, 0))?;
        self.0.transferred(&pass, &from.0);
        self.0.count(&pass, |counts| &mut counts.uploads, &self.0.counters.uploads);
        Ok(())
    }

    /// Copies device memory to a part of pinned memory, in stream order, without waiting.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ; [`Error::Driver`].
    pub fn download_pinned(&self, to: &mut Pinned, range: Range<usize>, from: Span) -> Result<()> {
        let pass = self.0.enter()?;
        let to_part = to.0.part(&range)?;
        same_length(range.len(), from.bytes())?;
        if range.is_empty() {
            return Ok(());
        }
        // SAFETY: as in `upload_pinned`; nobody sees the memory before the copy is done, as `Pinned` waits for it.
        let part = unsafe { std::slice::from_raw_parts_mut(to_part, range.len()) };
        // SAFETY: as above; the lengths agree.
        unsafe { result::memcpy_dtoh_async(part, from.address(), self.0.stream()) }
            .map_err(|error| self.0.failure("copying from the device", error, 0))?;
        self.0.transferred(&pass, &to.0);
        self.0.count(&pass, |counts| &mut counts.downloads, &self.0.counters.downloads);
        Ok(())
    }
}

impl Pinned {
    /// The memory, after the transfers that were put into the stream: waits for them if nobody has.
    ///
    /// # Errors
    /// [`Error::Driver`]
    pub fn as_slice(&self) -> Result<&[u8]> {
        self.0.settle()?;
        // SAFETY: as many bytes are there, initialised, and no transfer writes them.
        Ok(unsafe { std::slice::from_raw_parts(self.0.start.as_ptr(), self.0.bytes) })
    }

    /// The memory to be written, after the transfers that were put into the stream: waits for them if nobody has.
    ///
    /// # Errors
    /// [`Error::Driver`]
    pub fn as_mut_slice(&mut self) -> Result<&mut [u8]> {
        self.0.settle()?;
        // SAFETY: as above, and no transfer reads them.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.start.as_ptr(), self.0.bytes) })
    }

    /// Its length in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }
}

impl Pages {
    fn part(&self, range: &Range<usize>) -> Result<*mut u8> {
        if range.start > range.end || range.end > self.bytes {
            let Range { start, end } = range;
            return Err(Error::Shape(format!("expected a part of {} bytes, got bytes {start} to {end}", self.bytes)));
        }
        // SAFETY: inside of the allocation.
        Ok(unsafe { self.start.add(range.start) }.as_ptr())
    }

    /// Notes a transfer that was put into the stream.
    pub(super) fn note(&self, transfer: u64) {
        self.last.fetch_max(transfer, Ordering::AcqRel);
    }

    /// Waits for the transfers that were put into the stream, unless somebody has.
    fn settle(&self) -> Result<()> {
        if self.last.load(Ordering::Acquire) > self.gpu.0.finished.load(Ordering::Acquire) {
            self.gpu.wait()?;
        }
        Ok(())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.gpu.0.give_back(Allocation::Host(self.start));
    }
}

impl Device {
    /// Notes that the stream reads or writes the pages.
    fn transferred(&self, pass: &Pass<'_>, pages: &Arc<Pages>) {
        if pass.recording {
            lock(&self.recording).pinned.push(Arc::clone(pages));
        } else {
            pages.note(self.queued.fetch_add(1, Ordering::AcqRel) + 1);
        }
    }
}
