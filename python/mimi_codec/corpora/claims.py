"""Claims: a shard that one process works on is left alone by the others, until it is done or the process has ended."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Claim:
    """The right to make a file. It ends with the process, however that ends.

    Claims save work and decide nothing: where a system cannot lock files, two processes may make one shard, and the
    first to commit it wins.
    """

    def __init__(self, path: Path, handle: int, *, sole: bool) -> None:
        self._path, self._handle = path, handle
        self.sole = sole
        """Whether no other process can have it too: the system has locks."""

    @classmethod
    def take(cls, target: Path) -> Claim | None:
        """The claim of a file; None if another process has it."""
        path = target.with_name(f".{target.name}.claim")
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            if fcntl is not None:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(handle)
                    return None
                except OSError:  # a file system that has no locks
                    return cls(path, handle, sole=False)
                if not _is_at(handle, path):  # its last holder took it away after it was opened here
                    os.close(handle)
                    continue
            return cls(path, handle, sole=fcntl is not None)

    def release(self) -> None:
        """Give it back."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        os.close(self._handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(handle)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
