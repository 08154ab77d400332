//! What callers pass: pointers, lengths and text, checked as far as they can be.

use std::ffi::{CStr, c_char};
use std::slice;

use mimi_codec::{Codes, Error, Latents};

use crate::status::Failure;

/// A slice; a null pointer is one without elements.
///
/// # Safety
/// `data` points to `len` values that nobody writes while the slice is in use, or is null.
pub(crate) unsafe fn slice<'a, T>(data: *const T, len: usize, what: &str) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Failure::argument(format!("expected {len} {what}, got a null pointer")));
    }
    if !data.is_aligned() || len.checked_mul(size_of::<T>()).is_none_or(|bytes| isize::try_from(bytes).is_err()) {
        return Err(Failure::argument(format!("expected {what} that lie aligned in memory, got {len} at {data:p}")));
    }
    // SAFETY: not null, aligned, of a possible length; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts(data, len) })
}

/// What a pointer refers to.
///
/// # Safety
/// `data` points to a value that nobody writes while it is in use, or is null.
pub(crate) unsafe fn reference<'a, T>(data: *const T, what: &str) -> Result<&'a T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { data.as_ref() }.ok_or_else(|| Failure::argument(format!("expected {what}, got a null pointer")))
}

/// Where a result goes.
///
/// # Safety
/// `data` points to a place that may be written and that nobody else uses meanwhile, or is null.
pub(crate) unsafe fn place<'a, T>(data: *mut T, what: &str) -> Result<&'a mut T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { data.as_mut() }
        .ok_or_else(|| Failure::argument(format!("expected a place for {what}, got a null pointer")))
}

/// Text, or nothing for a null pointer.
///
/// # Safety
/// `data` points to text with a zero at its end, or is null.
pub(crate) unsafe fn text<'a>(data: *const c_char, what: &str) -> Result<Option<&'a str>, Failure> {
    if data.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(data) };
    text.to_str().map(Some).map_err(|_| Failure::argument(format!("expected {what} in UTF-8, got {text:?}")))
}

/// Frames of codes, copied.
///
/// # Safety
/// That of [`slice`], for `frames * codebooks` codes.
pub(crate) unsafe fn codes(data: *const u32, frames: usize, codebooks: usize) -> Result<Codes, Failure> {
    // SAFETY: the caller's promise.
    Ok(Codes { codebooks, data: unsafe { copied(data, frames, codebooks, "codes") }? })
}

/// Frames of latents, copied.
///
/// # Safety
/// That of [`slice`], for `frames * dim` floats.
pub(crate) unsafe fn latents(data: *const f32, frames: usize, dim: usize) -> Result<Latents, Failure> {
    // SAFETY: the caller's promise.
    Ok(Latents { dim, data: unsafe { copied(data, frames, dim, "floats of latents") }? })
}

/// # Safety
/// That of [`slice`], for `frames * width` values.
unsafe fn copied<T: Copy>(data: *const T, frames: usize, width: usize, what: &str) -> Result<Vec<T>, Failure> {
    let len = frames.checked_mul(width);
    let len = len.ok_or_else(|| Failure::argument(format!("expected {what}, got {frames} frames of {width}")))?;
    // SAFETY: the caller's promise.
    let given = unsafe { slice(data, len, what) }?;
    let mut own = Vec::new();
    own.try_reserve_exact(len).map_err(|_| Error::Memory { bytes: size_of_val(given) })?;
    own.extend_from_slice(given);
    Ok(own)
}
