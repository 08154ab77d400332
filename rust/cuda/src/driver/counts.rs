//! How often the driver was asked for what.

use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering};

/// Calls of the driver since the device was opened. What is recorded counts in its graph and not here.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Kernels launched one by one.
    pub launches: u64,
    /// Graphs launched.
    pub graph_launches: u64,
    /// Copies from the host to the device.
    pub uploads: u64,
    /// Copies from the device to the host.
    pub downloads: u64,
    /// Times that the host waited for the device.
    pub waits: u64,
    /// Allocations of device memory and of pinned host memory.
    pub allocations: u64,
    /// Fills of device memory.
    pub fills: u64,
    /// Copies within the device.
    pub copies: u64,
}

impl Counts {
    /// Each with its name.
    #[must_use]
    pub fn named(self) -> [(&'static str, u64); 8] {
        [
            ("launches", self.launches),
            ("graph_launches", self.graph_launches),
            ("uploads", self.uploads),
            ("downloads", self.downloads),
            ("waits", self.waits),
            ("allocations", self.allocations),
            ("fills", self.fills),
            ("copies", self.copies),
        ]
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            launches: self.launches - earlier.launches,
            graph_launches: self.graph_launches - earlier.graph_launches,
            uploads: self.uploads - earlier.uploads,
            downloads: self.downloads - earlier.downloads,
            waits: self.waits - earlier.waits,
            allocations: self.allocations - earlier.allocations,
            fills: self.fills - earlier.fills,
            copies: self.copies - earlier.copies,
        }
    }
}

/// The same, counted by several threads.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) launches: AtomicU64,
    pub(super) graph_launches: AtomicU64,
    pub(super) uploads: AtomicU64,
    pub(super) downloads: AtomicU64,
    pub(super) waits: AtomicU64,
    pub(super) allocations: AtomicU64,
    pub(super) fills: AtomicU64,
    pub(super) copies: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            launches: of(&self.launches),
            graph_launches: of(&self.graph_launches),
            uploads: of(&self.uploads),
            downloads: of(&self.downloads),
            waits: of(&self.waits),
            allocations: of(&self.allocations),
            fills: of(&self.fills),
            copies: of(&self.copies),
        }
    }
}
