"""Where the bytes of a sound file come from: paths, bytes and file objects, seen as one window that can be searched."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

from ..errors import AudioError, InputTypeError

PIECE = 1 << 20


class Readable(Protocol):
    """All that a file object needs: `read`, which may give fewer bytes than asked for."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


AudioFile: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Readable


class Window(io.RawIOBase):
    """A part of a file as a file of its own, with some bytes replaced and zeros behind it where asked for.

    Decoders call it from C, where an exception would be printed and forgotten: it is kept, and `check` raises it.
    """

    def __init__(
        self, file: BinaryIO, start: int, end: int, patches: Mapping[int, bytes] | None = None, zeros: int = 0
    ) -> None:
        super().__init__()
        self._file, self._start = file, start
        self._patches = dict(patches or {})
        self._zeros = zeros
        self._position = 0
        self._error: BaseException | None = None
        self.size = max(0, end - start)

    def part(
        self, start: int, end: int | None = None, patches: Mapping[int, bytes] | None = None, zeros: int = 0
    ) -> Window:
        """The bytes from `start` to `end` of this window; `patches` count from `start` and replace older ones."""
        end = self.size if end is None else min(end, self.size)
        kept = {offset - start: data for offset, data in self._patches.items() if offset >= start}
        return Window(self._file, self._start + start, self._start + end, {**kept, **(patches or {})}, zeros)

    def read_at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer at the end."""
        buffer = bytearray(max(0, min(size, self.size - offset)))
        return bytes(buffer[: self._fill(offset, memoryview(buffer))])

    def check(self) -> None:
        """Raise the error, if there was one, of a read that a decoder asked for."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Bytes from the beginning of the window."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """As for any file."""
        base = (0, self._position, self.size + self._zeros)[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        """As for any file, but errors come by `check`."""
        try:
            count = self._fill(self._position, memoryview(buffer).cast("B"))
        except BaseException as error:  # Ctrl-C too
            self._error = error
            return 0
        self._position += count
        return count

    def _fill(self, offset: int, view: memoryview) -> int:
        wanted = max(0, min(len(view), self.size - offset))
        self._file.seek(self._start + offset)
        filled = 0
        while filled < wanted:
            data = self._file.read(wanted - filled)
            if not data:
                return filled
            view[filled : filled + len(data)] = data
            filled += len(data)
        for place, patch in self._patches.items():
            first, last = max(place, offset), min(place + len(patch), offset + filled)
            if first < last:
                view[first - offset : last - offset] = patch[first - place : last - place]
        zeros = max(0, min(len(view), self.size + self._zeros - offset) - filled)
        view[filled : filled + zeros] = bytes(zeros)
        return filled + zeros


@contextmanager
def opened(file: AudioFile) -> Iterator[tuple[Window, str]]:
    """All bytes of `file` from where it stands, and a name for messages.

    Raises:
        InputTypeError: it is not a path, bytes or a binary file object.
        OSError: it cannot be opened or read.
    """
    if isinstance(file, (str, os.PathLike)):
        name = os.fspath(file)
        try:
            handle = open(file, "rb")  # noqa: SIM115
        except ValueError as error:  # a null character
            raise AudioError(f"{name!r} is not the path of a file: {error}") from error
        with handle:
            regular = stat.S_ISREG(os.fstat(handle.fileno()).st_mode)
            yield _whole(handle if regular else io.BytesIO(read_all(handle))), str(Path(name))
    elif isinstance(file, (bytes, bytearray, memoryview)):
        yield _whole(io.BytesIO(file)), "the bytes"
    elif isinstance(file, Window):
        yield file, "the file"
    elif callable(getattr(file, "read", None)):
        given = getattr(file, "name", None)
        yield (
            _whole(io.BytesIO(read_all(file))),
            str(Path(given)) if isinstance(given, str) and given else "the stream",
        )
    else:
        hint = "; of a row of a data set, pass row['bytes'] or row['path']" if isinstance(file, dict) else ""
        raise InputTypeError(
            f"file must be a path, bytes with the content of a sound file, or a binary file object, "
            f"got {type(file).__name__}{hint}"
        )


def read_all(file: Readable) -> bytes:
    """Everything up to the end, however few bytes each read gives."""
    pieces: list[bytes] = []
    while True:
        piece: Any = file.read(PIECE)
        if piece is None:
            raise AudioError("the stream had no data when it was read; pass one that waits for data")
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            hint = "; open it in binary mode" if isinstance(piece, str) else ""
            raise InputTypeError(f"read() of a file must return bytes, got {type(piece).__name__}{hint}")
        if not piece:
            return b"".join(pieces)
        pieces.append(bytes(piece))


def _whole(file: BinaryIO) -> Window:
    return Window(file, 0, file.seek(0, os.SEEK_END))
