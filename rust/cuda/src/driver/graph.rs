//! Work recorded once and launched again as a whole.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use cudarc::driver::{result, sys};

use super::arena::{self, Stretch};
use super::counts::Counts;
use super::gate::Recorder;
use super::lock;
use super::memory::Allocation;
use super::open::Gpu;
use super::piece::Extent;
use super::pinned::Pages;
use crate::{Error, Result};

/// A recorded sequence of launches, copies and fills, that the device runs as one.
///
/// It works on the memory it was recorded with. What it took from the arena and the pinned memory it keeps; buffers, and
/// pieces that were taken before, are the caller's to keep as long as it is replayed.
pub struct Graph {
    gpu: Gpu,
    executable: Mutex<Executable>,
    contents: Counts,
    pinned: Vec<Arc<Pages>>,
    _memory: Vec<Arc<Extent>>,
}

/// The driver's graph, ready to be launched.
struct Executable(sys::CUgraphExec);

// SAFETY: graphs of the driver may be used from any thread, one at a time.
unsafe impl Send for Executable {}

/// What is noted while a graph is recorded.
#[derive(Default)]
pub(super) struct Recording {
    /// Memory that was dropped, to be freed at the end.
    pub(super) freed: Vec<Allocation>,
    /// Pinned memory that is copied from or to.
    pub(super) pinned: Vec<Arc<Pages>>,
    /// Calls that became part of the graph.
    pub(super) contents: Counts,
    /// What was taken from the arena, and all that was ever part of it.
    extents: Vec<Weak<Extent>>,
    touched: Vec<Stretch>,
}

impl Recording {
    /// Notes memory taken from the arena.
    pub(super) fn take(&mut self, extent: &Arc<Extent>) {
        self.extents.push(Arc::downgrade(extent));
        self.touched.push(extent.stretch().clone());
    }

    /// Takes for good what was taken from the arena meanwhile, whether it was given back since or not.
    fn keep(&mut self, gpu: &Gpu) -> Vec<Arc<Extent>> {
        let mut kept: Vec<_> = self.extents.iter().filter_map(Weak::upgrade).collect();
        let alive = kept.iter().map(|extent| extent.stretch().clone()).collect();
        for stretch in arena::without(std::mem::take(&mut self.touched), alive) {
            lock(&gpu.0.arena).claim(&stretch);
            let bytes = (stretch.end - stretch.start) as usize;
            kept.push(gpu.extent(stretch, bytes));
        }
        kept
    }
}

impl Gpu {
    /// Records what `work` puts into the stream, without doing it. Other threads wait meanwhile.
    ///
    /// Launches, fills, copies within the device and copies of pinned memory can be part of a graph. Memory can be taken
    /// from the arena as long as it has room: where the same work was done before, it has.
    ///
    /// # Errors
    /// Those of `work`; [`Error::Driver`] and [`Error::Memory`] of the recording itself. Nothing is left of it then.
    pub fn record<T, E: From<Error>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<(T, Graph), E> {
        let recorder = self.0.gate.record().ok_or_else(|| Error::Driver("a graph is being recorded already".into()))?;
        let capture = Capture::begin(self, recorder)?;
        let done = work()?;
        Ok((done, capture.end()?))
    }

    /// Launches a graph, in stream order.
    ///
    /// # Errors
    /// [`Error::Shape`] for a graph of another device; [`Error::Driver`], also while a graph is recorded.
    pub fn replay(&self, graph: &Graph) -> Result<()> {
        let pass = self.0.enter()?;
        self.0.refuse_while_recording(&pass, "another graph")?;
        if !Arc::ptr_eq(&self.0, &graph.gpu.0) {
            return Err(Error::Shape("expected a graph of this device, got one of another".into()));
        }
        let executable = lock(&graph.executable);
        // SAFETY: the graph keeps what it recorded, and the caller the rest.
        unsafe { result::graph::launch(executable.0, self.0.stream()) }
            .map_err(|error| self.0.failure("launching a graph", error, 0))?;
        if !graph.pinned.is_empty() {
            let transfer = self.0.queued.fetch_add(1, Ordering::AcqRel) + 1;
            graph.pinned.iter().for_each(|pages| pages.note(transfer));
        }
        self.0.counters.graph_launches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Graph {
    /// What it consists of.
    #[must_use]
    pub fn contents(&self) -> Counts {
        self.contents
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _pass = self.gpu.0.gate.enter();
        if self.gpu.0.bind().is_ok() {
            // SAFETY: made by `Capture::end`. The driver waits for a launch that is under way.
            let _ = unsafe { result::graph::exec_destroy(lock(&self.executable).0) };
        }
    }
}

/// The driver records as long as this lives.
struct Capture<'a> {
    gpu: &'a Gpu,
    recorder: Option<Recorder<'a>>,
    ended: bool,
}

impl<'a> Capture<'a> {
    fn begin(gpu: &'a Gpu, recorder: Recorder<'a>) -> Result<Self> {
        drop(gpu.0.enter()?);
        // Only what this thread does matters: other libraries may allocate meanwhile.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives as long as the device.
        unsafe { result::stream::begin_capture(gpu.0.stream(), mode) }
            .map_err(|error| gpu.0.failure("beginning to record a graph", error, 0))?;
        Ok(Self { gpu, recorder: Some(recorder), ended: false })
    }

    fn end(mut self) -> Result<Graph> {
        let device = &self.gpu.0;
        let graph = self.stop().map_err(|error| device.failure("recording a graph", error, 0))?;
        // SAFETY: the graph comes from the driver and is not used again.
        let executable = unsafe {
            let executable = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(graph);
            executable
        };
        let executable = executable.map_err(|error| device.failure("making a graph ready", error, 0))?;
        let (contents, pinned, memory) = {
            let mut recording = lock(&device.recording);
            (recording.contents, std::mem::take(&mut recording.pinned), recording.keep(self.gpu))
        };
        let executable = Mutex::new(Executable(executable));
        let graph = Graph { gpu: self.gpu.clone(), executable, contents, pinned, _memory: memory };
        // So that the first launch is as quick as the others.
        // SAFETY: just made.
        unsafe { result::graph::upload(lock(&graph.executable).0, device.stream()) }
            .map_err(|error| device.failure("making a graph ready", error, 0))?;
        Ok(graph)
    }

    fn stop(&mut self) -> Result<sys::CUgraph, result::DriverError> {
        self.ended = true;
        // SAFETY: this thread began to record.
        unsafe { result::stream::end_capture(self.gpu.0.stream()) }
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        if !self.ended
            && let Ok(graph) = self.stop()
            && !graph.is_null()
        {
            // SAFETY: it comes from the driver and nobody has it.
            let _ = unsafe { result::graph::destroy(graph) };
        }
        let recording = std::mem::take(&mut *lock(&self.gpu.0.recording));
        // From here on memory is given back as ever.
        self.recorder = None;
        recording.freed.into_iter().for_each(|freed| self.gpu.0.give_back(freed));
    }
}
