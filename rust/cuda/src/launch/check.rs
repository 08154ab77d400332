//! Checks of what a launch is given, before anything is done.

use crate::driver::Span;
use crate::{Error, Result};

/// The bytes of a tensor of float32.
pub(crate) fn floats(shape: &[usize]) -> Result<usize> {
    let bytes = shape.iter().try_fold(size_of::<f32>(), |bytes, &length| bytes.checked_mul(length));
    bytes.ok_or_else(|| Error::Shape(format!("expected a tensor that fits the memory, got {shape:?}")))
}

/// That a span is as long as a tensor of float32.
pub(crate) fn is_tensor(name: &str, span: Span<'_>, shape: &[usize]) -> Result<()> {
    has_bytes(name, span, floats(shape)?, shape)
}

/// That a span is as long as something of this shape, in bytes.
pub(crate) fn has_bytes(name: &str, span: Span<'_>, bytes: usize, shape: &[usize]) -> Result<()> {
    if span.bytes() != bytes {
        let got = span.bytes();
        return Err(Error::Shape(format!("expected {name} of {shape:?}, {bytes} bytes, got {got} bytes")));
    }
    if !span.address().is_multiple_of(size_of::<f32>() as u64) {
        return Err(Error::Shape(format!("expected {name} at a multiple of 4, got address {:#x}", span.address())));
    }
    Ok(())
}

/// That nothing of a span lies in another.
pub(crate) fn are_apart(names: &str, a: Span<'_>, b: Span<'_>) -> Result<()> {
    let end = |span: Span<'_>| span.address() + span.bytes() as u64;
    if a.address() < end(b) && b.address() < end(a) {
        return Err(Error::Shape(format!("expected {names} in memory of their own, got one memory for both")));
    }
    Ok(())
}

/// A length as the kernels have it, which count elements of a row in 32 bits with a sign.
pub(crate) fn number(name: &str, value: usize) -> Result<u32> {
    let fits = u32::try_from(value).ok().filter(|&value| value <= i32::MAX.cast_unsigned());
    fits.ok_or_else(|| Error::Shape(format!("expected {name} below 2^31, got {value}")))
}
