//! The structures of DLPack, as its header lays them out: version 1, and the form without a version that came before.

use std::ffi::c_void;

/// The major version of [`Versioned`] that is understood here.
pub(super) const MAJOR: u32 = 1;

/// In [`Versioned::flags`]: the memory must not be written.
pub(super) const READ_ONLY: u64 = 1;

/// Memory that CUDA allocated on a device.
pub(super) const CUDA: i32 = 2;
/// Memory that moves between the host and devices by itself.
pub(super) const CUDA_MANAGED: i32 = 13;

/// Where a tensor is: a kind of device, and its number.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// 1 for the host, 2 for CUDA, 3 for pinned memory of the host, 13 for managed memory of CUDA.
    pub kind: i32,
    /// Its number among the devices of its kind.
    pub ordinal: i32,
}

/// What the elements of a tensor are.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// 0 for signed integers, 1 for unsigned ones, 2 for floats, 4 for bfloat16, 6 for bool.
    pub code: u8,
    /// Bits of a value.
    pub bits: u8,
    /// Values of an element: 1.
    pub lanes: u16,
}

impl Element {
    /// float32.
    pub const FLOAT32: Self = Self { code: 2, bits: 32, lanes: 1 };
    /// float16.
    pub const FLOAT16: Self = Self { code: 2, bits: 16, lanes: 1 };
    /// bfloat16.
    pub const BFLOAT16: Self = Self { code: 4, bits: 16, lanes: 1 };
    /// int64.
    pub const INT64: Self = Self { code: 0, bits: 64, lanes: 1 };
    /// int32.
    pub const INT32: Self = Self { code: 0, bits: 32, lanes: 1 };
    /// uint32.
    pub const UINT32: Self = Self { code: 1, bits: 32, lanes: 1 };

    /// Bytes of an element; `None` if it is not made of whole bytes.
    #[must_use]
    pub fn bytes(self) -> Option<usize> {
        let bits = usize::from(self.bits) * usize::from(self.lanes);
        (bits > 0 && bits.is_multiple_of(8)).then_some(bits / 8)
    }
}

/// `DLTensor`.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) data: *mut c_void,
    pub(super) device: Device,
    pub(super) dimensions: i32,
    pub(super) element: Element,
    pub(super) shape: *mut i64,
    /// In elements; null for a compact tensor in row-major order.
    pub(super) strides: *mut i64,
    pub(super) byte_offset: u64,
}

/// `DLManagedTensor`.
#[repr(C)]
#[derive(Debug)]
pub struct Managed {
    pub(super) tensor: Tensor,
    pub(super) context: *mut c_void,
    pub(super) deleter: Option<unsafe extern "C" fn(*mut Managed)>,
}

/// `DLManagedTensorVersioned`.
#[repr(C)]
#[derive(Debug)]
pub struct Versioned {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) context: *mut c_void,
    pub(super) deleter: Option<unsafe extern "C" fn(*mut Versioned)>,
    pub(super) flags: u64,
    pub(super) tensor: Tensor,
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// The offsets of the header, for 64-bit machines.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_layout_is_that_of_the_header() {
        assert_eq!((size_of::<Device>(), size_of::<Element>()), (8, 4));
        assert_eq!(
            [
                offset_of!(Tensor, data),
                offset_of!(Tensor, device),
                offset_of!(Tensor, dimensions),
                offset_of!(Tensor, element),
                offset_of!(Tensor, shape),
                offset_of!(Tensor, strides),
                offset_of!(Tensor, byte_offset),
                size_of::<Tensor>(),
            ],
            [0, 8, 16, 20, 24, 32, 40, 48]
        );
        assert_eq!([offset_of!(Managed, context), offset_of!(Managed, deleter), size_of::<Managed>()], [48, 56, 64]);
        assert_eq!(
            [
                offset_of!(Versioned, context),
                offset_of!(Versioned, deleter),
                offset_of!(Versioned, flags),
                offset_of!(Versioned, tensor),
                size_of::<Versioned>(),
            ],
            [8, 16, 24, 32, 80]
        );
    }
}
