//! Tensors in the capsules of Python.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::{PyErr, ffi};

use super::{Export, Import, Managed, Versioned};
use crate::{Error, Result};

/// The name of a capsule, and the one that it has once its tensor was taken.
struct Names(&'static CStr, &'static CStr);

const MANAGED: Names = Names(c"dltensor", c"used_dltensor");
const VERSIONED: Names = Names(c"dltensor_versioned", c"used_dltensor_versioned");

impl Import {
    /// Takes the tensor of a capsule, which is then empty.
    ///
    /// # Errors
    /// [`Error::Shape`] for what is not a capsule of DLPack with a tensor, and those of [`Import::versioned`].
    pub fn from_capsule(capsule: &Bound<'_, PyAny>) -> Result<Self> {
        if let Some(pointer) = take(capsule, &VERSIONED) {
            // SAFETY: a capsule of this name holds such a tensor, and it is ours since its name was changed.
            return unsafe { Self::versioned(pointer.cast::<Versioned>()) };
        }
        match take(capsule, &MANAGED) {
            // SAFETY: as above.
            Some(pointer) => unsafe { Self::managed(pointer.cast::<Managed>()) },
            None => Err(Error::Shape(format!("expected a capsule with a tensor of DLPack, got {capsule}"))),
        }
    }
}

/// What a capsule of a name holds; it is named as empty.
fn take(capsule: &Bound<'_, PyAny>, names: &Names) -> Option<NonNull<c_void>> {
    let object = capsule.as_ptr();
    // SAFETY: any object may be asked for, and has this name if it is valid; the names live as long as the program.
    unsafe {
        if ffi::PyCapsule_IsValid(object, names.0.as_ptr()) == 0 {
            return None;
        }
        let pointer = NonNull::new(ffi::PyCapsule_GetPointer(object, names.0.as_ptr()))?;
        (ffi::PyCapsule_SetName(object, names.1.as_ptr()) == 0).then_some(pointer)
    }
}

impl Export {
    /// Gives the tensor away in a capsule, of the form with a version or without.
    ///
    /// # Errors
    /// An exception of Python where it has no memory.
    pub fn into_capsule(self, py: Python<'_>, versioned: bool) -> PyResult<Bound<'_, PyAny>> {
        let (pointer, names) = if versioned {
            (self.into_versioned().cast::<c_void>(), &VERSIONED)
        } else {
            (self.into_managed().cast::<c_void>(), &MANAGED)
        };
        // SAFETY: the pointer is not null, the name lives as long as the program, and `free` gives the tensor back.
        let capsule = unsafe { ffi::PyCapsule_New(pointer.as_ptr(), names.0.as_ptr(), Some(free)) };
        // SAFETY: a new object, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(py, capsule) }.map_err(|error: PyErr| {
            // The tensor is lost rather than freed twice.
            if error.is_instance_of::<PyMemoryError>(py) { error } else { PyMemoryError::new_err("a capsule") }
        })
    }
}

/// Gives a tensor back that nobody took out of its capsule.
///
/// # Safety
/// `capsule` was made by [`Export::into_capsule`].
unsafe extern "C" fn free(capsule: *mut ffi::PyObject) {
    // SAFETY: the capsule is one of ours; its name says whether its tensor is still there and of which form.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, VERSIONED.0.as_ptr()) == 1 {
            let tensor = ffi::PyCapsule_GetPointer(capsule, VERSIONED.0.as_ptr()).cast::<Versioned>();
            if let Some(delete) = (*tensor).deleter {
                delete(tensor);
            }
        } else if ffi::PyCapsule_IsValid(capsule, MANAGED.0.as_ptr()) == 1 {
            let tensor = ffi::PyCapsule_GetPointer(capsule, MANAGED.0.as_ptr()).cast::<Managed>();
            if let Some(delete) = (*tensor).deleter {
                delete(tensor);
            }
        }
    }
}
