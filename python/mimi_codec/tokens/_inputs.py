"""Integers that callers pass in, of any shape and integer type."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import Int64Array, as_array
from ..errors import CodesError, InputTypeError


def to_integers(value: Any, what: str) -> Int64Array:
    """`value` as int64. Raises `InputTypeError` for another element type, `CodesError` for values over int64."""
    array = as_array(value, what)
    if array.dtype.kind not in "iu":
        raise InputTypeError(f"{what} must be of an integer type, got {array.dtype}")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise CodesError(f"{what} must be below 2**63, got {array.max()}")
    return array.astype(np.int64)
