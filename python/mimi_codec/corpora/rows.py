"""What a shard holds of a clip, and how a clip's frames lie in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from .._arrays import AnyArray
from ..errors import ConfigError

ContentName = Literal["codes", "latents"]

FIELDS = ("id", "path", "sha256", "channel", "num_frames", "num_samples", "warning", "error")
"""Of a row, but for its frames, in the order of the columns."""


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """A clip in a shard, or one channel of a clip whose channels are kept separate.

    Example:
        >>> from mimi_codec.corpora import Row
        >>> Row("a.wav", error="unreadable: it is empty").frames is None
        True
    """

    id: str
    """The clip's id."""
    path: str | None = None
    """Where it was read from; None for what was in memory."""
    sha256: str | None = None
    """Of the bytes of its file, or of its samples in memory; None if they could not be read."""
    channel: int | None = None
    """Number of the channel, from 1, where channels are kept separate."""
    num_frames: int = 0
    """Frames T."""
    num_samples: int = 0
    """Length in samples at the codec's rate, before the last frame was filled up."""
    warning: str | None = None
    """What is missing of the sound, if some is."""
    error: str | None = None
    """Why there are no frames: the kind of the failure, a colon, and what happened."""
    frames: AnyArray | None = None
    """Codes (K, T), or latents (T, D) float32; None after a failure."""

    def facts(self) -> dict[str, Any]:
        """All but the frames.

        Returns:
            The fields by name.
        """
        return {name: getattr(self, name) for name in FIELDS}


class ShardRows(Protocol):
    """The rows of a shard, in the order of their ids. They can be gone through more than once."""

    @property
    def without_frames(self) -> list[Row]:
        """All of them, which are small."""
        ...

    def __iter__(self) -> Iterator[Row]:
        """One after the other, with its frames."""
        ...


@dataclass(frozen=True)
class Content:
    """What is kept of each clip: codes (K, T) in 16 bits, or latents (T, D) in float32."""

    name: ContentName
    width: int
    """Codebooks K, or the width D of latents."""
    dtype: str

    @classmethod
    def codes(cls, codebooks: int, codebook_size: int) -> Content:
        """Codes of so many codebooks."""
        if codebook_size > 1 << 16:
            raise ConfigError(f"codes are kept in 16 bits, got a codebook of {codebook_size} entries")
        return cls("codes", codebooks, "uint16")

    @classmethod
    def latents(cls, width: int) -> Content:
        """Latents of a width."""
        return cls("latents", width, "float32")

    @property
    def time_axis(self) -> int:
        """The axis of the frames."""
        return 1 if self.name == "codes" else 0

    def stored(self, frames: AnyArray) -> AnyArray:
        """Frames (K, m) or (D, m), as a stream gives them, as they are stored."""
        return np.ascontiguousarray(frames if self.name == "codes" else frames.T, self.dtype)

    def shape(self, frames: int) -> tuple[int, int]:
        """Of an array of so many frames."""
        return (self.width, frames) if self.name == "codes" else (frames, self.width)

    def joined(self, pieces: Sequence[AnyArray]) -> AnyArray:
        """Pieces that follow one another, as one array."""
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate([np.empty(self.shape(0), self.dtype), *pieces], axis=self.time_axis)
