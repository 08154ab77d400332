//! Order between our stream and one of the caller's: data that comes from or goes to other libraries.

use cudarc::driver::{result, sys};

use super::lock;
use super::open::{Device, Gpu};
use crate::Result;

impl Gpu {
    /// The handle of its stream, for those who order their work by it.
    #[must_use]
    pub fn stream_handle(&self) -> u64 {
        self.0.stream().addr() as u64
    }

    /// Lets what follows in our stream begin after what is now in the caller's.
    ///
    /// `stream` is the handle of a stream of the device's primary context, or 1 for the legacy default stream and 2 for
    /// the one of the thread, as DLPack numbers them. The driver does not check that a number is a stream.
    ///
    /// # Errors
    /// [`crate::Error::Driver`], also while a graph is recorded.
    pub fn wait_for(&self, stream: u64) -> Result<()> {
        self.0.order(handle(stream), self.0.stream())
    }

    /// Lets what follows in the caller's stream begin after what is now in ours: `stream` as in [`Gpu::wait_for`].
    ///
    /// # Errors
    /// [`crate::Error::Driver`], also while a graph is recorded.
    pub fn let_wait(&self, stream: u64) -> Result<()> {
        self.0.order(self.0.stream(), handle(stream))
    }
}

impl Device {
    fn order(&self, first: sys::CUstream, then: sys::CUstream) -> Result<()> {
        let pass = self.enter()?;
        self.refuse_while_recording(&pass, "an order between streams")?;
        // One event serves all calls: a wait refers to what the event marked when it was asked for.
        let _event = lock(&self.ordering);
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: our stream and the event live as long as this; the caller's stream is what the caller says.
        unsafe {
            result::event::record(self.event(), first)
                .and_then(|()| result::stream::wait_event(then, self.event(), flags))
        }
        .map_err(|error| self.failure("ordering two streams", error, 0))
    }
}

fn handle(stream: u64) -> sys::CUstream {
    std::ptr::with_exposed_provenance_mut(stream as usize)
}
