"""PCM and float WAV files without any other package."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._arrays import Float32Array
from ..errors import AudioError
from .containers import FLOAT, PCM, Container
from .notes import Notes
from .source import Window
from .track import AUDIO_HINT, BLOCK, Track


def track(window: Window, found: Container, notes: Notes) -> Track:
    """The sound of a WAV, RF64 or W64 file."""
    width = found.frame // max(1, found.channels)
    if found.tag not in (PCM, FLOAT) or found.name not in ("WAV", "RF64", "W64"):
        raise AudioError(f"it is not a PCM WAV file; for other formats: {AUDIO_HINT}")
    if found.rate < 1 or found.channels < 1 or width not in ((1, 2, 3, 4) if found.tag == PCM else (4, 8)):
        raise AudioError(
            f"a WAV file of {found.bits}-bit samples in {found.channels} channels at {found.rate} Hz cannot be read"
        )
    notes.format = f"{found.name}, {8 * width}-bit {'PCM' if found.tag == PCM else 'float'}"
    frames = (found.end - found.start) // found.frame
    return Track(found.rate, found.channels, frames, _blocks(window, found, width, frames))


def _blocks(window: Window, found: Container, width: int, frames: int) -> Iterator[Float32Array]:
    step = max(1, BLOCK // found.channels)
    for first in range(0, frames, step):
        count = min(step, frames - first)
        data = window.read_at(found.start + first * found.frame, count * found.frame)
        whole = len(data) // found.frame * found.frame
        yield _samples(data[:whole], found, width).reshape(-1, found.channels)


def _samples(data: bytes, found: Container, width: int) -> Float32Array:
    if found.tag == FLOAT:
        return np.frombuffer(data, f"{found.order}f{width}").astype(np.float32)
    raw = np.frombuffer(data, np.uint8).reshape(-1, width)
    if width == 1:  # the one unsigned kind
        return (raw[:, 0].astype(np.float32) - np.float32(128)) * np.float32(2**-7)
    # to the top bytes of 32 bits, so that one scale serves all widths
    aligned = np.zeros((len(raw), 4), np.uint8)
    if found.order == "<":
        aligned[:, 4 - width :] = raw
    else:
        aligned[:, :width] = raw
    return (aligned.view(f"{found.order}i4")[:, 0] * 2.0**-31).astype(np.float32)
