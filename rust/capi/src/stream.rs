//! Streams: clips as they come, for one row or for several side by side.

use std::ptr;
use std::sync::{Mutex, MutexGuard, TryLockError};

use mimi_codec::{Direction, Input, Output, Stream};

use crate::arrays::MimiBytes;
use crate::inputs::{codes, latents, place, reference, slice};
use crate::model::MimiModel;
use crate::options::{MimiPadding, choice, padding};
use crate::status::{Failure, MimiStatus, guarded};

/// What a stream takes and gives: `MIMI_TO_CODES`, `MIMI_TO_LATENTS`, `MIMI_FROM_CODES` or `MIMI_FROM_LATENTS`.
pub type MimiDirection = u32;

/// From samples to codes.
pub const MIMI_TO_CODES: MimiDirection = 0;
/// From samples to latents, before the quantizer.
pub const MIMI_TO_LATENTS: MimiDirection = 1;
/// From codes to samples.
pub const MIMI_FROM_CODES: MimiDirection = 2;
/// From latents, as the quantizer gives them, to samples.
pub const MIMI_FROM_LATENTS: MimiDirection = 3;

/// A stream: rows side by side, each a clip of its own.
pub struct MimiStream {
    /// Locked during a call, so that a second one at the same time is refused.
    locked: Mutex<Inner>,
}

struct Inner {
    stream: Stream,
    /// What the last push or flush gave each row.
    outputs: Vec<Output>,
}

impl MimiStream {
    fn lock(&self) -> Result<MutexGuard<'_, Inner>, Failure> {
        self.locked.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Failure::stream("expected one call at a time, got one while another goes on"),
            TryLockError::Poisoned(_) => Failure::stream("an earlier call failed halfway: free this stream"),
        })
    }
}

/// Runs a call on a stream to its status.
///
/// # Safety
/// `stream` came from this library and was not given back, or is null.
unsafe fn with(stream: *const MimiStream, call: impl FnOnce(&mut Inner) -> Result<(), Failure>) -> MimiStatus {
    guarded(|| {
        // SAFETY: the caller's promise.
        let stream = unsafe { reference(stream, "a stream") }?;
        call(&mut *stream.lock()?)
    })
}

fn handle(stream: Stream) -> *mut MimiStream {
    Box::into_raw(Box::new(MimiStream { locked: Mutex::new(Inner { stream, outputs: Vec::new() }) }))
}

/// A stream of `rows` rows, into `*stream`. `codebooks` are the codes that `MIMI_TO_CODES` gives for each frame; the other
/// directions do not look at it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_new(
    model: *const MimiModel,
    direction: MimiDirection,
    codebooks: usize,
    rows: usize,
    stream: *mut *mut MimiStream,
) -> MimiStatus {
    guarded(|| {
        // SAFETY: the header's contract.
        let (model, place) = unsafe { (reference(model, "a model")?, place(stream, "the stream")?) };
        let directions = [
            (MIMI_TO_CODES, Direction::ToCodes(codebooks)),
            (MIMI_TO_LATENTS, Direction::ToLatents),
            (MIMI_FROM_CODES, Direction::FromCodes),
            (MIMI_FROM_LATENTS, Direction::FromLatents),
        ];
        let direction = choice("a direction", direction, &directions)?;
        *place = handle(Stream::new(&model.model, direction, rows)?);
        Ok(())
    })
}

/// A stream that goes on from here on its own, into `*copy`. It has no output yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_copy(stream: *const MimiStream, copy: *mut *mut MimiStream) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| {
            let copy = place(copy, "the copy")?;
            *copy = handle(inner.stream.copy()?);
            Ok(())
        })
    }
}

/// Gives a stream back, and what it gave last. Nothing is done for null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_free(stream: *mut MimiStream) {
    if !stream.is_null() {
        // SAFETY: the header's contract: it came from this library, and is not used any more.
        drop(unsafe { Box::from_raw(stream) });
    }
}

/// Gives samples to the rows of a stream to codes or latents: to row r the `samples[r]` samples at `pcm[r]`, as many as there
/// are. A row whose `pcm[r]` is null rests. What the rows have is then in `mimi_stream_codes` or `mimi_stream_latents`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_push_pcm(
    stream: *mut MimiStream,
    pcm: *const *const f32,
    samples: *const usize,
) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| {
            let given = rows(inner, pcm, samples, |data, len| slice(data, len, "samples"))?;
            inner.push(given.iter().map(|row| row.map(Input::Pcm)).collect())
        })
    }
}

/// Gives codes to the rows of a stream from codes: to row r the `frames[r]` frames of `codebooks` codes at `codes[r]`. A row
/// whose `codes[r]` is null rests. What the rows have is then in `mimi_stream_pcm`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_push_codes(
    stream: *mut MimiStream,
    codes: *const *const u32,
    frames: *const usize,
    codebooks: usize,
) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| {
            let given = rows(inner, codes, frames, |data, frames| self::codes(data, frames, codebooks))?;
            inner.push(given.iter().map(|row| row.as_ref().map(Input::Codes)).collect())
        })
    }
}

/// Gives latents to the rows of a stream from latents: to row r the `frames[r]` frames of `dim` floats at `latents[r]`. A row
/// whose `latents[r]` is null rests. What the rows have is then in `mimi_stream_pcm`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_push_latents(
    stream: *mut MimiStream,
    latents: *const *const f32,
    frames: *const usize,
    dim: usize,
) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| {
            let given = rows(inner, latents, frames, |data, frames| self::latents(data, frames, dim))?;
            inner.push(given.iter().map(|row| row.as_ref().map(Input::Latents)).collect())
        })
    }
}

/// Ends the clips of the rows whose `mask[r]` is not 0, of all rows for a null pointer: gives the frame that was not whole, if
/// any. A row takes no more until it is reset.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_flush(
    stream: *mut MimiStream,
    mask: *const u8,
    padding: MimiPadding,
) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| {
            let mask = self::mask(inner, mask)?;
            inner.outputs = inner.stream.flush(mask.as_deref(), self::padding(padding)?)?;
            Ok(())
        })
    }
}

/// Makes the rows whose `mask[r]` is not 0, all rows for a null pointer, as they were at the start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_reset(stream: *mut MimiStream, mask: *const u8) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| {
            let mask = self::mask(inner, mask)?;
            Ok(inner.stream.reset(mask.as_deref())?)
        })
    }
}

/// The codes `(frames, codebooks)` that the last push or flush gave a row, into `*codes` and `*frames`. They belong to the
/// stream until its next push or flush, or until it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_codes(
    stream: *const MimiStream,
    row: usize,
    codes: *mut *const u32,
    frames: *mut usize,
) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| {
            let (codes, frames) = (place(codes, "codes")?, place(frames, "a number of frames")?);
            (*codes, *frames) = match inner.output(row)? {
                None => (ptr::null(), 0),
                Some(Output::Codes(given)) => (given.data.as_ptr(), given.frames()),
                Some(_) => return Err(Failure::stream("expected a stream to codes, got one of another direction")),
            };
            Ok(())
        })
    }
}

/// The latents `(frames, dim)` that the last push or flush gave a row, into `*latents` and `*frames`. They belong to the
/// stream until its next push or flush, or until it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_latents(
    stream: *const MimiStream,
    row: usize,
    latents: *mut *const f32,
    frames: *mut usize,
) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| {
            let (latents, frames) = (place(latents, "latents")?, place(frames, "a number of frames")?);
            (*latents, *frames) = match inner.output(row)? {
                None => (ptr::null(), 0),
                Some(Output::Latents(given)) => (given.data.as_ptr(), given.frames()),
                Some(_) => return Err(Failure::stream("expected a stream to latents, got one of another direction")),
            };
            Ok(())
        })
    }
}

/// The samples that the last push or flush gave a row, into `*pcm` and `*samples`. They belong to the stream until its next
/// push or flush, or until it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_pcm(
    stream: *const MimiStream,
    row: usize,
    pcm: *mut *const f32,
    samples: *mut usize,
) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| {
            let (pcm, samples) = (place(pcm, "samples")?, place(samples, "a number of samples")?);
            (*pcm, *samples) = match inner.output(row)? {
                None => (ptr::null(), 0),
                Some(Output::Pcm(given)) => (given.as_ptr(), given.len()),
                Some(_) => return Err(Failure::stream("expected a stream to samples, got one of another direction")),
            };
            Ok(())
        })
    }
}

/// How many rows a stream has, into `*rows`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_rows(stream: *const MimiStream, rows: *mut usize) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| {
            *place(rows, "a number of rows")? = inner.stream.rows();
            Ok(())
        })
    }
}

/// How far a row is: the frames that it has seen since its start into `*frames`, and the samples that it holds back until they
/// are a frame into `*pending`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_position(
    stream: *const MimiStream,
    row: usize,
    frames: *mut u64,
    pending: *mut usize,
) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| {
            inner.check_row(row)?;
            let (frames, pending) = (place(frames, "a number of frames")?, place(pending, "a number of samples")?);
            (*frames, *pending) = (inner.stream.frames()[row], inner.stream.pending()[row]);
            Ok(())
        })
    }
}

/// All that a stream remembers of the `count` rows named at `rows`, of all rows for a null pointer, as bytes into `*state`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_save(
    stream: *const MimiStream,
    rows: *const usize,
    count: usize,
    state: *mut MimiBytes,
) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| {
            let state = place(state, "the state")?;
            *state = inner.stream.save(chosen(rows, count)?)?.into();
            Ok(())
        })
    }
}

/// Goes on with the `count` rows named at `rows`, with all rows for a null pointer, from the `length` bytes that
/// `mimi_stream_save` gave for as many rows of a stream of the same kind and model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mimi_stream_load(
    stream: *mut MimiStream,
    state: *const u8,
    length: usize,
    rows: *const usize,
    count: usize,
) -> MimiStatus {
    // SAFETY: the header's contract.
    unsafe {
        with(stream, |inner| Ok(inner.stream.load(slice(state, length, "bytes of a state")?, chosen(rows, count)?)?))
    }
}

impl Inner {
    fn push(&mut self, inputs: Vec<Option<Input<'_>>>) -> Result<(), Failure> {
        self.outputs = self.stream.push(&inputs)?;
        Ok(())
    }

    /// What the last push or flush gave a row; nothing where there was none.
    fn output(&self, row: usize) -> Result<Option<&Output>, Failure> {
        self.check_row(row)?;
        Ok(self.outputs.get(row))
    }

    fn check_row(&self, row: usize) -> Result<(), Failure> {
        let rows = self.stream.rows();
        if row < rows { Ok(()) } else { Err(Failure::argument(format!("expected one of {rows} rows, got row {row}"))) }
    }
}

/// What each row is given, none for those that rest.
///
/// # Safety
/// `data` and `counts` point to as many values as the stream has rows, which `read` may read.
unsafe fn rows<T, R>(
    inner: &Inner,
    data: *const *const T,
    counts: *const usize,
    read: impl Fn(*const T, usize) -> Result<R, Failure>,
) -> Result<Vec<Option<R>>, Failure> {
    let rows = inner.stream.rows();
    // SAFETY: the caller's promise.
    let (data, counts) = unsafe { (slice(data, rows, "rows")?, slice(counts, rows, "lengths of rows")?) };
    let row = |(&data, &count): (&*const T, &usize)| (!data.is_null()).then(|| read(data, count)).transpose();
    data.iter().zip(counts).map(row).collect()
}

/// The rows that a mask names; all for a null pointer.
///
/// # Safety
/// `mask` points to as many bytes as the stream has rows, or is null.
unsafe fn mask(inner: &Inner, mask: *const u8) -> Result<Option<Vec<bool>>, Failure> {
    if mask.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let mask = unsafe { slice(mask, inner.stream.rows(), "bytes of a mask") }?;
    Ok(Some(mask.iter().map(|&byte| byte != 0).collect()))
}

/// The rows that a list names; all for a null pointer.
///
/// # Safety
/// `rows` points to `count` numbers, or is null.
unsafe fn chosen<'a>(rows: *const usize, count: usize) -> Result<Option<&'a [usize]>, Failure> {
    // SAFETY: the caller's promise.
    if rows.is_null() { Ok(None) } else { unsafe { slice(rows, count, "rows") }.map(Some) }
}
