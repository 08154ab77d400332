"""Sound in and out of the commands: files, pipes, bare samples."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .._arrays import Float32Array, to_pcm
from ..audio import Channels, Sound, checked, read_sound, to_int16, write_wav
from ..errors import AudioError
from .console import UsageError, binary_input

RAW_FORMATS = {"s16le": "<i2", "f32le": "<f4"}
WAV = ".wav"
# What soundfile calls a format and what is in it.
SOUND_FORMATS = {
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".aif": ("AIFF", "PCM_16"),
    ".aiff": ("AIFF", "PCM_16"),
    ".au": ("AU", "PCM_16"),
    ".caf": ("CAF", "PCM_16"),
    ".w64": ("W64", "PCM_16"),
}
WRITTEN_SUFFIXES = (WAV, *SOUND_FORMATS)
BLOCK = 1 << 16  # samples written at once: libsndfile's Vorbis encoder has overflowed its stack with long ones


def channels_option(text: str) -> Channels:
    """The value of --channels."""
    if text in ("mix", "first", "separate"):
        return text  # type: ignore[return-value]
    if text.isdecimal() and len(text) < 6 and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected mix, first, separate, or a channel from 1 up, got {text[:40]!r}")


def read(source: Path | None, sample_rate: int, *, raw: str | None, channels: Channels, strict: bool) -> Sound:
    """The sound of a file, or of the standard input: (L,), or (C, L) if channels are to be separate."""
    if source is not None or raw is None:
        file = binary_input() if source is None else source
        return read_sound(file, sample_rate, channels=channels, strict=strict)
    data, dtype = binary_input().read(), np.dtype(RAW_FORMATS[raw])
    if len(data) % dtype.itemsize:
        raise AudioError(f"{raw} takes {dtype.itemsize} bytes per sample, got {len(data)} bytes")
    samples = to_pcm(np.frombuffer(data, dtype))
    shaped = samples[np.newaxis] if channels == "separate" else samples
    return Sound(shaped, sample_rate, sample_rate, 1, raw, (), ())


def check_writable(suffixes: Sequence[str], *, wide: bool) -> None:
    """Raise `UsageError` for suffixes that no sound can be written to, before any work is done."""
    for suffix in suffixes:
        if suffix not in WRITTEN_SUFFIXES:
            raise UsageError(f"sound is written as {', '.join(WRITTEN_SUFFIXES)}, got {suffix or 'no suffix'}")
        if suffix == WAV:
            continue
        if wide:
            raise UsageError(f"--float is for {WAV}, got {suffix}")
        try:
            import soundfile
        except (ImportError, OSError):
            raise UsageError(f"writing {suffix} needs soundfile: pip install 'mimi-codec[audio]'") from None
        if not soundfile.check_format(*SOUND_FORMATS[suffix]):
            raise UsageError(f"the installed libsndfile does not write {suffix}")


def write(file: BinaryIO, pcm: Float32Array, sample_rate: int, suffix: str, *, wide: bool) -> None:
    """Write samples (L,) as the kind of sound that a suffix stands for; `wide` is float32 instead of 16 bits."""
    if suffix == WAV:
        write_wav(file, pcm, sample_rate, subtype="float32" if wide else "int16")
        return
    import soundfile

    kind, subtype = SOUND_FORMATS[suffix]
    samples = to_int16(pcm) if subtype == "PCM_16" else np.clip(checked(pcm), -1, 1)
    buffer = io.BytesIO()  # the writer goes back to the beginning, which a pipe does not
    with soundfile.SoundFile(buffer, "w", sample_rate, 1, subtype, format=kind) as sound:
        for start in range(0, len(samples), BLOCK):
            sound.write(samples[start : start + BLOCK])
    file.write(buffer.getvalue())


def write_raw(file: BinaryIO, pcm: Float32Array, raw: str) -> None:
    """Write bare samples (L,)."""
    samples = to_int16(pcm) if raw == "s16le" else checked(pcm).astype(RAW_FORMATS[raw])
    file.write(samples.tobytes())
