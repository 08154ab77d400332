//! Device memory of one's own, and parts of it.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use cudarc::driver::{result, sys};

use super::lock;
use super::open::{Device, Gpu};
use crate::{Error, Result};

/// A stretch of device memory, borrowed from what owns it.
///
/// All device memory can be written through it: what is done to it is put into the device's stream, in order.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    pub(super) address: u64,
    pub(super) bytes: usize,
    pub(super) owner: PhantomData<&'a ()>,
}

impl<'a> Span<'a> {
    /// No memory.
    pub(crate) fn nothing() -> Self {
        Self { address: 0, bytes: 0, owner: PhantomData }
    }

    /// Memory that something else owns.
    ///
    /// # Safety
    /// `bytes` bytes at `address` are memory of the device on which the span is used, for as long as `'a` and until the
    /// work on it is done, or `bytes` is 0.
    #[must_use]
    pub unsafe fn of(address: u64, bytes: usize) -> Self {
        Self { address, bytes, owner: PhantomData }
    }

    /// Its address on the device.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its length in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A part of it, by its bytes.
    ///
    /// # Errors
    /// [`Error::Shape`] if the part does not lie inside.
    pub fn part(&self, range: Range<usize>) -> Result<Span<'a>> {
        if range.start > range.end || range.end > self.bytes {
            let Range { start, end } = range;
            return Err(Error::Shape(format!("expected a part of {} bytes, got bytes {start} to {end}", self.bytes)));
        }
        Ok(Self { address: self.address + range.start as u64, bytes: range.len(), owner: PhantomData })
    }
}

/// An allocation of device memory of its own. It is freed when dropped, which waits for the device.
pub struct Buffer {
    gpu: Gpu,
    memory: Memory,
    bytes: usize,
}

impl Gpu {
    /// Allocates device memory; what is in it is undefined.
    ///
    /// # Errors
    /// [`Error::Memory`]; [`Error::Driver`], also while a graph is recorded.
    pub fn buffer(&self, bytes: usize) -> Result<Buffer> {
        let pass = self.0.enter()?;
        self.0.refuse_while_recording(&pass, "an allocation")?;
        let memory = self.0.allocate_or_trim(&mut lock(&self.0.arena), bytes)?;
        Ok(Buffer { gpu: self.clone(), memory, bytes })
    }
}

impl Buffer {
    /// All of it.
    #[must_use]
    pub fn span(&self) -> Span<'_> {
        Span { address: self.memory.0, bytes: self.bytes, owner: PhantomData }
    }

    /// The device that it is on.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.gpu.0.give_back(Allocation::Device(Memory(self.memory.0)));
    }
}

/// An allocation of device memory as the driver knows it: its address.
pub(super) struct Memory(pub(super) sys::CUdeviceptr);

/// An allocation of either kind, to be freed.
pub(super) enum Allocation {
    Device(Memory),
    Host(NonNull<u8>),
}

// SAFETY: nobody has it any more; it may be freed from any thread.
unsafe impl Send for Allocation {}

impl Device {
    pub(super) fn allocate(&self, bytes: usize) -> Result<Memory> {
        // The driver has no allocation of nothing.
        // SAFETY: the context is current.
        let address = unsafe { result::malloc_sync(bytes.max(1)) }
            .map_err(|error| self.failure("taking device memory", error, bytes))?;
        self.counters.allocations.fetch_add(1, Ordering::Relaxed);
        Ok(Memory(address))
    }

    /// Frees memory after the work that may still use it, at the end of the recording that is under way if there is one.
    pub(super) fn give_back(&self, allocation: Allocation) {
        let pass = self.gate.enter();
        if pass.recording {
            lock(&self.recording).freed.push(allocation);
        } else if self.bind().is_ok() {
            // There is nothing to be done about an error: the device is lost, and its memory with it.
            let _ = self.free(&[allocation]);
        }
    }

    /// Frees memory after the work that may still use it: this thread is inside, and does not record.
    pub(super) fn free(&self, allocations: &[Allocation]) -> Result<()> {
        if allocations.is_empty() {
            return Ok(());
        }
        // SAFETY: the stream is alive as long as this is.
        let waited = unsafe { result::stream::synchronize(self.stream()) };
        for allocation in allocations {
            // SAFETY: the driver gave it, nobody has it any more, and the work on it is done. An error here is the one of
            // the wait again.
            let _ = unsafe {
                match allocation {
                    Allocation::Device(memory) => result::free_sync(memory.0),
                    Allocation::Host(start) => result::free_host(start.as_ptr().cast()),
                }
            };
        }
        waited.map_err(|error| self.failure("waiting for the device", error, 0))
    }
}

/// Checks that two stretches are of the same length.
pub(super) fn same_length(to: usize, from: usize) -> Result<()> {
    if to != from {
        return Err(Error::Shape(format!("expected {to} bytes, got {from}")));
    }
    Ok(())
}
