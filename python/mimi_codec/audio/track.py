"""What every decoder hands over: sound of one rate, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .._arrays import Float32Array

AUDIO_HINT = "pip install 'mimi-codec[audio]'"
AV_HINT = "pip install 'mimi-codec[av]'"
BLOCK = 1 << 20  # samples of all channels that are decoded at once


class NotReadableError(Exception):
    """This decoder does not read the file; another one may."""


@dataclass
class Track:
    """A sound, or one of several that follow each other in a file."""

    rate: int
    channels: int
    frames: int | None  # samples of each channel, where they are known before decoding
    blocks: Iterator[Float32Array]  # (n, channels)
