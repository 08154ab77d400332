//! Memory that may not be there: what grows with the input is asked for, and a refusal is an error.

use std::hint::black_box;

use crate::error::{Error, Result};

/// An empty vector with room for `len` elements.
pub(crate) fn with_room<T>(len: usize) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(len).map_err(|_| Error::Memory { bytes: len.saturating_mul(size_of::<T>()) })?;
    Ok(vec)
}

/// `len` zeros.
pub(crate) fn zeros(len: usize) -> Result<Vec<f32>> {
    let zeros = bytemuck::allocation::try_zeroed_slice_box(len);
    zeros.map(Vec::from).map_err(|()| Error::Memory { bytes: len.saturating_mul(size_of::<f32>()) })
}

/// A copy of a slice.
pub(crate) fn copy<T: Copy>(slice: &[T]) -> Result<Vec<T>> {
    let mut vec = with_room(slice.len())?;
    vec.extend_from_slice(slice);
    Ok(vec)
}

/// Whether there is room now for what candle is about to allocate, which would end the process where there is none.
pub(crate) fn check_room<T>(len: usize) -> Result<()> {
    // Seen by a black box, or the compiler leaves the allocation out and promises everything.
    black_box(with_room::<T>(len)?);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_an_error() {
        for len in [usize::MAX, usize::MAX / 4, 1 << 50] {
            let bytes = len.saturating_mul(4);
            for refused in [with_room::<f32>(len).map(drop), zeros(len).map(drop), check_room::<f32>(len)] {
                assert!(matches!(refused, Err(Error::Memory { bytes: asked }) if asked == bytes), "{len}: {refused:?}");
            }
        }
    }

    #[test]
    fn what_can_be_is_there() {
        assert_eq!(zeros(3).unwrap(), [0.0; 3]);
        assert_eq!(copy(&[1, 2]).unwrap(), [1, 2]);
        assert!(with_room::<u8>(100).unwrap().capacity() >= 100);
        check_room::<f32>(1000).unwrap();
    }
}
