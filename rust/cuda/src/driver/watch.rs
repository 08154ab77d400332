//! Tools that check memory: a driver that does is told of the pieces of the arena, which are not allocations of their own.

use cudarc::driver::sys;

use super::arena::ALIGNMENT;

/// Tells of a piece in stream order: its stream, address, length, what lies behind it, and whether it is taken.
type Tell = unsafe extern "C" fn(sys::CUstream, u64, usize, usize, i32);

/// What a driver that checks memory exports; the real one has nothing of the name.
const NAME: &[u8] = b"mimi_test_piece\0";

/// The driver's function, if it has it.
#[derive(Clone, Copy)]
pub(super) struct Watch(Option<Tell>);

impl Watch {
    /// Asks the driver, which is there.
    pub(super) fn of_driver() -> Self {
        // SAFETY: `call::start` found the library; whoever exports the name gives it this type.
        Self(unsafe { sys::culib().get::<Tell>(NAME) }.ok().map(|tell| *tell))
    }

    pub(super) fn is_on(self) -> bool {
        self.0.is_some()
    }

    /// Bytes that a piece must have behind it.
    pub(super) fn behind(self) -> usize {
        if self.is_on() { ALIGNMENT } else { 0 }
    }

    /// Tells that `bytes` of a stretch of `length` are taken, or given back.
    pub(super) fn tell(self, stream: sys::CUstream, address: u64, bytes: usize, length: usize, is_taken: bool) {
        if let Some(tell) = self.0 {
            // SAFETY: the stretch is a piece of the arena, in the stream's context.
            unsafe { tell(stream, address, bytes, length - bytes, i32::from(is_taken)) };
        }
    }
}
