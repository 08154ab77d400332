"""Reading sound: any file as float32 at the rate a model wants, with a word about all that was noticed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from .._arrays import Float32Array, to_count
from ..errors import AudioError, AudioWarning, ConfigError
from .formats import tracks
from .notes import Notes
from .source import AudioFile, opened
from .track import AUDIO_HINT

Channels: TypeAlias = Literal["mix", "first", "separate"] | int

CHANNEL_CHOICES = ("mix", "first", "separate")
LOWEST_RATE, HIGHEST_RATE = 1000, 10_000_000  # Hz; outside, a header lies, and resampling would fill the memory
CANCELLED = 1e-3  # of the channels' power: what is left when they are each other's opposite


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
                _check(track.rate)
                frames = sum(map(len, track.blocks)) if track.frames is None else track.frames
                rate, channels = rate or track.rate, max(channels, track.channels)
                samples, seconds = samples + frames, seconds + frames / track.rate
            if not rate:
                raise AudioError(_nothing(notes))
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
    sample_rate, notes = to_count(sample_rate, "sample_rate"), Notes()
    mixer = _Mixer(_channels(channels), sample_rate, notes)
    with opened(file) as (window, name), notes.decoders:
        try:
            for track in tracks(window, notes):
                _check(track.rate)
                mixer.add(track.blocks, track.rate, track.channels)
            if not mixer.source_rate:
                raise AudioError(_nothing(notes))
            sound = mixer.finish()
            if notes.warnings and (strict or not sound.samples.size):
                raise AudioError("; ".join(notes.warnings))
        except AudioError as error:
            raise AudioError(f"{name} cannot be read as audio: {error}") from error
    return sound, name


def _channels(channels: Channels) -> Channels:
    if isinstance(channels, str):
        if channels in CHANNEL_CHOICES:
            return channels
    elif not isinstance(channels, bool):
        return to_count(channels, "channels, counted from 1,")
    raise ConfigError(f"channels must be {', '.join(CHANNEL_CHOICES)} or a number, got {channels!r}")


def _check(rate: int) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(f"its sample rate must be between {LOWEST_RATE} and {HIGHEST_RATE} Hz, got {rate}")


def _nothing(notes: Notes) -> str:
    return "; ".join(notes.warnings) or "it holds no sound"


class _Mixer:
    """Blocks of any number of channels and any rate, as the samples that are wanted."""

    def __init__(self, channels: Channels, sample_rate: int, notes: Notes) -> None:
        self.channels, self.sample_rate, self.notes = channels, sample_rate, notes
        self.sounds: list[tuple[int, list[Float32Array]]] = []  # runs of the same rate
        self.source_rate = self.source_channels = 0
        self.power = self.left = 0.0

    def add(self, blocks: Iterator[Float32Array], rate: int, count: int) -> None:
        """Take the chosen channels of a track."""
        if isinstance(self.channels, int) and self.channels > count:
            have = "1 channel" if count == 1 else f"{count} channels"
            raise AudioError(f"channel {self.channels} was asked for, it has {have}")
        if self.channels == "separate" and self.source_channels not in (0, count):
            raise AudioError(
                f"its parts have {self.source_channels} and {count} channels, which cannot be kept separate"
            )
        if not self.sounds or self.sounds[-1][0] != rate:
            self.sounds.append((rate, []))
        self.source_rate = self.source_rate or rate
        self.source_channels = max(self.source_channels, count)
        self.sounds[-1][1].extend(self._chosen(block, count) for block in blocks)
        if count > 1:
            self._tell(count)

    def _chosen(self, block: Float32Array, count: int) -> Float32Array:
        """(n,) or, kept separate, (n, C)."""
        if self.channels == "separate":
            return block
        if count == 1:
            return block[:, 0]
        if self.channels == "mix":
            mixed: Float32Array = block.mean(axis=1, dtype=np.float32)
            self.power += float(np.vdot(block, block)) / count
            self.left += float(np.vdot(mixed, mixed))
            return mixed
        return block[:, 0 if self.channels == "first" else self.channels - 1].copy()

    def _tell(self, count: int) -> None:
        self.notes.did(
            {
                "mix": f"{count} channels averaged",
                "first": f"the first of {count} channels taken",
                "separate": f"{count} channels kept separate",
            }.get(str(self.channels), f"channel {self.channels} of {count} taken")
        )

    def finish(self) -> Sound:
        """All that was added, at the wanted rate."""
        if self.power > 0 and self.left < CANCELLED * self.power:
            self.notes.warn("the channels cancel each other out when averaged: take one of them by channels=")
        parts = [self._resampled(np.concatenate(blocks), rate) for rate, blocks in self.sounds if blocks]
        if parts:
            joined = parts[0] if len(parts) == 1 else np.concatenate(parts)
        else:
            joined = np.zeros((0, self.source_channels) if self.channels == "separate" else 0, np.float32)
        return Sound(
            np.ascontiguousarray(joined.T),
            self.sample_rate,
            self.source_rate,
            self.source_channels,
            self.notes.format,
            tuple(self.notes.done),
            tuple(self.notes.warnings),
        )

    def _resampled(self, samples: Float32Array, rate: int) -> Float32Array:
        if rate == self.sample_rate:
            return samples
        try:
            import soxr
        except ImportError:
            raise AudioError(f"it has {rate} Hz, expected {self.sample_rate}; to resample it: {AUDIO_HINT}") from None
        self.notes.did(f"resampled from {rate} Hz to {self.sample_rate} Hz")
        return np.ascontiguousarray(soxr.resample(samples, rate, self.sample_rate, quality="HQ"), np.float32)
