//! Operations that fail when a test says so.

use std::cell::Cell;

use crate::error::{Error, Result};

thread_local! {
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

const MESSAGE: &str = "a fault of a test";

/// Fails if it is this place's turn.
pub(crate) fn check() -> Result<()> {
    LEFT.with(|left| match left.get() {
        Some(0) => {
            left.set(None);
            Err(candle_core::Error::Msg(MESSAGE.into()).into())
        }
        Some(more) => {
            left.set(Some(more - 1));
            Ok(())
        }
        None => Ok(()),
    })
}

/// Runs `call` with a fault at the `nth` place it comes to; nothing where it comes to less.
///
/// # Panics
/// If it hides the fault, or fails in another way.
pub(crate) fn with_fault<T>(nth: usize, call: impl FnOnce() -> Result<T>) -> Option<T> {
    LEFT.set(Some(nth));
    let result = call();
    let reached = LEFT.take().is_none();
    match result {
        Ok(given) => {
            assert!(!reached, "fault {nth} was hidden");
            Some(given)
        }
        Err(Error::Tensor(error)) if reached && error.to_string().contains(MESSAGE) => None,
        Err(error) => panic!("expected fault {nth}, got {error}"),
    }
}
