"""Frames on their way into a shard: on disk, in the order in which they come, so that memory does not grow."""

from __future__ import annotations

import mmap
import tempfile
import threading
from pathlib import Path

import numpy as np

from .._arrays import AnyArray
from .rows import Content

PIECE = 1 << 20  # bytes that are gathered before they are written


class Spool:
    """An unnamed file beside the shards, which is gone when the process is. Any number of threads may add to it."""

    def __init__(self, directory: Path, content: Content) -> None:
        self.content, self._directory = content, directory
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115
        self._lock = threading.Lock()
        self._size = 0

    def add(self, frames: AnyArray) -> tuple[int, tuple[int, ...]]:
        """Where the frames now lie, and their shape."""
        with self._lock:
            place = self._size
            left = np.ascontiguousarray(frames).data.cast("B") if frames.size else memoryview(b"")
            try:
                while left:
                    left = left[self._file.write(left) :]
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self._directory)) from error
            self._size += frames.nbytes
        return place, frames.shape

    def map(self) -> SpoolMap:
        """All that was added, to be read."""
        return SpoolMap(self._file.fileno(), self._size, self.content)

    def close(self) -> None:
        """Give up the file."""
        self._file.close()


class SpoolMap:
    """The content of a spool."""

    def __init__(self, handle: int, size: int, content: Content) -> None:
        self._data = mmap.mmap(handle, size, access=mmap.ACCESS_READ) if size else b""
        self._content = content

    def frames(self, places: list[tuple[int, tuple[int, ...]]]) -> AnyArray:
        """The frames that lie at these places, one behind the other."""
        pieces = [
            np.frombuffer(self._data, self._content.dtype, int(np.prod(shape)), place).reshape(shape)
            if all(shape)
            else np.empty(shape, self._content.dtype)
            for place, shape in places
        ]
        return self._content.joined(pieces) if pieces else np.empty(self._content.shape(0), self._content.dtype)


class Written:
    """The frames of one clip on their way into the spool."""

    def __init__(self, spool: Spool) -> None:
        self.places: list[tuple[int, tuple[int, ...]]] = []
        self.frames = 0
        self._spool, self._waiting, self._bytes = spool, list[AnyArray](), 0

    def add(self, frames: AnyArray) -> None:
        """Frames (K, m) or (D, m), as a stream gives them."""
        self.frames += frames.shape[1]
        stored = self._spool.content.stored(frames)
        self._waiting.append(stored)
        self._bytes += stored.nbytes
        if self._bytes >= PIECE:
            self.end()

    def end(self) -> None:
        """There are no more, or enough to be written."""
        if self._waiting:
            self.places.append(self._spool.add(self._spool.content.joined(self._waiting)))
            self._waiting, self._bytes = [], 0
