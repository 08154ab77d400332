"""Sound to frames, through streams of any codec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import AnyArray, Float32Array
from .._options import Padding, Stop
from ..errors import ConfigError
from .rows import Content

if TYPE_CHECKING:
    from ..codec import Codec
    from ..streams import EncoderStream

BLOCK_FRAMES = 64  # two of the codec's own blocks


class Coder:
    """A codec, and streams of it that are used for one clip after the other."""

    def __init__(self, codec: Codec, content: Content, padding: Padding) -> None:
        self._codec, self._content, self._padding = codec, content, padding
        self._streams: dict[int, EncoderStream] = {}
        self._stream = self.stream(1)

    def stream(self, rows: int) -> EncoderStream:
        """One for clips of so many channels."""
        if rows not in self._streams:
            self._streams[rows] = open_stream(self._codec, self._content, rows)
        return self._streams[rows]

    def begin(self, channels: int) -> None:
        """A clip begins."""
        self._stream = self.stream(channels)
        self._stream.reset()

    def push(self, pcm: Float32Array, stop: Stop | None) -> AnyArray:
        """Samples (C, n) to frames (C, K, m) or (C, D, m)."""
        return self._stream.push(pcm[:, np.newaxis], stop=stop)

    def end(self) -> AnyArray:
        """The frames that are left."""
        return self._stream.flush(batched=True, padding=self._padding)


def content_of(codec: Codec, num_codebooks: int | None, latents: bool) -> Content:
    """What is kept of a clip.

    Raises:
        ConfigError: the codec does not give it.
    """
    if latents or not hasattr(codec, "encode"):
        if not hasattr(codec, "encode_latents"):
            raise ConfigError(f"{codec.name} gives codes and no latents")
        if num_codebooks is not None:
            raise ConfigError(f"num_codebooks must be None for latents, got {num_codebooks!r}")
        return Content.latents(codec.latent_dim)
    count: int = codec._codebooks(num_codebooks)  # type: ignore[attr-defined]
    return Content.codes(count, codec.codebook_size)  # type: ignore[attr-defined]


def open_stream(codec: Codec, content: Content, rows: int) -> EncoderStream:
    """A stream that gives what is kept, for so many clips in step."""
    maker: Any = codec.encoder_stream  # type: ignore[attr-defined]
    if content.name == "codes":
        found: EncoderStream = maker(rows, content.width)
        return found
    return maker(rows, latents=True) if hasattr(codec, "encode") else maker(rows)  # type: ignore[no-any-return]


def even(blocks: Iterator[Float32Array], size: int) -> Iterator[Float32Array]:
    """The same samples in blocks of `size`, and the rest."""
    waiting: list[Float32Array] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += block.shape[-1]
        if count >= size:
            joined = waiting[0] if len(waiting) == 1 else np.concatenate(waiting, axis=-1)
            whole = count - count % size
            for start in range(0, whole, size):
                yield joined[..., start : start + size]
            waiting, count = [joined[..., whole:]], count - whole
    if count:
        yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting, axis=-1)
