"""Reading packed streams: any frames of a file, or all of them as they come in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from .._arrays import Int64Array
from ..errors import CodesError, LoadError, StreamError
from .packed import (
    BLOCK_FRAMES,
    CHECK_BYTES,
    MAGIC,
    PREFIX_BYTES,
    Geometry,
    PackedHeader,
    decode_block,
    decode_frames,
)

__all__ = ["PackedReader", "StreamingReader"]


class PackedReader:
    """Random access to a stream in a seekable file: any frames can be read without those before.

    Args:
        file: an open binary file, which stays open.

    Raises:
        LoadError: the file is not a packed stream, or was cut off.

    Example:
        >>> import io, numpy as np
        >>> from mimi_codec.token_files import PackedHeader, PackedReader, PackedWriter
        >>> file = io.BytesIO()
        >>> with PackedWriter(file, PackedHeader(num_codebooks=8)) as writer:
        ...     writer.write(np.zeros((8, 100), np.int64))
        >>> PackedReader(file).read(90).shape
        (8, 10)
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)
        prefix = file.read(PREFIX_BYTES)
        self._header = PackedHeader.from_bytes(prefix + file.read(PackedHeader.size(prefix) - len(prefix)))
        self._geometry = Geometry(self._header)
        self._start = file.tell()
        size = file.seek(0, 2) - self._start
        blocks, rest = divmod(size, self._geometry.block_bytes)
        last = self._geometry.last_block_frames(rest)
        if last is None:
            raise LoadError(
                f"truncated code stream: it ends within a block, after {blocks * BLOCK_FRAMES} whole frames"
            )
        self._frames = blocks * BLOCK_FRAMES + last
        self._block(blocks)  # the last one: shows a file that was cut off where a block could end
        _check_samples(self._header, self._frames)

    @property
    def header(self) -> PackedHeader:
        """What the stream says of itself."""
        return self._header

    @property
    def num_frames(self) -> int:
        """Frames T."""
        return self._frames

    def read(self, start: int = 0, stop: int | None = None) -> Int64Array:
        """Some frames of the stream.

        Args:
            start: the first frame.
            stop: the frame after the last; None means all to the end.

        Returns:
            Codes (K, stop - start), int64.

        Raises:
            CodesError: the stream does not have these frames.
            LoadError: a block that holds one of them is damaged.
        """
        stop = self._frames if stop is None else stop
        if not 0 <= start <= stop <= self._frames:
            raise CodesError(f"the stream has {self._frames} frames, asked for frames {start} to {stop}")
        first, last = start // BLOCK_FRAMES, -(-stop // BLOCK_FRAMES)
        parts = [np.zeros((0, self._header.num_codebooks), np.int64), *map(self._block, range(first, last))]
        skipped = start - first * BLOCK_FRAMES
        return np.ascontiguousarray(np.concatenate(parts)[skipped : skipped + stop - start].T)

    def _block(self, index: int) -> Int64Array:
        """(frames, K)"""
        frames = min(BLOCK_FRAMES, self._frames - index * BLOCK_FRAMES)
        self._file.seek(self._start + index * self._geometry.block_bytes)
        data = self._file.read(self._geometry.frame_bytes(frames) + CHECK_BYTES)
        return decode_block(self._header, data, index * BLOCK_FRAMES, frames)


class StreamingReader:
    """Frames of a stream while its bytes come in, from a pipe or a socket. It must get the stream from its beginning.

    A frame is given as soon as nothing that follows can change it. If frames take at least 4 bytes, that is at once.
    The check of its block comes later, so damage is reported up to 63 frames after the damaged frames.

    Example:
        >>> import io, numpy as np
        >>> from mimi_codec.token_files import PackedHeader, PackedWriter, StreamingReader
        >>> file = io.BytesIO()
        >>> with PackedWriter(file, PackedHeader(num_codebooks=8)) as writer:
        ...     writer.write(np.zeros((8, 10), np.int64))
        >>> reader = StreamingReader()
        >>> pieces = [reader.push(file.getvalue()[:200]), reader.push(file.getvalue()[200:]), reader.finish()]
        >>> sum(piece.shape[1] for piece in pieces)
        10
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._header: PackedHeader | None = None
        self._frames = 0  # of whole blocks
        self._given = 0  # of the current block
        self._ended = False

    @property
    def header(self) -> PackedHeader | None:
        """What the stream says of itself; None until the header is complete."""
        return self._header

    @property
    def num_frames(self) -> int:
        """Frames that were given so far."""
        return self._frames + self._given

    def push(self, data: bytes) -> Int64Array:
        """Take the next bytes.

        Args:
            data: any number of bytes.

        Returns:
            The frames that they complete, as codes (K, m), int64; (0, 0) until the header is complete.

        Raises:
            LoadError: the stream is damaged.
            StreamError: `finish` was called before.
        """
        if self._ended:
            raise StreamError("the code stream has ended")
        self._buffer += data
        if self._header is None:
            if len(self._buffer) < PREFIX_BYTES:
                if not MAGIC.startswith(self._buffer[: len(MAGIC)]):
                    raise LoadError(f"not a packed code stream: it begins with {self._buffer[:8]!r}")
                return np.zeros((0, 0), np.int64)
            size = PackedHeader.size(self._buffer[:PREFIX_BYTES])
            if len(self._buffer) < size:
                return np.zeros((0, 0), np.int64)
            self._header = PackedHeader.from_bytes(self._buffer[:size])
            self._buffer = self._buffer[size:]
        return np.ascontiguousarray(np.concatenate(list(self._ready(self._header))).T)

    def finish(self) -> Int64Array:
        """Say that the stream has ended.

        Returns:
            The last frames, as codes (K, m), int64.

        Raises:
            LoadError: the stream was cut off, or its end is damaged.
            StreamError: `finish` was called before.
        """
        if self._ended:
            raise StreamError("the code stream has ended")
        if self._header is None:
            raise LoadError(f"truncated code stream: expected a header, found {len(self._buffer)} bytes")
        frames = Geometry(self._header).last_block_frames(len(self._buffer))
        if frames is None:
            raise LoadError(f"truncated code stream: it ends within a block, after {self.num_frames} frames")
        block = decode_block(self._header, self._buffer, self._frames, frames)
        _check_samples(self._header, self._frames + frames)
        last = np.ascontiguousarray(block[self._given :].T)
        self._given, self._ended = frames, True
        return last

    def _ready(self, header: PackedHeader) -> Iterator[Int64Array]:
        geometry = Geometry(header)
        yield np.zeros((0, header.num_codebooks), np.int64)
        data, size = self._buffer, geometry.block_bytes
        for start in range(0, len(data) - size + 1, size):
            block = decode_block(header, data[start : start + size], self._frames, BLOCK_FRAMES)
            yield block[self._given :]
            self._frames, self._given = self._frames + BLOCK_FRAMES, 0
        self._buffer = data[len(data) // size * size :]
        certain = geometry.certain_frames(len(self._buffer))
        if certain > self._given:
            yield decode_frames(header, self._buffer, self._frames, certain)[self._given :]
            self._given = certain


def _check_samples(header: PackedHeader, frames: int) -> None:
    longest = frames * header.sample_rate / header.frame_rate
    if header.num_samples is not None and header.num_samples > longest + 1:
        raise LoadError(f"corrupt code stream: {frames} frames cannot hold {header.num_samples} samples")
