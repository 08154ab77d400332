"""Integers of a fixed number of bits without gaps: value i takes bits i * width and up, least significant first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arrays import Int64Array

__all__ = ["pack", "unpack"]


def pack(values: Int64Array, width: int) -> npt.NDArray[np.uint8]:
    """Values (n,) of at least 0 and below `2**width`, width <= 32, as (n * width,) bits, each a byte of 0 or 1."""
    raw = values.astype("<u4").view(np.uint8).reshape(-1, 4)
    return np.unpackbits(raw, axis=1, count=width, bitorder="little").reshape(-1)


def unpack(bits: npt.NDArray[np.uint8], width: int) -> Int64Array:
    """The reverse of `pack`: (n * width,) bits as values (n,)."""
    wide = np.zeros((len(bits) // width, 32), np.uint8)
    wide[:, :width] = bits.reshape(-1, width)
    return np.packbits(wide, axis=1, bitorder="little").view("<u4").reshape(-1).astype(np.int64)
