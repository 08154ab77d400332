"""The `.mimi` files of moshi.cpp: "MIMI", the number of codebooks as i32, then codes as i16 by frame, little-endian.

They say nothing of the model: it is Kyutai's Mimi, and codes are below 2048.
"""

from __future__ import annotations

import struct

import numpy as np

from .._arrays import ArrayInput, Int64Array, to_codes
from ..errors import CodesError, LoadError
from ..tokens.sentinels import refuse_sentinels

__all__ = ["MAGIC", "from_bytes", "to_bytes"]

MAGIC = b"MIMI"
HEADER_BYTES = 8
LARGEST_COUNT = 32  # what moshi.cpp accepts
CODEBOOK_SIZE = 2048


def from_bytes(data: bytes) -> Int64Array:
    """The codes (K, T) of a file. Raises `LoadError` if it is not such a file, was cut off, or holds other values."""
    if not data.startswith(MAGIC):
        raise LoadError(f"not a file of moshi.cpp: expected it to begin with {MAGIC!r}, found {data[:4]!r}")
    if len(data) < HEADER_BYTES:
        raise LoadError(f"truncated .mimi file: the header takes {HEADER_BYTES} bytes, found {len(data)}")
    (count,) = struct.unpack_from("<i", data, len(MAGIC))
    if not 1 <= count <= LARGEST_COUNT:
        raise LoadError(f"corrupt .mimi file: expected between 1 and {LARGEST_COUNT} codebooks, found {count}")
    frames, rest = divmod(len(data) - HEADER_BYTES, 2 * count)
    if rest:
        raise LoadError(f"truncated .mimi file: frames take {2 * count} bytes, found {rest} more after {frames} frames")
    codes = np.frombuffer(data, "<i2", offset=HEADER_BYTES).reshape(frames, count).T.astype(np.int64, order="C")
    try:
        return refuse_sentinels(codes, CODEBOOK_SIZE)
    except CodesError as error:
        raise LoadError(f"corrupt .mimi file: {error}") from error


def to_bytes(codes: ArrayInput) -> bytes:
    """Codes (K, T) as the content of a file. Raises `CodesError` for over 32 codebooks or an id that is not a code."""
    rows, batched = to_codes(codes)
    if batched or not 1 <= rows.shape[1] <= LARGEST_COUNT:
        shape = rows.shape if batched else rows.shape[1:]
        raise CodesError(f"a .mimi file holds codes (K, T) with K between 1 and {LARGEST_COUNT}, got {shape}")
    frames = refuse_sentinels(rows[0], CODEBOOK_SIZE).T
    return MAGIC + struct.pack("<i", rows.shape[1]) + frames.astype("<i2").tobytes()
