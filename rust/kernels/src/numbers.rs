//! Numbers that never change any more: weights as the kernels read them, in memory of their own or in a file that is mapped.

use std::any::Any;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::memory::Buffer;
use crate::precision::Precision;

/// Numbers of which any bytes are a value.
///
/// # Safety
/// As said; there are no bytes between those of the value; and dropping one does nothing.
pub unsafe trait Number: Copy + Send + Sync + 'static {
    /// The precision of weights that are kept as these.
    const PRECISION: Precision;
}

// SAFETY: plain numbers.
unsafe impl Number for f32 {
    const PRECISION: Precision = Precision::Float32;
}
// SAFETY: as above.
unsafe impl Number for u16 {
    const PRECISION: Precision = Precision::Bfloat16;
}
// SAFETY: as above.
unsafe impl Number for i8 {
    const PRECISION: Precision = Precision::Int8;
}

/// A slice that its clones share, wherever it lies.
#[derive(Clone)]
pub struct Numbers<T: Number> {
    start: NonNull<T>,
    len: usize,
    /// What keeps the memory.
    _memory: Arc<dyn Any + Send + Sync>,
}

// SAFETY: nobody changes what all read.
unsafe impl<T: Number> Send for Numbers<T> {}
// SAFETY: as above.
unsafe impl<T: Number> Sync for Numbers<T> {}

impl<T: Number> Numbers<T> {
    /// The numbers that `memory` keeps.
    ///
    /// # Safety
    /// They stay where they are, and as they are, as long as there is `memory`.
    pub(crate) unsafe fn kept_by(numbers: &[T], memory: Arc<dyn Any + Send + Sync>) -> Self {
        Self { start: NonNull::from(numbers).cast(), len: numbers.len(), _memory: memory }
    }

    /// A copy of numbers that are given as bytes; none where the bytes are not a whole number of them.
    pub fn copied(bytes: &[u8]) -> Option<Self> {
        if !bytes.len().is_multiple_of(size_of::<T>()) {
            return None;
        }
        let mut numbers = Buffer::<T>::zeros(bytes.len() / size_of::<T>());
        // SAFETY: as many bytes as the numbers have, which are alone; any bytes are numbers.
        unsafe { numbers.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Some(numbers.into())
    }
}

impl<T: Number> From<Vec<T>> for Numbers<T> {
    fn from(numbers: Vec<T>) -> Self {
        let memory = Arc::new(numbers);
        // SAFETY: nobody changes the vector, which is in the `Arc` alone.
        unsafe { Self::kept_by(&memory, Arc::<Vec<T>>::clone(&memory)) }
    }
}

impl<T: Number> From<Buffer<T>> for Numbers<T> {
    fn from(numbers: Buffer<T>) -> Self {
        let memory = Arc::new(numbers);
        // SAFETY: as above.
        unsafe { Self::kept_by(&memory, Arc::<Buffer<T>>::clone(&memory)) }
    }
}

impl<T: Number> Deref for Numbers<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` numbers, which `_memory` keeps.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

/// Numbers of any kind.
#[derive(Clone)]
pub enum Array {
    /// Floats as they are.
    Float32(Numbers<f32>),
    /// The upper halves of floats.
    Bfloat16(Numbers<u16>),
    /// Whole numbers that have a scale.
    Int8(Numbers<i8>),
}

impl Array {
    /// What kind they are.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Float32(_) => Precision::Float32,
            Self::Bfloat16(_) => Precision::Bfloat16,
            Self::Int8(_) => Precision::Int8,
        }
    }

    /// Their bytes.
    pub fn bytes(&self) -> &[u8] {
        fn bytes<T: Number>(numbers: &[T]) -> &[u8] {
            // SAFETY: a number has no bytes that are not written, and any byte is a value.
            unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
        }
        match self {
            Self::Float32(numbers) => bytes(numbers),
            Self::Bfloat16(numbers) => bytes(numbers),
            Self::Int8(numbers) => bytes(numbers),
        }
    }
}

/// Arrays that were arranged before, such as those of a file.
pub trait Arrays {
    /// Why an array cannot be had.
    type Error;

    /// The `len` numbers of the array `name`.
    ///
    /// # Errors
    /// Where there is no such array, or it has other numbers.
    fn find<T: Number>(&self, name: &str, len: usize) -> Result<Numbers<T>, Self::Error>;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bytes_there_and_back() {
        let numbers = Numbers::from(vec![1.5_f32, -2.0]);
        let bytes = Array::Float32(numbers.clone()).bytes().to_vec();
        assert_eq!(Numbers::<f32>::copied(&bytes).unwrap()[..], numbers[..]);
        assert!(Numbers::<f32>::copied(&bytes[1..]).is_none());
        assert_eq!(Numbers::<u16>::copied(&bytes).unwrap().len(), 4);
        assert!(Numbers::<i8>::copied(&[]).unwrap().is_empty());
    }
}
