"""Writing the safetensors format: an 8-byte length, a JSON header, the data. The extension reads it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

NAMES = {np.dtype("<u2"): "U16", np.dtype("<u4"): "U32", np.dtype("<f4"): "F32"}
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
    little = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    file.write(header({name: (NAMES[a.dtype], a.shape, a.nbytes) for name, a in little.items()}, metadata))
    for array in little.values():
        file.write(array.tobytes())
