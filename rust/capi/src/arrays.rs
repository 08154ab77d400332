//! Arrays that the caller owns and gives back.

use std::ptr;

use mimi_codec::{Codes, Latents};

/// Codes `(frames, codebooks)`, frame by frame. Give them back with `mimi_codes_free`.
#[repr(C)]
pub struct MimiCodes {
    /// `frames * codebooks` codes; null where there are none.
    pub data: *mut u32,
    /// Frames.
    pub frames: usize,
    /// Codes in each frame.
    pub codebooks: usize,
}

/// Latents `(frames, dim)`, frame by frame. Give them back with `mimi_latents_free`.
#[repr(C)]
pub struct MimiLatents {
    /// `frames * dim` floats; null where there are none.
    pub data: *mut f32,
    /// Frames.
    pub frames: usize,
    /// Floats in each frame.
    pub dim: usize,
}

/// Samples. Give them back with `mimi_pcm_free`.
#[repr(C)]
pub struct MimiPcm {
    /// Samples, about -1 to 1; null where there are none.
    pub data: *mut f32,
    /// How many there are.
    pub samples: usize,
}

/// Bytes. Give them back with `mimi_bytes_free`.
#[repr(C)]
pub struct MimiBytes {
    /// The bytes; null where there are none.
    pub data: *mut u8,
    /// How many there are.
    pub length: usize,
}

impl From<Codes> for MimiCodes {
    fn from(codes: Codes) -> Self {
        Self { frames: codes.frames(), codebooks: codes.codebooks, data: give(codes.data) }
    }
}

impl From<Latents> for MimiLatents {
    fn from(latents: Latents) -> Self {
        Self { frames: latents.frames(), dim: latents.dim, data: give(latents.data) }
    }
}

impl From<Vec<f32>> for MimiPcm {
    fn from(pcm: Vec<f32>) -> Self {
        Self { samples: pcm.len(), data: give(pcm) }
    }
}

impl From<Vec<u8>> for MimiBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { length: bytes.len(), data: give(bytes) }
    }
}

/// Hands an array over.
fn give<T>(vec: Vec<T>) -> *mut T {
    if vec.is_empty() { ptr::null_mut() } else { Box::into_raw(vec.into_boxed_slice()).cast() }
}

/// Takes an array back that was handed over, and leaves nothing in its place.
///
/// # Safety
/// `data` is what [`give`] gave for `len` values, or null.
unsafe fn take<T>(data: &mut *mut T, len: usize) {
    let data = std::mem::replace(data, ptr::null_mut());
    if !data.is_null() {
        // SAFETY: the promise above; the place is empty now, so it cannot be given back twice.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(data, len)) });
    }
}

/// Gives codes back; nothing is done for null or for empty ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_codes_free(codes: *mut MimiCodes) {
    // SAFETY: the header's contract: null, or what this library filled in.
    if let Some(codes) = unsafe { codes.as_mut() } {
        // SAFETY: as above; the sizes are those that it was filled with.
        unsafe { take(&mut codes.data, codes.frames * codes.codebooks) };
        codes.frames = 0;
    }
}

/// Gives latents back; nothing is done for null or for empty ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_latents_free(latents: *mut MimiLatents) {
    // SAFETY: the header's contract: null, or what this library filled in.
    if let Some(latents) = unsafe { latents.as_mut() } {
        // SAFETY: as above; the sizes are those that it was filled with.
        unsafe { take(&mut latents.data, latents.frames * latents.dim) };
        latents.frames = 0;
    }
}

/// Gives samples back; nothing is done for null or for empty ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_pcm_free(pcm: *mut MimiPcm) {
    // SAFETY: the header's contract: null, or what this library filled in.
    if let Some(pcm) = unsafe { pcm.as_mut() } {
        // SAFETY: as above; the size is that which it was filled with.
        unsafe { take(&mut pcm.data, pcm.samples) };
        pcm.samples = 0;
    }
}

/// Gives bytes back; nothing is done for null or for empty ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_bytes_free(bytes: *mut MimiBytes) {
    // SAFETY: the header's contract: null, or what this library filled in.
    if let Some(bytes) = unsafe { bytes.as_mut() } {
        // SAFETY: as above; the size is that which it was filled with.
        unsafe { take(&mut bytes.data, bytes.length) };
        bytes.length = 0;
    }
}
