"""The safetensors format with NumPy alone: an 8-byte length, a JSON header, the data.

For token files and synthetic weights. Models are read by the extension.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .errors import LoadError

NAMES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype("<u1"),
    "U16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
}
LARGEST_HEADER = 100_000_000  # the limit of the format's reference implementation
ALIGNMENT = 8


def header(tensors: Mapping[str, tuple[str, tuple[int, ...], int]], metadata: Mapping[str, str]) -> bytes:
    """The bytes before the data. `tensors` gives (type, shape, bytes) by name, in the order of the data."""
    fields: dict[str, Any] = {"__metadata__": dict(metadata)}
    start = 0
    for name, (kind, shape, size) in tensors.items():
        fields[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, start + size]}
        start += size
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def write(file: BinaryIO, arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write arrays whose element types are among `NAMES`."""
    kinds = {dtype: kind for kind, dtype in NAMES.items()}
    little = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    file.write(header({name: (kinds[a.dtype], a.shape, a.nbytes) for name, a in little.items()}, metadata))
    for array in little.values():
        file.write(array.tobytes())


def read_header(file: BinaryIO) -> tuple[dict[str, Any], dict[str, str]]:
    """The tensors' entries by name, and the metadata; leaves the file at the data. Raises `LoadError`."""
    prefix = file.read(8)
    size = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
    if not 2 <= size <= LARGEST_HEADER:
        raise LoadError("not a safetensors file: no plausible header length in the first 8 bytes")
    text = file.read(size)
    if len(text) != size:
        raise LoadError(f"truncated safetensors file: the header takes {size} bytes, found {len(text)}")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LoadError(f"not a safetensors file: the header is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise LoadError("not a safetensors file: the header is no JSON object")
    metadata = fields.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise LoadError("not a safetensors file: the metadata are no strings")
    return fields, metadata


def read(data: bytes, entry: Any, names: Iterable[str] = NAMES) -> npt.NDArray[Any]:
    """One array out of the data after the header. Raises `LoadError` for a malformed entry or truncated data."""
    try:
        kind, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        counts = [int(number) for number in (*shape, start, end)]
    except (TypeError, KeyError, ValueError) as error:
        raise LoadError(f"malformed safetensors entry: {entry!r}") from error
    if kind not in names or min(counts) < 0:
        raise LoadError(f"expected a tensor of {', '.join(names)}, found {kind!r} of shape {shape}")
    wanted = NAMES[kind].itemsize
    for size in shape:
        wanted *= int(size)
    if end - start != wanted or end > len(data):
        raise LoadError(f"a tensor of shape {shape} takes {wanted} bytes, found {min(end, len(data)) - start}")
    array: npt.NDArray[Any] = np.frombuffer(data[start:end], NAMES[kind]).reshape(shape)
    return array
