"""The form of Moshi's delays in Transformers: a pattern as long as the whole generation, with -1 for codes to come.

It is the delayed matrix of `matrix` without the initial column, for the codebooks of one speaker, and padded at the end
of the rows that are ahead:

    a0 a1 -1 -1 -1  P      codebook 0
    B  b0 b1 -1 -1 -1      the others, one step late
"""

from __future__ import annotations

import numpy as np

from .._arrays import ArrayInput, Int64Array, to_codes
from ..errors import CodesError, ConfigError
from .layouts import StreamLayout
from .sentinels import refuse_sentinels

__all__ = ["apply_pattern", "delay_pattern", "undo_pattern"]

TO_COME = -1


def delay_pattern(layout: StreamLayout, codes: ArrayInput, max_length: int) -> tuple[Int64Array, Int64Array]:
    """A speaker's codes to the first inputs of the model and to the pattern.

    It equals `build_delay_pattern_mask` of `MoshiForConditionalGeneration`.

    Args:
        layout: the rows of the model, with their delays.
        codes: (B, K, T) or (K, T), of as many codebooks as the model generates.
        max_length: columns of the pattern.

    Returns:
        The inputs (B, K, min(T, max_length - max_delay)), which are the first columns of the pattern, and the pattern
        (B, K, max_length); both int64, and without B if the codes had none.

    Raises:
        CodesError: another number of codebooks than the model generates.
        ConfigError: `max_length` is too small for a frame.
        InputTypeError: the input is not an array of integers.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import MOSHI_7B, hf_moshi
        >>> inputs, pattern = hf_moshi.delay_pattern(MOSHI_7B, np.zeros((8, 2), np.int64), 4)
        >>> pattern[1].tolist()
        [2048, 0, 0, -1]
    """
    rows, batched = to_codes(codes)
    delays = _delays(layout, rows)
    latest = max(delays, default=0)
    if max_length <= latest:
        raise ConfigError(f"max_length must be above the largest delay, {latest}, got {max_length}")
    kept = min(rows.shape[2], max_length - latest)
    pattern = np.full((*rows.shape[:2], max_length), TO_COME, np.int64)
    for row, late in enumerate(delays):
        pattern[:, row, late : late + kept] = rows[:, row, :kept]
        pattern[:, row, :late] = layout.initial_id
        pattern[:, row, max_length - (latest - late) :] = layout.initial_id
    return (pattern[..., :kept], pattern) if batched else (pattern[0, :, :kept], pattern[0])


def apply_pattern(codes: ArrayInput, pattern: ArrayInput) -> Int64Array:
    """Put what the pattern fixes into codes. A code of the model stays only where the pattern has -1.

    Args:
        codes: (B, K, S) or (K, S).
        pattern: the pattern of `delay_pattern`, of S columns or more.

    Returns:
        The codes, int64, in the same shape.

    Raises:
        CodesError: the pattern is smaller than the codes.
        InputTypeError: an input is not an array of integers.

    Example:
        >>> from mimi_codec.tokens import hf_moshi
        >>> hf_moshi.apply_pattern([[1, 2, 3]], [[2048, -1, -1, 2048]]).tolist()
        [[2048, 2, 3]]
    """
    rows, batched = to_codes(codes)
    fixed = to_codes(pattern)[0][..., : rows.shape[2]]
    if fixed.shape != rows.shape:
        raise CodesError(f"the pattern must be as long as the codes {rows.shape}, got a pattern {fixed.shape}")
    result = np.where(fixed == TO_COME, rows, fixed)
    return result if batched else result[0]


def undo_pattern(layout: StreamLayout, codes: ArrayInput, pattern: ArrayInput) -> Int64Array:
    """The generated matrix to codes for the decoder: initial ids and padding are dropped, and the rows are aligned.

    For S = max_length this is what `generate` decodes. A shorter matrix ends with its last whole frame.

    Args:
        layout: the rows of the model, with their delays.
        codes: the generated matrix (B, K, S) or (K, S).
        pattern: the pattern of `delay_pattern`.

    Returns:
        Codes (B, K, T) or (K, T), int64.

    Raises:
        CodesError: rows hold different numbers of frames, or hold other sentinels, or the shapes do not fit.
        InputTypeError: an input is not an array of integers.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import MOSHI_7B, hf_moshi
        >>> _, pattern = hf_moshi.delay_pattern(MOSHI_7B, np.zeros((8, 0), np.int64), 5)
        >>> hf_moshi.undo_pattern(MOSHI_7B, np.full((8, 5), 7), pattern).shape
        (8, 4)
    """
    applied = apply_pattern(codes, pattern)
    rows, batched = to_codes(applied)
    _delays(layout, rows)
    kept = to_codes(pattern)[0][..., : rows.shape[2]] != layout.initial_id
    counts = kept.sum(axis=2)
    frames = counts.min(axis=1) if counts.size else np.zeros(len(rows), np.int64)
    if len(set(frames.tolist())) != 1:
        raise CodesError(f"rows of a batch must hold the same number of frames, got {frames.tolist()}")
    count = int(frames[0])
    aligned = np.array(
        [[row[keep][:count] for row, keep in zip(*item, strict=True)] for item in zip(rows, kept, strict=True)],
        np.int64,
    ).reshape(rows.shape[0], rows.shape[1], count)
    return refuse_sentinels(aligned if batched else aligned[0], layout.card)


def _delays(layout: StreamLayout, rows: Int64Array) -> tuple[int, ...]:
    delays = layout.delays[layout.generated_rows]
    if rows.shape[1] != len(delays):
        raise CodesError(f"{layout.name} generates {len(delays)} codebooks, got {rows.shape[1]}")
    return delays
