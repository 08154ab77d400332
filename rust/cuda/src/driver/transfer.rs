//! Copies between the host and the device and within it, and fills.

use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::{result, sys};

use super::counts::Counts;
use super::gate::Pass;
use super::lock;
use super::memory::{Span, same_length};
use super::open::{Device, Gpu};
use crate::{Error, Result};

impl Gpu {
    /// Copies memory to the device, in stream order, and waits for the end.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ; [`Error::Driver`], also while a graph is recorded.
    pub fn upload(&self, to: Span, from: &[u8]) -> Result<()> {
        let pass = self.0.enter()?;
        self.0.refuse_while_recording(&pass, "an upload of memory that is not pinned")?;
        same_length(to.bytes(), from.len())?;
        if from.is_empty() {
            return Ok(());
        }
        // SAFETY: the lengths agree, and the borrow of `from` outlasts the wait below.
        unsafe { result::memcpy_htod_async(to.address(), from, self.0.stream()) }
            .map_err(|error| self.0.failure("copying to the device", error, 0))?;
        self.0.counters.uploads.fetch_add(1, Ordering::Relaxed);
        // Memory that somebody else has pinned is read after the call has come back.
        self.0.wait(&pass)
    }

    /// Copies device memory to the host, in stream order, and waits for the end.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ; [`Error::Driver`], also while a graph is recorded.
    pub fn download(&self, from: Span, to: &mut [u8]) -> Result<()> {
        let pass = self.0.enter()?;
        self.0.refuse_while_recording(&pass, "a download to memory that is not pinned")?;
        same_length(to.len(), from.bytes())?;
        if to.is_empty() {
            return Ok(());
        }
        // SAFETY: the lengths agree, and the borrow of `to` outlasts the wait below.
        unsafe { result::memcpy_dtoh_async(to, from.address(), self.0.stream()) }
            .map_err(|error| self.0.failure("copying from the device", error, 0))?;
        self.0.counters.downloads.fetch_add(1, Ordering::Relaxed);
        self.0.wait(&pass)
    }

    /// Fills device memory with a word of four bytes, in stream order.
    ///
    /// # Errors
    /// [`Error::Shape`] if the memory is not one of words; [`Error::Driver`].
    pub fn fill(&self, span: Span, word: u32) -> Result<()> {
        const WORD: usize = size_of::<u32>();
        let pass = self.0.enter()?;
        if !span.bytes().is_multiple_of(WORD) || !span.address().is_multiple_of(WORD as u64) {
            let (bytes, address) = (span.bytes(), span.address());
            return Err(Error::Shape(format!("expected words of {WORD} bytes, got {bytes} bytes at {address:#x}")));
        }
        if span.bytes() == 0 {
            return Ok(());
        }
        // SAFETY: the span is memory of the device, and aligned.
        unsafe { sys::cuMemsetD32Async(span.address(), word, span.bytes() / WORD, self.0.stream()) }
            .result()
            .map_err(|error| self.0.failure("filling device memory", error, 0))?;
        self.0.count(&pass, |counts| &mut counts.fills, &self.0.counters.fills);
        Ok(())
    }

    /// Copies within the device, in stream order.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ or the stretches overlap; [`Error::Driver`].
    pub fn copy(&self, to: Span, from: Span) -> Result<()> {
        let pass = self.0.enter()?;
        same_length(to.bytes(), from.bytes())?;
        if to.address().abs_diff(from.address()) < to.bytes() as u64 {
            return Err(Error::Shape("expected a copy between stretches apart, got some that overlap".into()));
        }
        if to.bytes() == 0 {
            return Ok(());
        }
        // SAFETY: both spans are memory of the device, of that length and apart.
        unsafe { result::memcpy_dtod_async(to.address(), from.address(), to.bytes(), self.0.stream()) }
            .map_err(|error| self.0.failure("copying on the device", error, 0))?;
        self.0.count(&pass, |counts| &mut counts.copies, &self.0.counters.copies);
        Ok(())
    }
}

impl Device {
    /// Counts a call: for the graph if one is recorded.
    pub(super) fn count(&self, pass: &Pass<'_>, of: impl Fn(&mut Counts) -> &mut u64, counter: &AtomicU64) {
        if pass.recording {
            *of(&mut lock(&self.recording).contents) += 1;
        } else {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}
