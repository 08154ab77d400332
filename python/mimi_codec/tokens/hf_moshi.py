"""Transformers' form of Moshi's delays: a pattern as long as the whole generation, with -1 where a code is to come.

It is the delayed matrix of `matrix` without the initial column, for the codebooks of one speaker, padded at the end of
the rows that are ahead:

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
    """A speaker's codes (B, K, T) to the model's first inputs and to the pattern (B, K, max_length).

    The inputs (B, K, min(T, max_length - max_delay)) are the pattern's first columns. Equals
    `build_delay_pattern_mask` of `MoshiForConditionalGeneration`. Raises `CodesError` for another number of codebooks
    than the model generates, `ConfigError` for a pattern too short to hold a frame.
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
    """Codes (B, K, S) with what the pattern (B, K, >= S) fixes: the model's choice counts only where it says -1."""
    rows, batched = to_codes(codes)
    fixed = to_codes(pattern)[0][..., : rows.shape[2]]
    if fixed.shape != rows.shape:
        raise CodesError(f"the pattern must cover the codes {rows.shape}, got one of {fixed.shape}")
    result = np.where(fixed == TO_COME, rows, fixed)
    return result if batched else result[0]


def undo_pattern(layout: StreamLayout, codes: ArrayInput, pattern: ArrayInput) -> Int64Array:
    """The generated matrix (B, K, S) to codes (B, K, T) for the decoder: initial ids and padding dropped, rows aligned.

    For S = max_length this is what `generate` decodes; a shorter one ends with its last whole frame. Raises
    `CodesError` where rows do not hold the same number of frames, or hold other sentinels.
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
