//! Models: loading, and what they are.

use std::ffi::{CString, c_char};
use std::path::Path;

use mimi_codec::Model;

use crate::inputs::{place, reference, slice, text};
use crate::options::{MimiDtype, MimiOptions, load_options, to_dtype};
use crate::status::{Failure, MimiStatus, guarded};

/// A loaded codec. It never changes: any number of threads may use it at once.
pub struct MimiModel {
    pub(crate) model: Model,
    kind: CString,
}

/// The version of this library, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn mimi_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Loads a codec from a directory (`config.json` and `model.safetensors`, an index of several, or the only `.safetensors`
/// file), a `.safetensors` file, or an index, into `*model`. `options` may be null for the usual ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_load(
    path: *const c_char,
    options: *const MimiOptions,
    model: *mut *mut MimiModel,
) -> MimiStatus {
    guarded(|| {
        // SAFETY: the header's contract.
        let (path, options, model) =
            unsafe { (text(path, "a path")?, load_options(options)?, place(model, "the model")?) };
        let path = path.ok_or_else(|| Failure::argument("expected a path, got a null pointer"))?;
        *model = handle(Model::load(Path::new(path), &options)?);
        Ok(())
    })
}

/// Loads a codec from the `weights_length` bytes of a `.safetensors` file, and the text of its `config.json` (null where there
/// is none), into `*model`. The bytes are not needed afterwards. `options` may be null for the usual ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_from_bytes(
    weights: *const u8,
    weights_length: usize,
    config: *const c_char,
    options: *const MimiOptions,
    model: *mut *mut MimiModel,
) -> MimiStatus {
    guarded(|| {
        // SAFETY: the header's contract.
        let (weights, config, options, model) = unsafe {
            let weights = slice(weights, weights_length, "bytes of weights")?;
            (weights, text(config, "a configuration")?, load_options(options)?, place(model, "the model")?)
        };
        *model = handle(Model::from_bytes(weights, config.map(str::as_bytes), &options)?);
        Ok(())
    })
}

fn handle(model: Model) -> *mut MimiModel {
    let kind = CString::new(model.kind().as_str()).unwrap_or_default();
    Box::into_raw(Box::new(MimiModel { model, kind }))
}

/// Writes what was loaded of a model's weights to the file `path`, as this processor's kernels read them: a file that
/// `mimi_model_load` maps instead of reading it, with the same options. A file that is there is replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_save_packed(model: *const MimiModel, path: *const c_char) -> MimiStatus {
    guarded(|| {
        // SAFETY: the header's contract.
        let (model, path) = unsafe { (reference(model, "a model")?, text(path, "a path")?) };
        let path = path.ok_or_else(|| Failure::argument("expected a path, got a null pointer"))?;
        Ok(model.model.save_packed(Path::new(path))?)
    })
}

/// Writes what was loaded of a model to the file `path`, as small as it can be with weights kept in `dtype`, read once more from
/// where it was loaded: a file for every processor. `MIMI_DTYPE_AUTO` is the type of the model. A file that is there is replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_save_compact(
    model: *const MimiModel,
    path: *const c_char,
    dtype: MimiDtype,
) -> MimiStatus {
    guarded(|| {
        // SAFETY: the header's contract.
        let (model, path) = unsafe { (reference(model, "a model")?, text(path, "a path")?) };
        let path = path.ok_or_else(|| Failure::argument("expected a path, got a null pointer"))?;
        Ok(model.model.save_compact(Path::new(path), to_dtype(dtype)?)?)
    })
}

/// Gives a model back. Its streams keep what they need of it. Nothing is done for null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_free(model: *mut MimiModel) {
    if !model.is_null() {
        // SAFETY: the header's contract: it came from this library, and is not used any more.
        drop(unsafe { Box::from_raw(model) });
    }
}

/// Which codec it is, such as "mimi"; the text lives as long as the model. Null for a null pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_kind(model: *const MimiModel) -> *const c_char {
    // SAFETY: the header's contract.
    unsafe { model.as_ref() }.map_or(std::ptr::null(), |model| model.kind.as_ptr())
}

/// What a model tells of itself; zero for a null pointer.
///
/// # Safety
/// `model` came from this library and was not given back, or is null.
unsafe fn fact<T: Default>(model: *const MimiModel, of: impl FnOnce(&Model) -> T) -> T {
    // SAFETY: the caller's promise.
    unsafe { model.as_ref() }.map_or_else(T::default, |model| of(&model.model))
}

/// Samples per second.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_sample_rate(model: *const MimiModel) -> usize {
    // SAFETY: the header's contract.
    unsafe { fact(model, Model::sample_rate) }
}

/// Frames per second.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_frame_rate(model: *const MimiModel) -> f64 {
    // SAFETY: the header's contract.
    unsafe { fact(model, Model::frame_rate) }
}

/// Samples in a frame.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_frame_size(model: *const MimiModel) -> usize {
    // SAFETY: the header's contract.
    unsafe { fact(model, Model::frame_size) }
}

/// Samples by which a decoded clip is shorter than its frames, as the decoder looks ahead; 0 for most codecs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_delay(model: *const MimiModel) -> usize {
    // SAFETY: the header's contract.
    unsafe { fact(model, Model::delay) }
}

/// Codebooks loaded; 0 for a codec of continuous latents.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_codebooks(model: *const MimiModel) -> usize {
    // SAFETY: the header's contract.
    unsafe { fact(model, Model::num_codebooks) }
}

/// Entries of a codebook: codes are less than that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_codebook_size(model: *const MimiModel) -> usize {
    // SAFETY: the header's contract.
    unsafe { fact(model, Model::codebook_size) }
}

/// Floats of a latent that the encoder gives; 0 where it is not loaded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_encoder_latent_dim(model: *const MimiModel) -> usize {
    // SAFETY: the header's contract.
    unsafe { fact(model, |model| model.encoder_latent_dim().unwrap_or(0)) }
}

/// Floats of a latent that the decoder takes; 0 where it is not loaded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_decoder_latent_dim(model: *const MimiModel) -> usize {
    // SAFETY: the header's contract.
    unsafe { fact(model, |model| model.decoder_latent_dim().unwrap_or(0)) }
}

/// Whether the encoder is loaded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_has_encoder(model: *const MimiModel) -> bool {
    // SAFETY: the header's contract.
    unsafe { fact(model, Model::has_encoder) }
}

/// Whether the decoder is loaded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_has_decoder(model: *const MimiModel) -> bool {
    // SAFETY: the header's contract.
    unsafe { fact(model, Model::has_decoder) }
}

/// Bytes that the weights take in memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_model_weight_bytes(model: *const MimiModel) -> usize {
    // SAFETY: the header's contract.
    unsafe { fact(model, Model::weight_bytes) }
}
