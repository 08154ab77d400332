//! Pieces of device memory from the arena.

use std::marker::PhantomData;
use std::sync::Arc;

use super::arena::{ALIGNMENT, Arena, Stretch};
use super::lock;
use super::memory::{Allocation, Memory, Span};
use super::open::{Device, Gpu};
use crate::{Error, Result};

/// Slabs are multiples of this: the driver gives memory in pages of 2 MB.
const PAGE: usize = 2 << 20;

/// The most that is taken in advance.
const ADVANCE: usize = 256 << 20;

/// Device memory that is given back to the arena when dropped, and may be taken again at once: work is in one stream.
///
/// What a graph was recorded with stays taken as long as the graph lives.
pub struct Piece(Arc<Extent>);

/// A stretch of the arena that is in use, and the bytes that were asked for.
pub(super) struct Extent {
    gpu: Gpu,
    stretch: Stretch,
    bytes: usize,
}

impl Gpu {
    /// Takes memory from the arena, which grows if need be; what is in it is undefined.
    ///
    /// # Errors
    /// [`Error::Memory`]; [`Error::Driver`] while a graph is recorded, if the arena has no room: it has if the same work
    /// was done before.
    pub fn piece(&self, bytes: usize) -> Result<Piece> {
        let pass = self.0.enter()?;
        let length = bytes.max(1).checked_next_multiple_of(ALIGNMENT).ok_or(Error::Memory { bytes })?;
        let length = length.saturating_add(self.0.watch.behind());
        let mut arena = lock(&self.0.arena);
        let stretch = match arena.take(length) {
            Some(stretch) => stretch,
            None if pass.recording => {
                return Err(Error::Driver(format!(
                    "no room for {bytes} bytes while a graph is recorded: expected the same work to be done before"
                )));
            }
            None => {
                self.0.grow(&mut arena, length)?;
                arena.take(length).ok_or(Error::Memory { bytes })?
            }
        };
        drop(arena);
        self.0.watch.tell(self.0.stream(), stretch.start, bytes, length, true);
        let extent = self.extent(stretch, bytes);
        if pass.recording {
            lock(&self.0.recording).take(&extent);
        }
        Ok(Piece(extent))
    }

    /// Frees the slabs of the arena of which nothing is used, and gives their number. It waits for the device.
    ///
    /// # Errors
    /// [`Error::Driver`], also while a graph is recorded.
    pub fn trim(&self) -> Result<usize> {
        let pass = self.0.enter()?;
        self.0.refuse_while_recording(&pass, "freeing memory")?;
        self.0.trim(&mut lock(&self.0.arena))
    }

    pub(super) fn extent(&self, stretch: Stretch, bytes: usize) -> Arc<Extent> {
        Arc::new(Extent { gpu: self.clone(), stretch, bytes })
    }
}

impl Piece {
    /// All of it.
    #[must_use]
    pub fn span(&self) -> Span<'_> {
        Span { address: self.0.stretch.start, bytes: self.0.bytes, owner: PhantomData }
    }

    /// The device that it is on.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        &self.0.gpu
    }
}

impl Extent {
    pub(super) fn stretch(&self) -> &Stretch {
        &self.stretch
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        let device = &self.gpu.0;
        if device.watch.is_on() {
            let _pass = device.gate.enter();
            let length = (self.stretch.end - self.stretch.start) as usize;
            device.watch.tell(device.stream(), self.stretch.start, self.bytes, length, false);
        }
        lock(&device.arena).give_back(&self.stretch);
    }
}

impl Device {
    /// Adds a slab with room for `length` bytes, and for as much again as there is, so that there are few.
    fn grow(&self, arena: &mut Arena, length: usize) -> Result<()> {
        let needed = length.checked_next_multiple_of(PAGE).ok_or(Error::Memory { bytes: length })?;
        let wanted = needed.max(arena.bytes().min(ADVANCE).next_multiple_of(PAGE));
        if wanted > needed
            && let Ok(memory) = self.allocate(wanted)
        {
            arena.grow(memory, wanted);
            return Ok(());
        }
        let memory = self.allocate_or_trim(arena, needed)?;
        arena.grow(memory, needed);
        Ok(())
    }

    /// Allocates device memory; what the arena holds and does not use is freed for it if need be.
    pub(super) fn allocate_or_trim(&self, arena: &mut Arena, bytes: usize) -> Result<Memory> {
        match self.allocate(bytes) {
            Err(Error::Memory { .. }) if self.trim(arena)? > 0 => self.allocate(bytes),
            done => done,
        }
    }

    fn trim(&self, arena: &mut Arena) -> Result<usize> {
        let idle: Vec<_> = arena.idle().into_iter().map(Allocation::Device).collect();
        self.free(&idle)?;
        Ok(idle.len())
    }
}
