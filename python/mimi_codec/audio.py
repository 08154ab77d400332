"""Sound files: mono float32 at the rate a model wants, and WAV files back.

With the extra `[audio]`, soundfile reads WAV, FLAC, OGG and MP3 and soxr resamples. Without it, the standard library
reads PCM WAV of 8, 16, 24 or 32 bits at the right rate. Writing WAV needs nothing.
"""

from __future__ import annotations

import io
import os
import struct
import wave
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from ._arrays import ArrayInput, Float32Array, to_pcm
from .errors import AudioError

__all__ = ["read_audio", "write_wav"]

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")
INSTALL_HINT = "pip install 'mimi-codec[audio]'"
FULL_SCALE = 32768
WAVE_PCM, WAVE_FLOAT = 1, 3


def read_audio(file: str | os.PathLike[str] | BinaryIO, sample_rate: int) -> Float32Array:
    """Read a sound file as (L,) float32 mono at `sample_rate` Hz. Channels are averaged.

    Args:
        file: a path, or an open binary file, which may be a pipe.
        sample_rate: the rate to resample to, a model's `sample_rate`.

    Raises:
        AudioError: not a sound file that can be read, or it needs the extra `[audio]`.
        OSError: the file cannot be opened.
    """
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as opened:
            return read_audio(opened, sample_rate)
    if not file.seekable():
        file = io.BytesIO(file.read())
    name = _name(file)
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the package is there, the library it loads is not
        frames, rate = _read_wave(file, name)
    else:
        try:
            frames, rate = soundfile.read(file, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
            raise AudioError(f"{name} cannot be read as audio: {_reason(error)}") from error
    mono = np.ascontiguousarray(frames[:, 0]) if frames.shape[1] == 1 else frames.mean(axis=1, dtype=np.float32)
    return mono if rate == sample_rate else _resample(mono, rate, sample_rate, name)


def audio_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Sample rate, channels, samples and format of a sound file, without decoding it. Errors as in `read_audio`."""
    with open(path, "rb") as file:
        try:
            import soundfile
        except (ImportError, OSError):
            with _open_wave(file, os.fspath(path)) as clip:
                kind = f"WAV, {8 * clip.getsampwidth()}-bit PCM"
                rate, channels, samples = clip.getframerate(), clip.getnchannels(), clip.getnframes()
        else:
            try:
                info = soundfile.info(file)
            except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
                raise AudioError(f"{os.fspath(path)} cannot be read as audio: {_reason(error)}") from error
            kind = f"{info.format_info}, {info.subtype_info}"
            rate, channels, samples = info.samplerate, info.channels, info.frames
    return {"format": kind, "sample_rate": rate, "channels": channels, "samples": samples, "seconds": samples / rate}


def write_wav(
    file: str | os.PathLike[str] | BinaryIO,
    pcm: ArrayInput,
    sample_rate: int,
    *,
    subtype: Literal["int16", "float32"] = "int16",
) -> None:
    """Write (L,) mono samples as a WAV file. int16 clips what is outside [-1, 1), float32 keeps it.

    Raises `AudioError` for a wrong shape, NaN or infinite samples, or more than a WAV file holds (4 GiB).
    """
    if isinstance(file, (str, os.PathLike)):
        with open(file, "wb") as opened:
            write_wav(opened, pcm, sample_rate, subtype=subtype)
        return
    if subtype == "int16":
        kind, data = WAVE_PCM, to_int16(pcm).tobytes()
    elif subtype == "float32":
        kind, data = WAVE_FLOAT, checked(pcm).astype("<f4").tobytes()
    else:
        raise AudioError(f"subtype must be 'int16' or 'float32', got {subtype!r}")
    width = 2 if kind == WAVE_PCM else 4
    layout = struct.pack("<HHIIHH", kind, 1, sample_rate, sample_rate * width, width, 8 * width)
    chunks = b"fmt " + struct.pack("<I", len(layout)) + layout
    if kind == WAVE_FLOAT:  # formats other than PCM state their number of samples
        chunks += b"fact" + struct.pack("<II", 4, len(data) // width)
    size = 4 + len(chunks) + 8 + len(data)
    if size > 0xFFFFFFFF:
        raise AudioError(f"a WAV file holds up to 4 GiB, got {len(data)} bytes of samples")
    file.write(b"RIFF" + struct.pack("<I", size) + b"WAVE" + chunks + b"data" + struct.pack("<I", len(data)) + data)


def checked(pcm: ArrayInput) -> Float32Array:
    """Samples (L,), all finite, as float32. Raises `AudioError`."""
    samples = to_pcm(pcm)
    if samples.ndim != 1:
        raise AudioError(f"expected mono samples (L,), got {samples.shape}")
    if not np.isfinite(samples).all():
        raise AudioError(f"samples must be finite, got {samples[~np.isfinite(samples)][0]}")
    return samples


def to_int16(pcm: ArrayInput) -> npt.NDArray[np.int16]:
    """Samples (L,) rounded and clipped to little-endian 16 bits."""
    scaled = np.rint(checked(pcm) * np.float32(FULL_SCALE))
    clipped: npt.NDArray[np.int16] = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2")
    return clipped


def _resample(mono: Float32Array, rate: int, wanted: int, name: str) -> Float32Array:
    try:
        import soxr
    except ImportError:
        raise AudioError(f"{name} has {rate} Hz, expected {wanted}; to resample it: {INSTALL_HINT}") from None
    return np.ascontiguousarray(soxr.resample(mono, rate, wanted, quality="HQ"), np.float32)


def _read_wave(file: BinaryIO, name: str) -> tuple[Float32Array, int]:
    """PCM samples (L, channels) in [-1, 1), and their rate."""
    with _open_wave(file, name) as clip:
        data = clip.readframes(clip.getnframes())
        width, channels, rate = clip.getsampwidth(), clip.getnchannels(), clip.getframerate()
    raw = np.frombuffer(data[: len(data) - len(data) % (width * channels)], np.uint8).reshape(-1, width)
    if width == 1:
        samples = (raw[:, 0].astype(np.float32) - np.float32(128)) * np.float32(
            2**-7
        )  # 8-bit WAV is the one unsigned kind
    else:
        # to the top bytes of 32 bits, so that one scale serves all widths
        aligned = np.zeros((len(raw), 4), np.uint8)
        aligned[:, 4 - width :] = raw
        samples = (aligned.view("<i4")[:, 0] * 2.0**-31).astype(np.float32)
    return samples.reshape(-1, channels), rate


def _open_wave(file: BinaryIO, name: str) -> wave.Wave_read:
    try:
        clip = wave.Wave_read(file)
    except (wave.Error, EOFError) as error:
        why = str(error) or "it ends early"
        raise AudioError(f"{name} is no PCM WAV file ({why}); for other formats: {INSTALL_HINT}") from error
    if not 1 <= clip.getsampwidth() <= 4 or clip.getframerate() < 1:
        raise AudioError(f"{name}: cannot read {8 * clip.getsampwidth()}-bit samples at {clip.getframerate()} Hz")
    return clip


def _reason(error: Exception) -> str:
    """What libsndfile says, without the file object that soundfile puts before it."""
    return str(getattr(error, "error_string", error))


def _name(file: BinaryIO) -> str:
    name = getattr(file, "name", None)
    return str(Path(name)) if isinstance(name, str) else "the stream"
