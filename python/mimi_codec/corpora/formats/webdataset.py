"""Tar files as WebDataset reads them: KEY.codes.npy or KEY.latents.npy, and KEY.json with what is known of the clip.

The plan and the failures are in the first file of a shard, whose name readers of such archives pass over.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import LoadError
from ..rows import FIELDS, Row, ShardRows
from .base import Format, Head, text
from .names import key

HEAD = "__mimi_codec__"


class WebDataset(Format):
    """Needs no other package."""

    suffix = ".tar"

    def write(self, file: BinaryIO, rows: ShardRows, head: Head, root: Path) -> None:
        """Write a shard."""
        content = head.plan.what
        failures = [row.facts() for row in rows.without_frames if row.error is not None]
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            _add(archive, HEAD, text({**head.as_dict(), "failures": failures}).encode())
            for row in rows:
                if row.frames is None:
                    continue
                array = io.BytesIO()
                np.save(array, row.frames)
                name = key(row, dots=False)
                _add(archive, f"{name}.{content.name}.npy", array.getvalue())
                _add(archive, f"{name}.json", text(row.facts()).encode())

    def read(self, path: Path) -> Iterator[Row]:
        """The rows of a shard."""
        rows: list[Row] = []
        with _opened(path) as archive:
            head = _head(archive, path)
            content = Head.of_dict(head, path).plan.what
            rows += [Row(**{name: failure[name] for name in FIELDS}) for failure in head["failures"]]
            frames = None
            for member in archive:
                data = archive.extractfile(member)
                if data is None or member.name == HEAD:
                    continue
                if member.name.endswith(f".{content.name}.npy"):
                    frames = np.load(io.BytesIO(data.read()), allow_pickle=False)
                elif member.name.endswith(".json"):
                    rows.append(replace(Row(**json.load(data)), frames=frames))
        yield from sorted(rows, key=lambda row: (row.id, row.channel or 0))

    def head(self, path: Path) -> Head:
        """What a shard says of itself."""
        with _opened(path) as archive:
            return Head.of_dict(_head(archive, path), path)


def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:")
    except tarfile.TarError as error:
        raise LoadError(f"{path} is not a tar archive: {error}") from error


def _head(archive: tarfile.TarFile, path: Path) -> Any:
    first = archive.next()
    data = archive.extractfile(first) if first is not None and first.name == HEAD else None
    if data is None:
        raise LoadError(f"{path} is not a shard of tokens: it does not begin with {HEAD}")
    return json.load(data)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)  # of no time and nobody: the same clips give the same bytes
    info.size, info.mode = len(data), 0o644
    archive.addfile(info, io.BytesIO(data))
