"""Files that appear whole or not at all, also when the process or the machine ends in the middle."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

Write = Callable[[BinaryIO], Any]

# What systems say that have no hard links
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
PART = ".part"


def create(target: Path, write: Write) -> None:
    """Make a file that is not there.

    Raises:
        FileExistsError: another process has made it in the meantime; it is untouched.
        OSError: it cannot be written.
    """
    _committed(target, write, _link)


def replace(target: Path, write: Write, *, part_of: Path | None = None) -> None:
    """Make a file, in the place of one that may be there. `part_of` is the unfinished file that it belongs to.

    Raises:
        OSError: it cannot be written; what was there is untouched.
    """
    _committed(target, write, os.replace, part_of)


def unfinished(target: Path) -> list[Path]:
    """What processes that ended in the middle have left of a file."""
    return list(target.parent.glob(f".{target.name}.*{PART}"))


def _committed(target: Path, write: Write, name: Callable[[Path, Path], None], part_of: Path | None = None) -> None:
    mark = f"{os.getpid()}-{secrets.token_hex(4)}{PART}"
    temporary = part_of.with_name(f"{part_of.name}.{mark}") if part_of else target.with_name(f".{target.name}.{mark}")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        name(temporary, target)
        sync_directory(target.parent)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # the disk is full: say where
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _link(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        os.replace(temporary, target)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory last, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
