//! A tensor of ours for other libraries.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use super::import::row_major;
use super::layout::{CUDA, Device, Element, MAJOR, Managed, Tensor, Versioned};
use crate::{Buffer, Error, Gpu, Piece, Result, Span};

/// Owners of device memory that can be given to others.
pub trait Memory: Send + Sync + 'static {
    /// The memory.
    fn span(&self) -> Span<'_>;
    /// The device that it is on.
    fn gpu(&self) -> &Gpu;
}

impl Memory for Buffer {
    fn span(&self) -> Span<'_> {
        Self::span(self)
    }

    fn gpu(&self) -> &Gpu {
        Self::gpu(self)
    }
}

impl Memory for Piece {
    fn span(&self) -> Span<'_> {
        Self::span(self)
    }

    fn gpu(&self) -> &Gpu {
        Self::gpu(self)
    }
}

impl<M: Memory> Memory for Arc<M> {
    fn span(&self) -> Span<'_> {
        M::span(self)
    }

    fn gpu(&self) -> &Gpu {
        M::gpu(self)
    }
}

/// A compact tensor in row-major order that is ready to be given away. It keeps its memory until the other library frees it.
///
/// Memory of the arena is taken again in the order of our stream alone. So who gives away a piece must see to it that the
/// stream waits for the other library's before the piece comes back; a [`Buffer`] is freed after the whole device.
pub struct Export {
    owner: Box<dyn Memory>,
    element: Element,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

/// What a tensor that was given away consists of: the structure comes first, so that a pointer to it is one to this.
#[repr(C)]
struct Given<T> {
    structure: T,
    export: Export,
}

impl Export {
    /// A tensor of all of some memory.
    ///
    /// # Errors
    /// [`Error::Shape`] if the memory has not as many bytes as the shape says.
    pub fn new(owner: impl Memory, element: Element, shape: &[usize]) -> Result<Self> {
        let count = shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length));
        let bytes = count.zip(element.bytes()).and_then(|(count, bytes)| count.checked_mul(bytes));
        if bytes != Some(owner.span().bytes()) {
            let got = owner.span().bytes();
            return Err(Error::Shape(format!(
                "expected memory of {shape:?} elements of {} bits, got {got} bytes",
                element.bits
            )));
        }
        let strides = row_major(shape)?;
        Ok(Self::strided(Box::new(owner), element, shape, &strides))
    }

    /// A tensor whose elements lie as the strides say, inside of the memory.
    pub(crate) fn strided(owner: Box<dyn Memory>, element: Element, shape: &[usize], strides: &[usize]) -> Self {
        // Products of the lengths fit, and so do they.
        let numbers = |lengths: &[usize]| lengths.iter().map(|&length| length as i64).collect();
        Self { owner, element, shape: numbers(shape), strides: numbers(strides) }
    }

    /// Where it is.
    #[must_use]
    pub fn device(&self) -> Device {
        Device { kind: CUDA, ordinal: self.owner.gpu().info().ordinal as i32 }
    }

    /// Gives it away in the form without a version, for a capsule named `dltensor`: its deleter frees it.
    #[must_use]
    pub fn into_managed(self) -> NonNull<Managed> {
        let context = std::ptr::null_mut();
        self.give(|tensor| Managed { tensor, context, deleter: Some(delete::<Managed>) })
    }

    /// Gives it away in the form with a version, for a capsule named `dltensor_versioned`: its deleter frees it.
    #[must_use]
    pub fn into_versioned(self) -> NonNull<Versioned> {
        let context = std::ptr::null_mut();
        let deleter = Some(delete::<Versioned> as unsafe extern "C" fn(_));
        self.give(|tensor| Versioned { major: MAJOR, minor: 0, context, deleter, flags: 0, tensor })
    }

    fn give<T>(mut self, structure: impl FnOnce(Tensor) -> T) -> NonNull<T> {
        let tensor = Tensor {
            data: std::ptr::without_provenance_mut::<c_void>(self.owner.span().address() as usize),
            device: self.device(),
            dimensions: self.shape.len() as i32,
            element: self.element,
            shape: self.shape.as_mut_ptr(),
            strides: self.strides.as_mut_ptr(),
            byte_offset: 0,
        };
        // Shape and strides stay where they are when the vectors move.
        let given = Box::new(Given { structure: structure(tensor), export: self });
        NonNull::from(Box::leak(given)).cast()
    }
}

/// Frees a tensor that was given away.
///
/// # Safety
/// `structure` comes from [`Export::give`], and is freed once.
unsafe extern "C" fn delete<T>(structure: *mut T) {
    // SAFETY: the structure is the beginning of what was given, a box.
    let given = unsafe { Box::from_raw(structure.cast::<Given<T>>()) };
    // Nothing of ours may unwind into the other library. What is dropped does not panic, so this is for the rule.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(given.export)));
}
