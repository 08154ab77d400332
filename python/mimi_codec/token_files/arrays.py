"""The arrays of `.safetensors`, `.npz` and `.npy` files, read without trust in what the files say of themselves.

Nothing is unpacked that is not asked for, and no more than a multiple of the file's own size.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from .._text import shortened, shown
from ..errors import LoadError

__all__ = ["Member", "members_of_npz", "npy", "safetensors", "strings"]

AnyArray: TypeAlias = npt.NDArray[Any]

INTEGERS = {
    "U8": "<u1",
    "I8": "<i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
}
# Codes use 11 bits of the 16 to 64 that hold them, so honest archives are packed to a sixth at best; long silence packs
# better, and is still short: 64 MiB hold some 90 hours of 8 codebooks in 16 bits.
MOST_TIMES_PACKED = 16
ALWAYS_UNPACKED = 1 << 26
NPY = ".npy"


def safetensors(data: bytes) -> tuple[dict[str, AnyArray], dict[str, str], list[str]]:
    """The arrays of integers by name, the metadata, and the names of all tensors. Raises `LoadError`."""
    metadata, entries = _core.safetensors_entries(data)
    arrays = {}
    for name, kind, shape, first, last in entries:
        if kind in INTEGERS:
            try:
                arrays[name] = np.frombuffer(data[first:last], INTEGERS[kind]).reshape(shape)
            except ValueError as error:  # more dimensions than NumPy has, or sizes that overflow beside a 0
                raise LoadError(f"not a token file: the shape of {shown(name)} cannot be: {error}") from error
    return arrays, metadata, [entry[0] for entry in entries]


class Member:
    """An array in an `.npz` file, unpacked when asked for."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> None:
        self._archive, self._info, self._most = archive, info, most

    def read(self) -> AnyArray:
        """The array. Raises `LoadError`."""
        name = shortened(self._info.filename)
        if self._info.file_size > self._most:
            raise LoadError(f"not a token file: {name} unpacks to more than {self._most} bytes, far more than codes do")
        try:
            data = self._archive.read(self._info)  # at most as much as the archive says
        except Exception as error:  # a damaged archive raises a dozen kinds, from zipfile, zlib and others
            raise LoadError(f"not a token file: {name} cannot be unpacked: {shortened(str(error))}") from error
        return npy(data)


def members_of_npz(data: bytes) -> dict[str, Member]:
    """The arrays of an `.npz` file by name, not yet unpacked. Raises `LoadError`."""
    most = max(ALWAYS_UNPACKED, MOST_TIMES_PACKED * len(data))
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:  # as above
        raise LoadError(f"not a token file: it is not a whole .npz archive: {shortened(str(error))}") from error
    infos = [info for info in archive.infolist() if info.filename.endswith(NPY)]
    return {info.filename.removesuffix(NPY): Member(archive, info, most) for info in infos}


def npy(data: bytes) -> AnyArray:
    """The content of an `.npy` file as an array of its type. Raises `LoadError` where it is not whole."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, by_columns, kind = read(stream)
        wanted, held = math.prod(shape) * kind.itemsize, len(data) - stream.tell()
        if kind.hasobject or not kind.itemsize or min(shape, default=0) < 0 or wanted != held:
            raise ValueError(f"{kind} of shape {shape} does not take {held} bytes")
        flat = np.frombuffer(data, kind, math.prod(shape), stream.tell())
        return flat.reshape(shape, order="F" if by_columns else "C")
    except Exception as error:  # the header is in Python's syntax: reading it may raise whatever that does
        raise LoadError(f"not a token file: it is not a whole .npy array: {shortened(str(error))}") from error


def strings(members: Mapping[str, Member], names: Iterable[str]) -> dict[str, str]:
    """The members of no dimensions among those named, as text."""
    found = {name: members[name].read() for name in names if name in members}
    return {name: _text(name, array) for name, array in found.items() if array.ndim == 0}


def _text(name: str, array: AnyArray) -> str:
    """NumPy's own `str` lets some of what is not Unicode through, and fails in its own way for the rest."""
    if array.dtype.kind != "U":
        return str(array)
    points = array.astype(array.dtype.newbyteorder("<")).tobytes()
    try:
        return points.decode("utf-32-le").rstrip("\0")
    except UnicodeDecodeError as error:
        raise LoadError(f"not a token file: {name} is not text: {shortened(str(error))}") from error
