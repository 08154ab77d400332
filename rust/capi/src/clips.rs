//! Whole clips.

use mimi_codec::{Direction, Input, StopFn};

use crate::arrays::{MimiCodes, MimiLatents, MimiPcm};
use crate::inputs::{codes, latents, place, reference, slice};
use crate::model::MimiModel;
use crate::options::{MimiPadding, padding};
use crate::status::{MimiStatus, guarded};

/// Who wants to stop in the middle of a clip gives it to a stream in pieces.
const GO_ON: StopFn<'static> = &|| false;

/// The first `codebooks` codes of each frame of a clip of samples, at the model's rate, into `*codes`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_encode(
    model: *const MimiModel,
    pcm: *const f32,
    samples: usize,
    codebooks: usize,
    padding: MimiPadding,
    codes: *mut MimiCodes,
) -> MimiStatus {
    guarded(|| {
        // SAFETY: the header's contract.
        let (model, pcm, place) =
            unsafe { (reference(model, "a model")?, slice(pcm, samples, "samples")?, place(codes, "codes")?) };
        let padding = self::padding(padding)?;
        let given = model.model.clip(Direction::ToCodes(codebooks), Input::Pcm(pcm), padding, GO_ON)?;
        *place = given.into_codes()?.into();
        Ok(())
    })
}

/// The latents of a clip of samples, before the quantizer, into `*latents`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_encode_latents(
    model: *const MimiModel,
    pcm: *const f32,
    samples: usize,
    padding: MimiPadding,
    latents: *mut MimiLatents,
) -> MimiStatus {
    guarded(|| {
        // SAFETY: the header's contract.
        let (model, pcm, place) =
            unsafe { (reference(model, "a model")?, slice(pcm, samples, "samples")?, place(latents, "latents")?) };
        let given = model.model.clip(Direction::ToLatents, Input::Pcm(pcm), self::padding(padding)?, GO_ON)?;
        *place = given.into_latents()?.into();
        Ok(())
    })
}

/// The samples of a clip of codes `(frames, codebooks)`, frame by frame, into `*pcm`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_decode(
    model: *const MimiModel,
    codes: *const u32,
    frames: usize,
    codebooks: usize,
    pcm: *mut MimiPcm,
) -> MimiStatus {
    guarded(|| {
        // SAFETY: the header's contract.
        let (model, codes, place) =
            unsafe { (reference(model, "a model")?, self::codes(codes, frames, codebooks)?, place(pcm, "samples")?) };
        *place = model.model.decode(&codes)?.into();
        Ok(())
    })
}

/// The samples of a clip of latents `(frames, dim)`, frame by frame, into `*pcm`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_decode_latents(
    model: *const MimiModel,
    latents: *const f32,
    frames: usize,
    dim: usize,
    pcm: *mut MimiPcm,
) -> MimiStatus {
    guarded(|| {
        // SAFETY: the header's contract.
        let (model, latents, place) =
            unsafe { (reference(model, "a model")?, self::latents(latents, frames, dim)?, place(pcm, "samples")?) };
        *place = model.model.decode_latents(&latents)?.into();
        Ok(())
    })
}

/// The first `codebooks` codes of latents `(frames, dim)`, as the encoder gives them, into `*codes`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_latents_to_codes(
    model: *const MimiModel,
    latents: *const f32,
    frames: usize,
    dim: usize,
    codebooks: usize,
    codes: *mut MimiCodes,
) -> MimiStatus {
    guarded(|| {
        // SAFETY: the header's contract.
        let (model, latents, place) =
            unsafe { (reference(model, "a model")?, self::latents(latents, frames, dim)?, place(codes, "codes")?) };
        *place = model.model.latents_to_codes(&latents, codebooks)?.into();
        Ok(())
    })
}

/// The latents that codes `(frames, codebooks)` stand for, as the decoder takes them, into `*latents`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_codes_to_latents(
    model: *const MimiModel,
    codes: *const u32,
    frames: usize,
    codebooks: usize,
    latents: *mut MimiLatents,
) -> MimiStatus {
    guarded(|| {
        // SAFETY: the header's contract.
        let (model, codes, place) = unsafe {
            (reference(model, "a model")?, self::codes(codes, frames, codebooks)?, place(latents, "latents")?)
        };
        *place = model.model.codes_to_latents(&codes)?.into();
        Ok(())
    })
}
