"""Output files: they appear under their names only once they are complete."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import MimiError
from .console import binary_output

STREAMS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/")


class OutputError(OSError):
    """What cannot be written, by name: it is not the input's fault."""

    def __init__(self, target: Path, error: OSError) -> None:
        super().__init__(f"cannot write {target}: {error.strerror or error}")


def is_stream(target: Path) -> bool:
    """Whether a path is written to as it is: a FIFO, a device, a socket. Nothing there can be kept or replaced."""
    if str(target).startswith(STREAMS):
        return True
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_place(directory: Path) -> None:
    """Raise `OutputError` if files cannot be made in a directory, which may not be there yet."""
    for place in (directory, *directory.parents):
        if place.is_dir():
            if os.access(place, os.W_OK | os.X_OK):
                return
            raise OutputError(directory, PermissionError(0, f"{place} is not writable"))
        if place.exists() or place.is_symlink():
            raise OutputError(directory, NotADirectoryError(0, f"{place} is not a directory"))


@contextmanager
def writing(target: Path | None) -> Iterator[BinaryIO]:
    """The file to write to; None stands for the standard output.

    Links are written through. Raises `OutputError` for whatever goes wrong with the file, `BrokenPipeError` if the
    reader of the standard output has gone.
    """
    if target is None:
        with binary_output() as file:
            yield file
        return
    try:
        if is_stream(target):
            with open(target, "wb") as file:
                yield file
        else:
            real = Path(os.path.realpath(target))
            if real.is_symlink():
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            with _replacing(real) as file:
                yield file
    except OSError as error:
        if isinstance(error, MimiError | OutputError):
            raise
        raise OutputError(target, error) from error


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """A file beside the target that takes its place in the end, with its permissions if it was there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".mimi-{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with open(unfinished, "xb") as file:
            yield file
        with contextlib.suppress(OSError):
            os.chmod(unfinished, stat.S_IMODE(target.stat().st_mode))
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
