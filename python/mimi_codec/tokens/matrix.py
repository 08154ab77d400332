"""Whole sequences: rows of codes, and the delayed matrix on which a language model is trained, both ways.

Column 0 of the matrix holds the initial ids. Column P of a row with delay d holds frame P - 1 - d, and the initial id
where there is no such frame yet. moshi's `LMModel.forward` makes the same of its codes.
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
    """The rows of a model taken apart, without the batch dimension if the input had none.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import MOSHI_7B, split_rows
        >>> split_rows(MOSHI_7B, np.zeros((17, 50), np.int64)).user.shape
        (8, 50)
    """

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
    """Put the text, the codes of the model's voice and those of the user into rows, undelayed.

    All of them may come without the batch dimension. If there are more codebooks than rows, the first ones are taken.

    Args:
        layout: the rows of the model.
        generated: codes (B, G, T) of the model's voice; may be None if the layout has no such rows.
        user: codes (B, U, T) of the user; may be None if the layout has no such rows.
        text: text tokens (B, T); None means padding.

    Returns:
        Rows (B, K, T) or (K, T), int64.

    Raises:
        CodesError: a voice is missing, has too few codebooks, or the shapes do not fit together, or a text id is wrong.
        InputTypeError: an input is not an array of integers.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import MOSHI_7B, merge_rows
        >>> voice = np.zeros((8, 50), np.int64)
        >>> merge_rows(MOSHI_7B, voice, voice).shape
        (17, 50)
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
    """Take rows apart: the reverse of `merge_rows`.

    Args:
        layout: the rows of the model.
        codes: rows (B, K, T) or (K, T).

    Returns:
        The text, the codes of the model's voice and those of the user.

    Raises:
        CodesError: another number of rows than the layout has.
        InputTypeError: the input is not an array of integers.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import MOSHI_7B, split_rows
        >>> split_rows(MOSHI_7B, np.zeros((17, 50), np.int64)).generated.shape
        (8, 50)
    """
    rows, batched = layout_rows(layout, codes)
    parts = Rows(rows[:, 0], rows[:, layout.generated_rows], rows[:, layout.user_rows])
    return parts if batched else Rows(*(part[0] for part in parts))


def delay(layout: StreamLayout, codes: ArrayInput, *, extend: bool = False) -> Int64Array:
    """Rows to the delayed matrix, which lacks the last codes of delayed rows.

    Args:
        layout: the rows of the model, with their delays.
        codes: rows (B, K, T) or (K, T).
        extend: add `max_delay` columns, so that nothing is lost. After a row's last frame they hold `zero_id`.

    Returns:
        The matrix (B, K, T + 1) or (K, T + 1), int64; with `extend` it has `max_delay` columns more.

    Raises:
        CodesError: another number of rows than the layout has.
        InputTypeError: the input is not an array of integers.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import MOSHI_7B, delay
        >>> delay(MOSHI_7B, np.zeros((17, 3), np.int64))[2].tolist()  # a row that is one step late
        [2048, 2048, 0, 0]
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
    """The delayed matrix to rows: the reverse of `delay`.

    Args:
        layout: the rows of the model, with their delays.
        matrix: the delayed matrix (B, K, T + 1) or (K, T + 1).
        extended: whether `delay` extended the matrix; then nothing is missing.

    Returns:
        Rows (B, K, T) or (K, T), int64, and a bool array (K, T), True for entries that the matrix holds. The other
        entries, the last `delays[k]` of each row, are `ungenerated_id`.

    Raises:
        CodesError: another number of rows than the layout has, or too few columns.
        InputTypeError: the input is not an array of integers.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import MOSHI_7B, delay, undelay
        >>> rows, valid = undelay(MOSHI_7B, delay(MOSHI_7B, np.zeros((17, 3), np.int64)))
        >>> valid[2].tolist()  # the last code of this row is not in the matrix
        [True, True, False]
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
    """The frame that tells Hibiki that its input has ended. After it push silence until the text ends.

    Args:
        layout: the rows of the model.
        batch_size: B.

    Returns:
        Ids (B, num_user, 1), int64.

    Example:
        >>> from mimi_codec.tokens import HIBIKI_2B, end_of_input
        >>> end_of_input(HIBIKI_2B).shape
        (1, 16, 1)
    """
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
