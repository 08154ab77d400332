"""The sound files in a tar archive, which are read where they lie."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..audio import AUDIO_SUFFIXES
from ..errors import LoadError
from .sources import Member, Source

SUFFIX = ".tar"


def clips(path: Path) -> Iterator[tuple[str, Source]]:
    """Name and place of each sound file. Raises `LoadError` for what is not a whole archive."""
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                hidden = any(part.startswith(".") for part in name.parts)
                if member.isreg() and not hidden and name.suffix.lower() in AUDIO_SUFFIXES:
                    yield str(name), Member(str(path.absolute()), member.name, member.offset_data, member.size)
    except tarfile.TarError as error:
        raise LoadError(f"{path} is not a whole tar archive without compression: {error}") from error
