//! How a call ended: a status, and the words of the thread's last error. Nothing unwinds out of a call.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mimi_codec::Error;

/// How a call ended: `MIMI_OK`, or why it failed. A call that failed has changed nothing.
pub type MimiStatus = i32;

/// All went well.
pub const MIMI_OK: MimiStatus = 0;
/// An argument is not what the function takes: a null pointer, an unknown number, text that is not UTF-8.
pub const MIMI_ERROR_ARGUMENT: MimiStatus = 1;
/// An option, or a field of the configuration, that is not supported; a half of the codec that was not loaded.
pub const MIMI_ERROR_CONFIG: MimiStatus = 2;
/// A file that is missing, damaged or not a codec.
pub const MIMI_ERROR_FILE: MimiStatus = 3;
/// Weights that do not fit the configuration.
pub const MIMI_ERROR_WEIGHTS: MimiStatus = 4;
/// Samples that cannot be encoded: not finite, or far too large.
pub const MIMI_ERROR_AUDIO: MimiStatus = 5;
/// Codes that cannot be decoded, or a wrong number of codebooks.
pub const MIMI_ERROR_CODES: MimiStatus = 6;
/// Latents that cannot be decoded.
pub const MIMI_ERROR_LATENTS: MimiStatus = 7;
/// A stream used in a way that its direction or state does not allow, or by two threads at once.
pub const MIMI_ERROR_STREAM: MimiStatus = 8;
/// A device that is not there.
pub const MIMI_ERROR_DEVICE: MimiStatus = 9;
/// There is not enough memory.
pub const MIMI_ERROR_MEMORY: MimiStatus = 10;
/// Sums overflowed because of the weights.
pub const MIMI_ERROR_NUMERIC: MimiStatus = 11;
/// A fault of this library.
pub const MIMI_ERROR_INTERNAL: MimiStatus = 12;

/// Why a call failed.
pub(crate) struct Failure {
    status: MimiStatus,
    message: String,
}

impl Failure {
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self { status: MIMI_ERROR_ARGUMENT, message: message.into() }
    }

    pub(crate) fn stream(message: &str) -> Self {
        Self { status: MIMI_ERROR_STREAM, message: message.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Config { .. } => MIMI_ERROR_CONFIG,
            Error::File { .. } => MIMI_ERROR_FILE,
            Error::MissingTensor { .. }
            | Error::TensorShape { .. }
            | Error::TensorDtype { .. }
            | Error::TensorValue { .. }
            | Error::SurplusTensors { .. } => MIMI_ERROR_WEIGHTS,
            Error::Audio(_) => MIMI_ERROR_AUDIO,
            Error::Codes(_) => MIMI_ERROR_CODES,
            Error::Latents(_) => MIMI_ERROR_LATENTS,
            Error::Stream(_) => MIMI_ERROR_STREAM,
            Error::Device(_) => MIMI_ERROR_DEVICE,
            Error::Memory { .. } => MIMI_ERROR_MEMORY,
            Error::Numeric(_) => MIMI_ERROR_NUMERIC,
            _ => MIMI_ERROR_INTERNAL,
        };
        Self { status, message: error.to_string() }
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// What the last call that failed on this thread has to say, in English: what was expected, and what came. Empty where none
/// has failed. The text is valid until the next call fails on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn mimi_last_error() -> *const c_char {
    LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Runs a call to its status. A panic becomes `MIMI_ERROR_INTERNAL`.
pub(crate) fn guarded(call: impl FnOnce() -> Result<(), Failure>) -> MimiStatus {
    // What a panic leaves half done is locked away by the stream's own lock.
    let done = catch_unwind(AssertUnwindSafe(call));
    let failure = match done {
        Ok(Ok(())) => return MIMI_OK,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure { status: MIMI_ERROR_INTERNAL, message: words(panic) },
    };
    let message = CString::new(failure.message.replace('\0', "\u{fffd}")).unwrap_or_default();
    // A thread that is ending keeps no words.
    let _ = LAST_ERROR.try_with(|last| last.replace(message));
    failure.status
}

fn words(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    // What was thrown may panic itself when it is dropped.
    std::mem::forget(panic);
    format!("a fault of the library: {}", text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn last() -> String {
        // SAFETY: the text of this thread, and no call has failed since.
        unsafe { CStr::from_ptr(mimi_last_error()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn a_panic_is_a_status() {
        assert_eq!(guarded(|| panic!("at {}", 7)), MIMI_ERROR_INTERNAL);
        assert_eq!(last(), "a fault of the library: at 7");
        assert_eq!(guarded(|| std::panic::panic_any(1)), MIMI_ERROR_INTERNAL);
        assert_eq!(guarded(|| Ok(())), MIMI_OK);
        assert_eq!(last(), "a fault of the library: ", "what went well says nothing");
    }

    #[test]
    fn words_are_the_thread_s_own() {
        assert_eq!(guarded(|| Err(Failure::argument("one\0two"))), MIMI_ERROR_ARGUMENT);
        assert_eq!(std::thread::spawn(last).join().ok().as_deref(), Some(""));
        assert_eq!(last(), "one\u{fffd}two");
    }
}
