//! What to load, how to run it, and how clips end.

use std::ffi::c_char;
use std::ptr;

use mimi_codec::{Dtype, LoadOptions, Padding, Parts};

use crate::inputs::text;
use crate::status::Failure;

/// The halves of a codec that are loaded: one of the `MIMI_PARTS_` numbers.
pub type MimiParts = u32;

/// Encoder and decoder.
pub const MIMI_PARTS_BOTH: MimiParts = 0;
/// The encoder alone.
pub const MIMI_PARTS_ENCODER: MimiParts = 1;
/// The decoder alone.
pub const MIMI_PARTS_DECODER: MimiParts = 2;

/// How large weights are kept in memory: one of the `MIMI_DTYPE_` numbers. Arithmetic is in float32 in any case.
pub type MimiDtype = u32;

/// As they are.
pub const MIMI_DTYPE_FLOAT32: MimiDtype = 0;
/// The upper half of each float32.
pub const MIMI_DTYPE_BFLOAT16: MimiDtype = 1;
/// Eight bits, with a scale for each column of 128 depths.
pub const MIMI_DTYPE_INT8: MimiDtype = 2;
/// As they are in a packed or compact file; float32 for other files.
pub const MIMI_DTYPE_AUTO: MimiDtype = 3;

/// What follows the last sample of a clip that does not end with a frame: one of the `MIMI_PADDING_` numbers.
pub type MimiPadding = u32;

/// Each convolution fills up its own input, as Transformers does it.
pub const MIMI_PADDING_TRANSFORMERS: MimiPadding = 0;
/// The clip is filled up with zeros to a whole frame, as Kyutai's moshi does it.
pub const MIMI_PADDING_MOSHI: MimiPadding = 1;

const PARTS: [(MimiParts, Parts); 3] =
    [(MIMI_PARTS_BOTH, Parts::Both), (MIMI_PARTS_ENCODER, Parts::Encoder), (MIMI_PARTS_DECODER, Parts::Decoder)];

const DTYPES: [(MimiDtype, Dtype); 4] = [
    (MIMI_DTYPE_FLOAT32, Dtype::Float32),
    (MIMI_DTYPE_BFLOAT16, Dtype::Bfloat16),
    (MIMI_DTYPE_INT8, Dtype::Int8),
    (MIMI_DTYPE_AUTO, Dtype::Auto),
];

const PADDINGS: [(MimiPadding, Padding); 2] =
    [(MIMI_PADDING_TRANSFORMERS, Padding::Transformers), (MIMI_PADDING_MOSHI, Padding::Moshi)];

/// What to load, and how to run it. Begin with `mimi_options_default`.
#[repr(C)]
pub struct MimiOptions {
    /// The halves of the codec that are loaded.
    pub parts: MimiParts,
    /// How large weights are kept in memory.
    pub dtype: MimiDtype,
    /// The first so many codebooks; 0 for all.
    pub codebooks: usize,
    /// Threads that work on one call; no more are used than the process has processors.
    pub threads: usize,
    /// Where the codec runs; null for the processor, "cpu".
    pub device: *const c_char,
    /// Which module of a larger model is meant where its files hold several codecs; null where they hold one.
    pub module: *const c_char,
}

/// Both halves, all codebooks, weights as `MIMI_DTYPE_AUTO` says, one thread, on the processor.
#[unsafe(no_mangle)]
pub extern "C" fn mimi_options_default() -> MimiOptions {
    MimiOptions {
        parts: MIMI_PARTS_BOTH,
        dtype: MIMI_DTYPE_AUTO,
        codebooks: 0,
        threads: 1,
        device: ptr::null(),
        module: ptr::null(),
    }
}

/// The options of a caller; the usual ones for a null pointer.
///
/// # Safety
/// `options` points to options whose texts end with a zero, or is null.
pub(crate) unsafe fn load_options(options: *const MimiOptions) -> Result<LoadOptions, Failure> {
    // SAFETY: the caller's promise.
    let Some(options) = (unsafe { options.as_ref() }) else {
        return Ok(LoadOptions::default());
    };
    // SAFETY: as above.
    let (device, module) = unsafe { (text(options.device, "a device")?, text(options.module, "a module")?) };
    Ok(LoadOptions {
        parts: choice("parts", options.parts, &PARTS)?,
        dtype: to_dtype(options.dtype)?,
        num_codebooks: Some(options.codebooks).filter(|&codebooks| codebooks > 0),
        threads: options.threads,
        device: device.map(str::parse).transpose()?.unwrap_or_default(),
        module: module.map(str::to_owned),
    })
}

pub(crate) fn to_dtype(dtype: MimiDtype) -> Result<Dtype, Failure> {
    choice("a dtype", dtype, &DTYPES)
}

pub(crate) fn padding(padding: MimiPadding) -> Result<Padding, Failure> {
    choice("a padding", padding, &PADDINGS)
}

/// What a number stands for.
pub(crate) fn choice<T: Copy>(what: &str, number: u32, known: &[(u32, T)]) -> Result<T, Failure> {
    let found = known.iter().find(|(known, _)| *known == number);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<_> = known.iter().map(|(known, _)| known.to_string()).collect();
        Failure::argument(format!("expected {what}, one of {}, got {number}", known.join(", ")))
    })
}
