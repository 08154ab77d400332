"""Reading sound: any file as float32 at the rate a model wants, with a word about all that was noticed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Float32Array
from ..errors import AudioError, AudioWarning
from .formats import tracks
from .mixer import Channels
from .notes import Notes
from .opened import check_rate, nothing_found, open_sound
from .source import AudioFile, opened


@dataclass(frozen=True, eq=False)
class Sound:
    """The samples of a sound file, and what was found and done.

    Attributes:
        samples: float32 in [-1, 1], (L,), or (C, L) with channels="separate".
        sample_rate: the rate of `samples`, in Hz.
        source_rate: the rate of the file, in Hz.
        source_channels: channels in the file.
        source_format: the format in words.
        done: what was done to the sound, each in a few words: channels averaged, resampled, joined files.
        warnings: where sound is missing or may be, each in a few words. They do not name the file.

    Example:
        >>> import io, numpy as np
        >>> from mimi_codec import read_sound, write_wav
        >>> file = io.BytesIO()
        >>> write_wav(file, np.zeros(24000), 24000)
        >>> read_sound(file.getvalue(), 24000).source_rate
        24000
    """

    samples: Float32Array
    sample_rate: int
    source_rate: int
    source_channels: int
    source_format: str
    done: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return float(self.samples.shape[-1] / self.sample_rate)


def read_audio(file: AudioFile, sample_rate: int, *, channels: Channels = "mix", strict: bool = False) -> Float32Array:
    """Read a sound file as float32 samples at `sample_rate` Hz.

    All of the sound is read. Where some is missing or may be, an `AudioWarning` says so.

    Args:
        file: a path; bytes with the content of a file; or a binary file object, which is read from where it stands to
            its end and needs only `read`: a pipe, a member of an archive.
        sample_rate: the rate to resample to in Hz, a model's `sample_rate`.
        channels: "mix" averages all channels, "first" takes the first, a number takes that one, counted from 1, and
            "separate" keeps all.
        strict: raise `AudioError` instead of a warning.

    Returns:
        Samples in [-1, 1], shape (L,); with channels="separate" (C, L).

    Raises:
        AudioError: it is not a sound file, it has no such channel, a package is missing that reads it, or, with
            `strict`, some sound is missing.
        ConfigError: `channels` or `sample_rate` is not allowed.
        InputTypeError: `file` is something else.
        OSError: the file cannot be opened or read.

    Example:
        >>> import io, numpy as np
        >>> from mimi_codec import read_audio, write_wav
        >>> file = io.BytesIO()
        >>> write_wav(file, np.zeros(24000), 24000)
        >>> read_audio(file.getvalue(), 24000).shape
        (24000,)
    """
    sound, name = _read(file, sample_rate, channels, strict)
    for text in sound.warnings:
        warnings.warn(f"{name}: {text}", AudioWarning, stacklevel=2)
    return sound.samples


def read_sound(file: AudioFile, sample_rate: int, *, channels: Channels = "mix", strict: bool = False) -> Sound:
    """Read a sound file as `read_audio` does, and say what was found and done.

    Args:
        file: as in `read_audio`.
        sample_rate: as in `read_audio`.
        channels: as in `read_audio`.
        strict: as in `read_audio`.

    Returns:
        The samples, the rate, channels and format of the file, what was done, and what `read_audio` would warn of.

    Raises:
        MimiError: as in `read_audio`.
        OSError: as in `read_audio`.

    Example:
        >>> import io, numpy as np
        >>> from mimi_codec import read_sound, write_wav
        >>> file = io.BytesIO()
        >>> write_wav(file, np.zeros(24000), 24000)
        >>> sound = read_sound(file.getvalue(), 24000)
        >>> sound.source_channels, sound.seconds, sound.warnings
        (1, 1.0, ())
    """
    return _read(file, sample_rate, channels, strict)[0]


def audio_info(file: AudioFile) -> dict[str, Any]:
    """Describe a sound file.

    Args:
        file: as in `read_audio`.

    Returns:
        `format` in words, `sample_rate` in Hz, `channels`, `samples` of each channel, `seconds`, and `warnings`,
        a list. The file is decoded only where its header does not tell how many samples there are.

    Raises:
        MimiError: as in `read_audio`.
        OSError: as in `read_audio`.

    Example:
        >>> import io, numpy as np
        >>> from mimi_codec import write_wav
        >>> from mimi_codec.audio import audio_info
        >>> file = io.BytesIO()
        >>> write_wav(file, np.zeros(24000), 24000)
        >>> audio_info(file.getvalue())["seconds"]
        1.0
    """
    notes = Notes()
    rate, channels, samples, seconds = 0, 0, 0, 0.0
    with opened(file) as (window, name), notes.decoders:
        try:
            for track in tracks(window, notes):
                check_rate(track.rate)
                frames = sum(map(len, track.blocks)) if track.frames is None else track.frames
                rate, channels = rate or track.rate, max(channels, track.channels)
                samples, seconds = samples + frames, seconds + frames / track.rate
            if not rate:
                raise AudioError(nothing_found(notes))
        except AudioError as error:
            raise AudioError(f"{name} cannot be read as audio: {error}") from error
    return {
        "format": notes.format,
        "sample_rate": rate,
        "channels": channels,
        "samples": samples,
        "seconds": seconds,
        "warnings": notes.warnings,
    }


def _read(file: AudioFile, sample_rate: int, channels: Channels, strict: bool) -> tuple[Sound, str]:
    with open_sound(file, sample_rate, channels=channels, strict=strict) as sound:
        blocks = list(sound)
        samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=-1)
        found = (sound.source_rate, sound.source_channels, sound.source_format, sound.done, sound.warnings)
        return Sound(samples, sound.sample_rate, *found), sound.name
