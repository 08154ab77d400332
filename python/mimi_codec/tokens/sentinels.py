"""Ids that stand among codes but are not codes. Either they are refused by name, or they are masked."""

from __future__ import annotations

from typing import Literal

import numpy as np

from .._arrays import ArrayInput, BoolArray, Int64Array, to_codes
from ..errors import CodesError, ConfigError

__all__ = ["mask_sentinels", "refuse_sentinels", "sentinel_names"]

Policy = Literal["refuse", "mask"]

ZERO = -1
UNGENERATED = -2
UNGENERATED_U32 = 2**32 - 1


def sentinel_names(card: int = 2048) -> dict[int, str]:
    """The known ids that are not codes, with what they mean.

    Args:
        card: the codebook size of the codec; codes are below it.

    Returns:
        The meaning of each id.

    Example:
        >>> from mimi_codec.tokens import sentinel_names
        >>> sentinel_names(2048)[2050]
        'padding of CSM'
    """
    return {
        ZERO: "zero: its embedding is zero, never sampled",
        UNGENERATED: "ungenerated",
        UNGENERATED_U32: "ungenerated in Rust",
        card: "initial, padding or end of input; unused by CSM",
        card + 1: "unused by CSM",
        card + 2: "padding of CSM",
    }


def refuse_sentinels(codes: ArrayInput, card: int = 2048) -> Int64Array:
    """Check that all ids are codes.

    Args:
        codes: ids (K, T) or (B, K, T), of any integer type.
        card: the codebook size of the codec; codes are below it.

    Returns:
        The same codes as int64.

    Raises:
        CodesError: an id is not a code. The message names the sentinel and where it is.
        InputTypeError: the input is not an array of integers.

    Example:
        >>> from mimi_codec.tokens import refuse_sentinels
        >>> refuse_sentinels([[5, 2048]])
        Traceback (most recent call last):
        mimi_codec.errors.CodesError: the decoder cannot take 2048 (initial, padding or ...
    """
    rows, batched = to_codes(codes)
    outside = _outside(rows, card)
    if outside.any():
        item, row, frame = (int(index) for index in np.argwhere(outside)[0])
        code = int(rows[item, row, frame])
        where = f"codebook {row} of frame {frame}" + (f" of row {item}" if batched else "")
        raise CodesError(f"the decoder cannot take {code} ({sentinel_names(card)[code]}) at {where}")
    return rows if batched else rows[0]


def mask_sentinels(codes: ArrayInput, card: int = 2048, fill: int = 0) -> tuple[Int64Array, BoolArray]:
    """Replace each sentinel by a code, and say which frames had none.

    A frame that had one can be decoded, but not to what the model meant. Drop it, or silence its audio.

    Args:
        codes: ids (K, T) or (B, K, T), of any integer type.
        card: the codebook size of the codec; codes are below it.
        fill: the code that takes the place of a sentinel.

    Returns:
        The codes as int64, in the same shape, and a bool array (T,) or (B, T), True for frames without a sentinel.

    Raises:
        CodesError: an id is neither a code nor a sentinel.
        ConfigError: `fill` is not a code.
        InputTypeError: the input is not an array of integers.

    Example:
        >>> from mimi_codec.tokens import mask_sentinels
        >>> codes, valid = mask_sentinels([[5, 2048], [7, 7]])
        >>> codes[:, valid].tolist()
        [[5], [7]]
    """
    if not 0 <= fill < card:
        raise ConfigError(f"fill must be a code between 0 and {card - 1}, got {fill}")
    rows, batched = to_codes(codes)
    outside = _outside(rows, card)
    masked: Int64Array = np.where(outside, np.int64(fill), rows)
    valid: BoolArray = np.logical_not(np.any(outside, axis=1))
    return (masked, valid) if batched else (masked[0], valid[0])


def check_policy(policy: str) -> None:
    """Raise `ConfigError` for a choice that is neither "refuse" nor "mask"."""
    if policy not in ("refuse", "mask"):
        raise ConfigError(f"sentinels must be 'refuse' or 'mask', got {policy!r}")


def apply_policy(codes: Int64Array, card: int, policy: Policy) -> tuple[Int64Array, BoolArray]:
    """Codes (B, K, T) for the decoder, and which frames are as the model meant them: (B, T)."""
    check_policy(policy)
    if policy == "refuse":
        codes = refuse_sentinels(codes, card)
        return codes, np.ones((codes.shape[0], codes.shape[2]), np.bool_)
    return mask_sentinels(codes, card)


def _outside(rows: Int64Array, card: int) -> BoolArray:
    """Where the sentinels are in (B, K, T). An id that is neither a code nor a sentinel is an error."""
    outside = (rows < 0) | (rows >= card)
    found = rows[outside]
    unknown = found[~np.isin(found, list(sentinel_names(card)))]
    if unknown.size:
        raise CodesError(f"codes must be between 0 and {card - 1}, got {int(unknown[0])}")
    return outside
