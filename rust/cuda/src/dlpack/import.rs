//! A tensor that another library gave.

use std::ptr::NonNull;
use std::slice;

use super::layout::{CUDA, CUDA_MANAGED, Device, Element, MAJOR, Managed, READ_ONLY, Tensor, Versioned};
use crate::{Error, Gpu, Result, Span};

/// A tensor of another library, given back to it when dropped.
pub struct Import {
    owner: Owner,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// The structure that the tensor came in.
enum Owner {
    Managed(NonNull<Managed>),
    Versioned(NonNull<Versioned>),
}

// SAFETY: DLPack has it that a tensor may be read, and its deleter called, from any thread.
unsafe impl Send for Owner {}
// SAFETY: what is shared is only read.
unsafe impl Sync for Owner {}

impl Import {
    /// Takes a tensor of the form without a version, of a capsule named `dltensor`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a tensor that is not one: it is given back.
    ///
    /// # Safety
    /// `pointer` is that of such a tensor, which nobody else takes.
    pub unsafe fn managed(pointer: NonNull<Managed>) -> Result<Self> {
        Self::of(Owner::Managed(pointer))
    }

    /// Takes a tensor of the form with a version, of a capsule named `dltensor_versioned`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a tensor that is not one, or of another major version: it is given back.
    ///
    /// # Safety
    /// `pointer` is that of such a tensor, which nobody else takes.
    pub unsafe fn versioned(pointer: NonNull<Versioned>) -> Result<Self> {
        let owner = Owner::Versioned(pointer);
        // SAFETY: version and deleter are where they are in all versions.
        let version = unsafe { pointer.as_ref() }.major;
        if version != MAJOR {
            return Err(Error::Shape(format!("expected a tensor of DLPack {MAJOR}, got one of version {version}")));
        }
        Self::of(owner)
    }

    fn of(owner: Owner) -> Result<Self> {
        let tensor = owner.tensor();
        let dimensions = usize::try_from(tensor.dimensions)
            .map_err(|_| Error::Shape(format!("expected a tensor, got one of {} dimensions", tensor.dimensions)))?;
        // SAFETY: the tensor has as many lengths as dimensions.
        let shape = lengths(unsafe { numbers(tensor.shape, dimensions) })?;
        let strides = if tensor.strides.is_null() {
            row_major(&shape)?
        } else {
            // SAFETY: as above, as they are not left out.
            lengths(unsafe { numbers(tensor.strides, dimensions) })?
        };
        Ok(Self { owner, shape, strides })
    }

    /// Where it is.
    #[must_use]
    pub fn device(&self) -> Device {
        self.tensor().device
    }

    /// What its elements are.
    #[must_use]
    pub fn element(&self) -> Element {
        self.tensor().element
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements between neighbours along each dimension.
    #[must_use]
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// Whether it must not be written. A tensor without a version does not say.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        match &self.owner {
            Owner::Managed(_) => false,
            // SAFETY: the tensor is there as long as this is.
            Owner::Versioned(pointer) => unsafe { pointer.as_ref() }.flags & READ_ONLY != 0,
        }
    }

    /// Whether its elements lie one after another in row-major order.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        let mut next = 1;
        self.shape.contains(&0)
            || self.shape.iter().zip(&self.strides).rev().all(|(&length, &stride)| {
                let is_next = length == 1 || stride == next;
                next *= length;
                is_next
            })
    }

    /// The memory from its first to its last element, on the device it is asked for on.
    ///
    /// # Errors
    /// [`Error::Shape`] for a tensor that is on another device, or whose elements are not whole bytes.
    pub fn span(&self, gpu: &Gpu) -> Result<Span<'_>> {
        let Device { kind, ordinal } = self.device();
        let expected = gpu.info().ordinal;
        if !(kind == CUDA || kind == CUDA_MANAGED) || usize::try_from(ordinal) != Ok(expected) {
            return Err(Error::Shape(format!(
                "expected a tensor on CUDA device {expected}, got one on device {ordinal} of DLPack's kind {kind}"
            )));
        }
        let element = self.element();
        let size = element
            .bytes()
            .ok_or_else(|| Error::Shape(format!("expected elements of whole bytes, got {} bits", element.bits)))?;
        let tensor = self.tensor();
        let bytes = self.elements().and_then(|elements| elements.checked_mul(size)).ok_or_else(too_long)?;
        let address = (tensor.data.addr() as u64).checked_add(tensor.byte_offset).ok_or_else(too_long)?;
        // SAFETY: the tensor's memory is there as long as this is. It is given back when this is dropped; work that is
        // then still under way is the caller's to order, as DLPack has it.
        Ok(unsafe { Span::of(address, bytes) })
    }

    /// Elements from the first to the last, with what lies between them.
    fn elements(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let last = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(0_usize, |last, (&length, &stride)| last.checked_add((length - 1).checked_mul(stride)?))?;
        last.checked_add(1)
    }

    fn tensor(&self) -> &Tensor {
        self.owner.tensor()
    }
}

impl Owner {
    fn tensor(&self) -> &Tensor {
        // SAFETY: the tensor is there until it is given back by `drop`.
        unsafe {
            match self {
                Self::Managed(pointer) => &pointer.as_ref().tensor,
                Self::Versioned(pointer) => &pointer.as_ref().tensor,
            }
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: the tensor is ours, and is given back once. There need not be a deleter.
        unsafe {
            match self {
                Self::Managed(pointer) => {
                    if let Some(delete) = pointer.as_ref().deleter {
                        delete(pointer.as_ptr());
                    }
                }
                Self::Versioned(pointer) => {
                    if let Some(delete) = pointer.as_ref().deleter {
                        delete(pointer.as_ptr());
                    }
                }
            }
        }
    }
}

/// # Safety
/// There are `count` numbers at `start`, or `count` is 0.
unsafe fn numbers<'a>(start: *const i64, count: usize) -> &'a [i64] {
    // SAFETY: the caller's promise.
    if count == 0 { &[] } else { unsafe { slice::from_raw_parts(start, count) } }
}

fn lengths(numbers: &[i64]) -> Result<Vec<usize>> {
    numbers
        .iter()
        .map(|&number| {
            usize::try_from(number)
                .map_err(|_| Error::Shape(format!("expected lengths and strides of at least 0, got {number}")))
        })
        .collect()
}

/// Strides of a compact tensor.
pub(super) fn row_major(shape: &[usize]) -> Result<Vec<usize>> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = shape[axis].checked_mul(strides[axis]).ok_or_else(too_long)?;
    }
    Ok(strides)
}

fn too_long() -> Error {
    Error::Shape("expected a tensor that fits into memory, got a longer one".into())
}
