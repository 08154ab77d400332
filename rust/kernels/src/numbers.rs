//! Numbers that never change any more: weights as the kernels read them, in memory of their own or in a file that is mapped.

use std::any::Any;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::memory::Buffer;
use crate::precision::{Precision, of_bfloat16, to_bfloat16};

/// Numbers of which any bytes are a value.
///
/// # Safety
/// As said; there are no bytes between those of the value; and dropping one does nothing.
pub unsafe trait Number: Copy + Send + Sync + 'static {
    /// The precision of weights that are kept as these.
    const PRECISION: Precision;

    /// The number of a bfloat16; none where that would lose what it is.
    fn of_bfloat16(_: u16) -> Option<Self> {
        None
    }
}

// SAFETY: plain numbers.
unsafe impl Number for f32 {
    const PRECISION: Precision = Precision::Float32;

    fn of_bfloat16(half: u16) -> Option<Self> {
        Some(of_bfloat16(half))
    }
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

    /// `len` numbers whose bytes `read` writes: to be `kept`, where kernels read them fast, or else where they are soon gone.
    ///
    /// # Errors
    /// Those of `read`.
    ///
    /// # Panics
    /// If so many numbers do not fit the address space.
    pub fn read<E>(len: usize, kept: bool, read: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        if kept {
            let mut numbers = Buffer::<T>::zeros(len);
            read(bytes_of(&mut numbers))?;
            return Ok(numbers.into());
        }
        // SAFETY: any bytes are a number.
        let mut numbers = vec![unsafe { std::mem::zeroed::<T>() }; len];
        read(bytes_of(&mut numbers))?;
        Ok(numbers.into())
    }

    /// What halves are floats of; none for other numbers.
    pub fn of_bfloat16(halves: &Numbers<u16>) -> Option<Self> {
        let numbers: Option<Vec<T>> = halves.iter().map(|&half| T::of_bfloat16(half)).collect();
        Some(numbers?.into())
    }
}

/// Where the bytes of numbers are written.
fn bytes_of<T: Number>(numbers: &mut [T]) -> &mut [u8] {
    // SAFETY: the bytes of the numbers, which are borrowed alone; any bytes are numbers.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers)) }
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

    /// The same numbers in bfloat16; none where that is not what they are.
    pub fn in_bfloat16(&self) -> Option<Self> {
        match self {
            Self::Float32(floats) if floats.iter().all(|float| float.to_bits() & 0xffff == 0) => {
                Some(Self::Bfloat16(floats.iter().map(|&float| to_bfloat16(float)).collect::<Vec<_>>().into()))
            }
            _ => None,
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

    /// Floats in a vector of a product's tile, at the level for which they were arranged.
    fn tile_lanes(&self) -> usize;

    /// Whether there is an array `name`.
    fn contains(&self, name: &str) -> bool;

    /// The `len` numbers of the array `name`.
    ///
    /// # Errors
    /// Where there is no such array, or it has other numbers.
    fn find<T: Number>(&self, name: &str, len: usize) -> Result<Numbers<T>, Self::Error>;

    /// The same for who makes others of them: they need not lie where kernels read them fast, and their memory is free when
    /// they are dropped.
    ///
    /// # Errors
    /// As above.
    fn find_to_copy<T: Number>(&self, name: &str, len: usize) -> Result<Numbers<T>, Self::Error> {
        self.find(name, len)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bytes_there_and_back() {
        let numbers = Numbers::from(vec![1.5_f32, -2.0]);
        let array = Array::Float32(numbers.clone());
        let read = |bytes: &mut [u8]| {
            let from = array.bytes();
            if bytes.len() > from.len() {
                return Err("too few");
            }
            bytes.copy_from_slice(&from[..bytes.len()]);
            Ok(())
        };
        for kept in [false, true] {
            assert_eq!(Numbers::<f32>::read(2, kept, read).unwrap()[..], numbers[..]);
            assert_eq!(Numbers::<u16>::read(4, kept, read).unwrap()[..], [0, 0x3fc0, 0, 0xc000]);
            assert!(Numbers::<i8>::read(0, kept, read).unwrap().is_empty());
            assert_eq!(Numbers::<f32>::read(3, kept, read).err(), Some("too few"));
        }
    }

    #[test]
    fn floats_whose_lower_halves_are_empty_are_kept_in_half() {
        let floats = Numbers::from(vec![1.5_f32, -0.0, f32::INFINITY, f32::from_bits(1 << 16)]);
        let Some(Array::Bfloat16(halves)) = Array::Float32(floats.clone()).in_bfloat16() else { panic!("no halves") };
        let again = Numbers::<f32>::of_bfloat16(&halves).unwrap();
        assert!(again.iter().zip(&floats[..]).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert!(Array::Float32(vec![1.5, 1.001].into()).in_bfloat16().is_none());
        assert!(Array::Int8(vec![1].into()).in_bfloat16().is_none());
        assert!(Numbers::<i8>::of_bfloat16(&halves).is_none());
    }
}
