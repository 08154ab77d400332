"""Whole sequences: rows of codes and the delayed matrix a language model is trained on, both ways.

Column 0 of the matrix holds the initial ids. Column P of a row with delay d holds frame P - 1 - d, and the initial id
where there is no such frame yet. This is what moshi's `LMModel.forward` makes of its codes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arrays import ArrayInput, BoolArray, Int64Array, span, to_codes
from ..errors import CodesError
from ._inputs import to_integers
from .layouts import StreamLayout

__all__ = ["Rows", "delay", "end_of_input", "merge_rows", "split_rows", "undelay"]


class Rows(NamedTuple):
    """The rows of a model apart; without the batch dimension where the input had none."""

    text: Int64Array
    """(B, T)"""
    generated: Int64Array
    """(B, num_generated, T)"""
    user: Int64Array
    """(B, num_user, T)"""


def merge_rows(
    layout: StreamLayout,
    generated: ArrayInput | None = None,
    user: ArrayInput | None = None,
    text: ArrayInput | None = None,
) -> Int64Array:
    """Codes of the model's voice (B, G, T) and the user's (B, U, T), and text (B, T), as rows (B, K, T), undelayed.

    Codes may have more codebooks than the layout has rows: the first ones count. Text that is not given is padding;
    audio is left out only where the layout has no such rows. Without the batch dimension: (G, T), (U, T) and (T,).
    """
    parts = [
        _audio(generated, layout.num_generated, "generated", layout),
        _audio(user, layout.num_user, "user", layout),
        _text(text, layout),
    ]
    given = [part for part in parts if part is not None]
    shapes = {(part[0].shape[0], part[0].shape[2], part[1]) for part in given}
    if len(shapes) != 1:
        found = ", ".join(f"{rows.shape if batched else rows.shape[1:]}" for rows, batched in given) or "nothing"
        raise CodesError(f"rows must have the same batch and number of frames, got shapes {found}")
    ((batch, frames, batched),) = shapes
    merged = np.full((batch, layout.num_rows, frames), layout.text_padding_id, np.int64)
    for part, where in zip(parts, (layout.generated_rows, layout.user_rows, slice(0, 1)), strict=True):
        if part is not None:
            merged[:, where] = part[0]
    return merged if batched else merged[0]


def split_rows(layout: StreamLayout, codes: ArrayInput) -> Rows:
    """Rows (B, K, T) or (K, T) apart: the reverse of `merge_rows`."""
    rows, batched = layout_rows(layout, codes)
    parts = Rows(rows[:, 0], rows[:, layout.generated_rows], rows[:, layout.user_rows])
    return parts if batched else Rows(*(part[0] for part in parts))


def delay(layout: StreamLayout, codes: ArrayInput, *, extend: bool = False) -> Int64Array:
    """Rows (B, K, T) to the delayed matrix (B, K, T + 1), which lacks the last codes of delayed rows.

    `extend=True` adds `max_delay` columns so that nothing is lost; what follows a row's last frame there is `zero_id`.
    Without the batch dimension: (K, T) to (K, T + 1).
    """
    rows, batched = layout_rows(layout, codes)
    batch, count, frames = rows.shape
    columns = frames + 1 + (layout.max_delay if extend else 0)
    matrix = np.full((batch, count, columns), layout.zero_id, np.int64)
    for row, (late, initial) in enumerate(zip(layout.delays, layout.initial_ids(), strict=True)):
        matrix[:, row, : 1 + late] = initial
        kept = max(0, min(frames, columns - 1 - late))
        matrix[:, row, 1 + late : 1 + late + kept] = rows[:, row, :kept]
    return matrix if batched else matrix[0]


def undelay(layout: StreamLayout, matrix: ArrayInput, *, extended: bool = False) -> tuple[Int64Array, BoolArray]:
    """The delayed matrix (B, K, T + 1) to rows (B, K, T), and which of their entries the matrix holds: (K, T).

    The others, the last `delays[k]` of each row, are `ungenerated_id`. `extended=True` is for matrices that `delay`
    extended: nothing is missing. Without the batch dimension: (K, T + 1) to (K, T).
    """
    delayed, batched = layout_rows(layout, matrix)
    batch, count, columns = delayed.shape
    frames = columns - 1 - (layout.max_delay if extended else 0)
    if frames < 0:
        extra = f" and {layout.max_delay} at the end" if extended else ""
        raise CodesError(f"a delayed matrix has an initial column{extra}, got {columns} columns")
    rows = np.full((batch, count, frames), layout.ungenerated_id, np.int64)
    valid = np.zeros((count, frames), np.bool_)
    for row, late in enumerate(layout.delays):
        held = max(0, min(frames, columns - 1 - late))
        rows[:, row, :held] = delayed[:, row, 1 + late : 1 + late + held]
        valid[row, :held] = True
    return (rows if batched else rows[0]), valid


def end_of_input(layout: StreamLayout, batch_size: int = 1) -> Int64Array:
    """(B, num_user, 1): the frame that tells Hibiki its input is over. Silence follows it until the text ends."""
    return np.full((batch_size, layout.num_user, 1), layout.initial_id, np.int64)


def layout_rows(layout: StreamLayout, codes: ArrayInput) -> tuple[Int64Array, bool]:
    """Rows as int64 (B, K, T), and whether there was a batch dimension. Raises `CodesError` for another K."""
    rows, batched = to_codes(codes)
    if rows.shape[1] != layout.num_rows:
        shape = rows.shape if batched else rows.shape[1:]
        raise CodesError(f"{layout.name} has {layout.num_rows} rows, got codes of shape {shape}")
    return rows, batched


def _audio(codes: ArrayInput | None, wanted: int, what: str, layout: StreamLayout) -> tuple[Int64Array, bool] | None:
    if codes is None:
        if wanted:
            raise CodesError(f"{layout.name} has {wanted} {what} audio rows, got no codes for them")
        return None
    rows, batched = to_codes(codes)
    if rows.shape[1] < wanted:
        raise CodesError(f"{layout.name} has {wanted} {what} audio rows, got {rows.shape[1]} codebooks")
    return rows[:, :wanted], batched


def _text(text: ArrayInput | None, layout: StreamLayout) -> tuple[Int64Array, bool] | None:
    if text is None:
        return None
    tokens = to_integers(text, "text")
    if tokens.ndim not in (1, 2):
        raise CodesError(f"text must have shape (T,) or (B, T), got {tokens.shape}")
    rows, batched = to_codes(tokens[..., np.newaxis, :])
    if rows.size and not (rows.min() >= layout.ungenerated_id and rows.max() <= layout.largest_text_id):
        allowed = f"between 0 and {layout.largest_text_id}"
        raise CodesError(f"text ids of {layout.name} must be {allowed}, got {span(rows)}")
    return rows, batched
