//! A device that was opened: its context, its stream, and the kernels loaded on it.

use std::ffi::c_int;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use cudarc::driver::{result, sys};

use super::arena::Arena;
use super::counts::{Counters, Counts};
use super::gate::{Gate, Pass};
use super::graph::Recording;
use super::info::Info;
use super::launch::Kernels;
use super::memory::Allocation;
use super::watch::Watch;
use super::{call, lock};
use crate::{Error, Result};

/// A CUDA device that was opened, for all threads. Clones are the same device.
#[derive(Clone)]
pub struct Gpu(pub(super) Arc<Device>);

/// What clones of a [`Gpu`] share.
pub(super) struct Device {
    info: Info,
    handles: Handles,
    pub(super) kernels: Kernels,
    pub(super) watch: Watch,
    pub(super) counters: Counters,
    pub(super) gate: Gate,
    pub(super) arena: Mutex<Arena>,
    pub(super) recording: Mutex<Recording>,
    /// Held while the event is marked and waited for.
    pub(super) ordering: Mutex<()>,
    /// Transfers of pinned memory put into the stream, and how many of them a wait has seen the end of.
    pub(super) queued: AtomicU64,
    pub(super) finished: AtomicU64,
    lost: OnceLock<String>,
}

/// What the driver gave when the device was opened; given back when dropped.
struct Handles {
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    event: sys::CUevent,
}

// SAFETY: contexts, streams and events of the driver may be used from any thread.
unsafe impl Send for Handles {}
// SAFETY: as above, and at the same time.
unsafe impl Sync for Handles {}

impl Gpu {
    /// Number of devices that the process sees.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is no driver or no device.
    pub fn count() -> Result<usize> {
        call::start()?;
        let count = result::device::get_count().map_err(|error| call::failure("counting the devices", error, 0))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// What each device is that the process sees. None is opened.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is no driver or no device.
    pub fn devices() -> Result<Vec<Info>> {
        (0..Self::count()?).map(|ordinal| Info::of(ordinal, device(ordinal)?)).collect()
    }

    /// Opens a device: makes its context current, and loads the kernels, compiled at first use and kept in a cache.
    ///
    /// # Errors
    /// [`Error::Missing`] without a driver, a device of that number, or NVRTC; [`Error::Memory`], [`Error::Compile`],
    /// [`Error::Driver`].
    pub fn open(ordinal: usize) -> Result<Self> {
        let count = Self::count()?;
        if ordinal >= count {
            return Err(Error::Missing(format!("expected a CUDA device below {count}, got {ordinal}")));
        }
        let handles = Handles::open(ordinal)?;
        let info = Info::of(ordinal, handles.device)?;
        let kernels = Kernels::load(&info)?;
        Ok(Self(Arc::new(Device {
            info,
            handles,
            kernels,
            watch: Watch::of_driver(),
            counters: Counters::default(),
            gate: Gate::default(),
            arena: Mutex::new(Arena::default()),
            recording: Mutex::new(Recording::default()),
            ordering: Mutex::new(()),
            queued: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            lost: OnceLock::new(),
        })))
    }

    /// What the device is.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// Calls of the driver since the device was opened.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.counters.read()
    }

    /// Makes the device's context current on this thread. Every call of a [`Gpu`] does so itself.
    ///
    /// # Errors
    /// [`Error::Driver`]
    pub fn bind(&self) -> Result<()> {
        self.0.bind()
    }

    /// Waits until all that was put into the stream is done.
    ///
    /// # Errors
    /// [`Error::Driver`], also for work that failed on the device since the last wait, or while a graph is recorded.
    pub fn wait(&self) -> Result<()> {
        let pass = self.0.enter()?;
        self.0.refuse_while_recording(&pass, "a wait")?;
        self.0.wait(&pass)
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gpu").field(&self.0.info).finish()
    }
}

impl Device {
    pub(super) fn stream(&self) -> sys::CUstream {
        self.handles.stream
    }

    pub(super) fn event(&self) -> sys::CUevent {
        self.handles.event
    }

    pub(super) fn bind(&self) -> Result<()> {
        self.handles.bind()
    }

    /// Leave for one call of the driver, with the context current.
    pub(super) fn enter(&self) -> Result<Pass<'_>> {
        let pass = self.gate.enter();
        if let Some(lost) = self.lost.get() {
            return Err(Error::Driver(lost.clone()));
        }
        self.bind()?;
        Ok(pass)
    }

    pub(super) fn refuse_while_recording(&self, pass: &Pass<'_>, what: &str) -> Result<()> {
        if pass.recording {
            return Err(Error::Driver(format!(
                "{what} cannot be part of a graph: expected it before or after recording"
            )));
        }
        Ok(())
    }

    /// The error for one of the driver's. Where it means that the device is lost, all later calls say so.
    pub(super) fn failure(&self, doing: &str, error: result::DriverError, bytes: usize) -> Error {
        let failure = call::failure(doing, error, bytes);
        if call::is_lasting(error.0) {
            self.lost.get_or_init(|| format!("the CUDA device is lost to this process, since: {failure}"));
        }
        failure
    }

    pub(super) fn wait(&self, _pass: &Pass<'_>) -> Result<()> {
        let queued = self.queued.load(Ordering::Acquire);
        // SAFETY: the stream is alive as long as this is.
        unsafe { result::stream::synchronize(self.stream()) }
            .map_err(|error| self.failure("waiting for the device", error, 0))?;
        self.finished.fetch_max(queued, Ordering::AcqRel);
        self.counters.waits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.bind().is_ok() {
            // There is nothing to be done about errors: the process may be ending, or the device lost.
            // SAFETY: the stream is alive until `handles` is dropped.
            let _ = unsafe { result::stream::synchronize(self.stream()) };
            let slabs: Vec<_> = lock(&self.arena).all().into_iter().map(Allocation::Device).collect();
            let _ = self.free(&slabs);
            self.kernels.unload();
        }
    }
}

/// The driver's name for a device.
fn device(ordinal: usize) -> Result<sys::CUdevice> {
    let ordinal = c_int::try_from(ordinal).map_err(|_| Error::Missing(format!("no CUDA device {ordinal}")))?;
    result::device::get(ordinal).map_err(|error| call::failure("asking for the device", error, 0))
}

impl Handles {
    fn open(ordinal: usize) -> Result<Self> {
        let failed = |error| call::failure("opening the device", error, 0);
        let device = device(ordinal)?;
        // The primary context is the one that PyTorch, CuPy and JAX use, so that their memory is ours to read.
        // SAFETY: `device` comes from the driver.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(failed)?;
        let (stream, event) = (std::ptr::null_mut(), std::ptr::null_mut());
        let mut handles = Self { device, context, stream, event };
        handles.bind()?;
        handles.stream = result::stream::create(result::stream::StreamKind::NonBlocking).map_err(failed)?;
        handles.event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING).map_err(failed)?;
        Ok(handles)
    }

    fn bind(&self) -> Result<()> {
        // SAFETY: the context is retained as long as this lives.
        unsafe { result::ctx::set_current(self.context) }
            .map_err(|error| call::failure("making the device current", error, 0))
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        // Errors are of no use here: the process may be ending, or the device lost.
        if self.bind().is_ok() {
            // SAFETY: both were made by `open`, or are null; nothing uses them any more.
            unsafe {
                if !self.event.is_null() {
                    let _ = result::event::destroy(self.event);
                }
                if !self.stream.is_null() {
                    let _ = result::stream::destroy(self.stream);
                }
            }
        }
        // SAFETY: retained by `open`, once.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}
