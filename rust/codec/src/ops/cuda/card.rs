//! The card that a model runs on: its driver, and the step that is under way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mimi_cuda::{Buffer, Gpu, Span};

use super::area::Area;
use crate::error::{Error, Result};
use crate::ops::rotary::Frequencies;

/// A device, as the operations of one model use it.
pub(super) struct Card {
    gpu: Gpu,
    /// What the operations of the step under way need besides their input.
    current: Mutex<Option<Arc<Current>>>,
    /// Frames of a block that leave the windows of all attention layers whole.
    slack: AtomicUsize,
}

/// A step on its way through the layers.
pub(super) struct Current {
    area: Arc<Area>,
    /// The tables of angles that layers have asked for so far.
    tables: Mutex<Vec<Table>>,
}

/// Angles that the host computes for each step.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) frequencies: Arc<Frequencies>,
    /// Steps of a row.
    pub(super) steps: usize,
}

impl Card {
    pub(super) fn new(gpu: Gpu) -> Self {
        Self { gpu, current: Mutex::default(), slack: AtomicUsize::new(usize::MAX) }
    }

    pub(super) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Floats that stay on the device.
    pub(super) fn kept(&self, values: &[f32]) -> Result<Buffer> {
        let buffer = self.gpu.buffer(floats(values.len()))?;
        self.gpu.upload(buffer.span(), bytemuck::cast_slice(values))?;
        Ok(buffer)
    }

    /// The step that is under way.
    pub(super) fn current(&self) -> Result<Arc<Current>> {
        let current = lock(&self.current).clone();
        current.ok_or_else(|| Error::Device("expected an operation inside a step, got one outside".into()))
    }

    /// Runs operations as parts of a step.
    pub(super) fn during<T>(&self, area: &Arc<Area>, work: impl FnOnce() -> Result<T>) -> Result<(T, Vec<Table>)> {
        let current = Arc::new(Current { area: Arc::clone(area), tables: Mutex::default() });
        *lock(&self.current) = Some(Arc::clone(&current));
        let done = work();
        *lock(&self.current) = None;
        let tables = std::mem::take(&mut *lock(&current.tables));
        Ok((done?, tables))
    }

    /// Notes that a ring leaves its window whole for so many frames.
    pub(super) fn note_slack(&self, frames: usize) {
        self.slack.fetch_min(frames, Ordering::Relaxed);
    }

    pub(super) fn slack(&self) -> usize {
        self.slack.load(Ordering::Relaxed)
    }
}

impl Current {
    /// The sessions of the step's rows; none where nothing is remembered.
    pub(super) fn sessions(&self) -> Option<Span<'_>> {
        self.area.sessions()
    }

    /// The words in which kernels report what cannot be gone on with.
    pub(super) fn faults(&self) -> Span<'_> {
        self.area.faults()
    }

    /// Rows of the step, those that rest included.
    pub(super) fn rows(&self) -> usize {
        self.area.layout().rows()
    }

    /// The next table of angles, which the step has brought to the device if it knew of it: its number.
    pub(super) fn table(&self, table: Table) -> Option<(Arc<Area>, usize)> {
        let mut tables = lock(&self.tables);
        tables.push(table);
        let number = tables.len() - 1;
        (number < self.area.layout().tables()).then(|| (Arc::clone(&self.area), number))
    }
}

/// Bytes of so many floats, codes or other words.
pub(super) fn floats(count: usize) -> usize {
    count.saturating_mul(size_of::<f32>())
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<mimi_cuda::Error> for Error {
    fn from(error: mimi_cuda::Error) -> Self {
        match error {
            mimi_cuda::Error::Memory { bytes } => Self::Memory { bytes },
            other => Self::Device(other.to_string()),
        }
    }
}
