"""Writing packed streams: frame by frame, to anything that takes bytes."""

from __future__ import annotations

import struct
import zlib
from types import TracebackType
from typing import BinaryIO

import numpy as np

from .._arrays import ArrayInput, Int64Array, to_codes
from ..errors import CodesError, StreamError
from ..tokens.sentinels import refuse_sentinels
from .packed import BLOCK_FRAMES, BitArray, PackedHeader, begin_check, encode_frames

__all__ = ["PackedWriter"]


class PackedWriter:
    """Writes a stream frame by frame to an open binary file, a pipe or the file of a socket. `close` ends the stream.

    Frames are written as soon as their bytes are complete. The file itself stays open. If an exception leaves the
    `with` block, the stream is not ended, so that readers see that it was cut off.

    Args:
        file: where to write.
        header: what the stream says of itself.

    Example:
        >>> import io, numpy as np
        >>> from mimi_codec.token_files import PackedHeader, PackedWriter
        >>> file = io.BytesIO()
        >>> with PackedWriter(file, PackedHeader(num_codebooks=8)) as writer:
        ...     writer.write(np.zeros((8, 100), np.int64))
        >>> len(file.getvalue()) < 1400
        True
    """

    def __init__(self, file: BinaryIO, header: PackedHeader) -> None:
        self._file, self._header = file, header
        self._frames = 0
        self._rest: BitArray = np.zeros(0, np.uint8)  # bits of a byte that is not yet whole
        self._closed = False
        file.write(header.to_bytes())
        self._check = begin_check(self._frames)

    @property
    def header(self) -> PackedHeader:
        """What was written before the frames."""
        return self._header

    @property
    def num_frames(self) -> int:
        """Frames that were written so far."""
        return self._frames

    def write(self, codes: ArrayInput) -> None:
        """Append frames.

        Args:
            codes: (K, m), of any integer type.

        Raises:
            CodesError: another K, or an id that is not a code.
            InputTypeError: the input is not an array of integers.
            StreamError: the stream was closed before.
        """
        if self._closed:
            raise StreamError("the code stream is closed")
        rows, batched = to_codes(codes)
        if batched or rows.shape[1] != self._header.num_codebooks:
            shape = rows.shape if batched else rows.shape[1:]
            raise CodesError(f"expected codes of shape ({self._header.num_codebooks}, m), got {shape}")
        frames = refuse_sentinels(rows[0], self._header.codebook_size).T
        while len(frames):
            room = BLOCK_FRAMES - self._frames % BLOCK_FRAMES
            self._append(frames[:room])
            frames = frames[room:]

    def close(self) -> None:
        """End the stream. A second call does nothing."""
        if not self._closed:
            self._end_block()
            self._closed = True

    def _end_block(self) -> None:
        self._emit(self._rest)
        self._rest = self._rest[:0]
        self._file.write(struct.pack("<I", self._check))

    def _append(self, frames: Int64Array) -> None:
        self._rest = np.concatenate([self._rest, encode_frames(self._header, frames)])
        whole = len(self._rest) // 8 * 8
        self._emit(self._rest[:whole])
        self._rest = self._rest[whole:]
        self._frames += len(frames)
        if self._frames % BLOCK_FRAMES == 0:
            self._end_block()
            self._check = begin_check(self._frames)

    def _emit(self, part: BitArray) -> None:
        data = np.packbits(part, bitorder="little").tobytes()
        self._check = zlib.crc32(data, self._check)
        self._file.write(data)

    def __enter__(self) -> PackedWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
