"""A clip encoded as a whole by whoever holds it, with its frames in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import AnyArray
from .._options import Padding
from ..audio import Channels
from . import failures
from .coding import BLOCK_FRAMES, Coder, content_of, even
from .rows import Content, Row
from .sources import Source, path_of, reading, shown_path

if TYPE_CHECKING:
    from ..codec import Codec


@dataclass(frozen=True)
class Settings:
    """What decides the frames of a clip, besides its sound."""

    codec: Codec
    content: Content
    channels: Channels
    padding: Padding
    strict: bool

    @classmethod
    def of(
        cls, codec: Any, num_codebooks: int | None, latents: bool, channels: Channels, padding: Padding, strict: bool
    ) -> Settings:
        """For a codec, if it gives what is asked for."""
        return cls(codec, content_of(codec, num_codebooks, latents), channels, padding, strict)

    def coder(self) -> Coder:
        """For one thread."""
        return Coder(self.codec, self.content, self.padding)


def encoded(coder: Coder, name: str, source: Source, settings: Settings) -> list[Row]:
    """A row for a clip, or one for each of its channels; a row with its error if it fails."""
    codec, pieces = settings.codec, list[AnyArray]()
    path = path_of(source)
    row = Row(name, None if path is None else shown_path(path))
    samples, error, coding = 0, None, False
    try:
        with reading(source, name, codec.sample_rate, settings.channels, strict=settings.strict) as sound:
            row = replace(row, sha256=sound.sha256)
            for block in even(sound.blocks, BLOCK_FRAMES * codec.frame_size):
                pcm = np.atleast_2d(block)
                coding = True
                if not pieces:
                    coder.begin(len(pcm))
                pieces.append(coder.push(pcm, None))
                coding = False
                samples += pcm.shape[1]
            row = replace(row, warning="; ".join(sound.warnings()) or None)
        coding = True
        if samples:
            pieces.append(coder.end())
    except Exception as found:
        error = failures.of_coding(found) if coding else failures.of_reading(found)
    if error is not None or not samples:
        return [replace(row, warning=None, error=error or failures.EMPTY)]
    frames = np.concatenate(pieces, axis=2)
    separate = settings.channels == "separate"
    return [
        replace(
            row,
            channel=number if separate else None,
            num_frames=channel.shape[1],
            num_samples=samples,
            frames=settings.content.stored(channel),
        )
        for number, channel in enumerate(frames, 1)
    ]
