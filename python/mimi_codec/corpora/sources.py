"""Where a clip's sound is: a file, a part of an archive, bytes, samples in memory, or a function that gives one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .._arrays import ArrayInput, Float32Array, to_count, to_pcm
from ..audio import Channels, open_sound
from ..audio.mixer import Mixer
from ..audio.notes import Notes
from ..audio.read import Sound
from ..audio.source import Window
from ..audio.track import BLOCK, Track
from ..errors import AudioError, InputTypeError

PIECE = 1 << 20

SourceInput: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | Sound | ArrayInput | Mapping[str, Any] "
    "| Callable[[], Any]"
)
"""What a caller may pass as the sound of a clip."""


class Empty(AudioError):
    """There is nothing to be read."""


@dataclass(slots=True)
class Reading:
    """The sound of a clip while it is read: its blocks, and what was found."""

    blocks: Iterator[Float32Array]
    """(n,) samples at the codec's rate, or (C, n) where channels are kept separate."""
    sha256: str
    warnings: Callable[[], tuple[str, ...]] = field(default=tuple)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive that is not compressed."""

    archive: str
    name: str
    offset: int
    size: int


Source: TypeAlias = "str | Member | bytes | Sound | Callable[[], Any]"


def to_source(value: Any, name: str, sample_rate: int | None = None) -> Source:
    """What a caller passed as the sound of the clip `name`. Samples are at the codec's rate unless they say another."""
    if isinstance(value, (Member, Sound, bytes)):
        return value
    if isinstance(value, (str, os.PathLike)):
        return os.path.abspath(os.fspath(value))
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Mapping):
        return _of_mapping(value, name)
    if callable(value):
        made: Callable[[], Any] = value
        return made
    try:
        pcm = to_pcm(value)
    except InputTypeError as error:
        raise InputTypeError(f"clip {name!r} must be a path, bytes, samples or a function: {error}") from error
    return _sound(pcm, name, sample_rate or 0)


def _of_mapping(value: Mapping[str, Any], name: str) -> Source:
    """A sound as the package `datasets` gives it: samples with their rate, or bytes, or a path."""
    if value.get("array") is not None:
        rate = value.get("sampling_rate", value.get("sample_rate"))
        if rate is None:
            raise InputTypeError(f"clip {name!r} has an 'array' without its 'sampling_rate'")
        return to_source(value["array"], name, to_count(rate, "sampling_rate"))
    if value.get("bytes") is not None:
        return bytes(value["bytes"])
    if value.get("path") is not None:
        return to_source(value["path"], name)
    raise InputTypeError(f"clip {name!r} must have 'array' and 'sampling_rate', 'bytes' or 'path', got {sorted(value)}")


def _sound(pcm: Float32Array, name: str, rate: int) -> Sound:
    if pcm.ndim not in (1, 2):
        raise AudioError(f"clip {name!r} must have shape (L,) or (C, L), got {pcm.shape}")
    return Sound(pcm, rate, rate, len(pcm) if pcm.ndim == 2 else 1, "samples")


def size_of(source: Source) -> int:
    """Bytes, by which clips are put in order and the time left is told; 0 if nobody knows."""
    if isinstance(source, str):
        try:
            return os.stat(source).st_size
        except OSError:
            return 0
    if isinstance(source, Member):
        return source.size
    if isinstance(source, bytes):
        return len(source)
    return source.samples.nbytes if isinstance(source, Sound) else 0


def path_of(source: Source) -> str | None:
    """The path that a row names."""
    if isinstance(source, Member):
        return f"{source.archive}/{source.name}"
    return source if isinstance(source, str) else None


@contextmanager
def reading(source: Source, name: str, sample_rate: int, channels: Channels, *, strict: bool) -> Iterator[Reading]:
    """Open a clip.

    Raises:
        AudioError: it is not a sound, or cannot be read as one; also while the blocks are read.
        OSError: its file cannot be opened or read; also while the blocks are read.
    """
    if callable(source):
        source = to_source(source(), name)
        if callable(source):
            raise InputTypeError(f"the function of clip {name!r} gave a function")
    if isinstance(source, Sound):
        yield _samples(source, sample_rate, channels, strict)
        return
    if size_of(source) == 0 and isinstance(source, (bytes, Member)):
        raise Empty
    if isinstance(source, bytes):
        digest = hashlib.sha256(source).hexdigest()
        with open_sound(source, sample_rate, channels=channels, strict=strict) as sound:
            yield Reading(iter(sound), digest, lambda: sound.warnings)
        return
    with open(source if isinstance(source, str) else source.archive, "rb") as file:
        if isinstance(source, str):
            window = Window(file, 0, file.seek(0, os.SEEK_END))
            if not window.size:
                raise Empty
        else:
            window = Window(file, source.offset, source.offset + source.size)
        digest = _digest(window)
        with open_sound(window, sample_rate, channels=channels, strict=strict) as sound:
            yield Reading(iter(sound), digest, lambda: sound.warnings)


def _digest(window: Window) -> str:
    found, place = hashlib.sha256(), 0
    while piece := window.read_at(place, PIECE):
        found.update(piece)
        place += len(piece)
    return found.hexdigest()


def _samples(sound: Sound, sample_rate: int, channels: Channels, strict: bool) -> Reading:
    """Samples in memory go the way of those of a file."""
    samples = np.atleast_2d(sound.samples)
    notes = Notes()
    mixer = Mixer(channels, sample_rate, notes)
    step = max(1, BLOCK // len(samples))
    parts = (samples[:, start : start + step].T for start in range(0, samples.shape[1], step))
    track = Track(sound.sample_rate or sample_rate, len(samples), samples.shape[1], parts)

    def blocks() -> Iterator[Float32Array]:
        for block in chain(mixer.add(track), mixer.finish()):
            yield np.ascontiguousarray(block.T)
        if strict and notes.warnings:
            raise AudioError("; ".join(notes.warnings))

    digest = hashlib.sha256(np.ascontiguousarray(sound.samples).data).hexdigest()
    return Reading(blocks(), digest, lambda: (*sound.warnings, *notes.warnings))


def shown_path(path: str | Path) -> str:
    """A path as text that every format can hold: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
