"""CSM's frames: a position has 33 columns, for 32 codes of audio or one text token, and a mask of the columns in use.

A clip ends with a frame of zeros in all codebooks. There are no delays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .._arrays import ArrayInput, BoolArray, Int64Array, as_array, span, to_codes
from ..errors import CodesError, ConfigError
from ._inputs import to_integers
from .sentinels import Policy, apply_policy, refuse_sentinels

__all__ = [
    "CSM_1B",
    "Clip",
    "CsmLayout",
    "Frames",
    "Segment",
    "audio_frames",
    "generated_clips",
    "input_ids",
    "join",
    "segments",
    "text_frames",
    "until_end",
]


@dataclass(frozen=True)
class CsmLayout:
    """The columns and ids of a CSM.

    Raises:
        ConfigError: a value is outside its range.

    Example:
        >>> from mimi_codec.tokens import CsmLayout
        >>> CsmLayout().num_columns
        33
    """

    name: str = "csm-1b"
    """A name for messages."""
    num_codebooks: int = 32
    """Codes of a frame."""
    codebook_size: int = 2048
    """Codes are at least 0 and below `codebook_size`."""
    vocab_size: int = 2051
    """Ids of the audio heads: the codes, and three ids that are not codes."""
    padding_id: int = 2050
    """What a finished row of a batch holds in all codebooks (Transformers)."""
    end_id: int = 0
    """The frame that has this code in all codebooks ends a clip."""
    text_vocab_size: int = 128256
    """Text tokens are at least 0 and below it."""
    audio_token_id: int = 128002
    """Stands for one frame of audio in Transformers' `input_ids`."""
    audio_end_token_id: int = 128003
    """Stands for the end frame in Transformers' `input_ids`."""
    sample_rate: int = 24000
    """Samples per second."""
    frame_rate: float = 12.5
    """Frames per second."""

    def __post_init__(self) -> None:
        for name in ("num_codebooks", "codebook_size", "text_vocab_size", "sample_rate", "frame_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.vocab_size < self.codebook_size:
            raise ConfigError(f"vocab_size must be at least {self.codebook_size}, got {self.vocab_size}")
        if not 0 <= self.end_id < self.codebook_size:
            raise ConfigError(f"end_id must be a code between 0 and {self.codebook_size - 1}, got {self.end_id}")

    @property
    def num_columns(self) -> int:
        """Columns of a position: the codebooks and the text."""
        return self.num_codebooks + 1


CSM_1B = CsmLayout()


class Frames(NamedTuple):
    """Positions of a prompt.

    Example:
        >>> from mimi_codec.tokens import csm
        >>> csm.text_frames([128000, 58]).tokens.shape
        (2, 33)
    """

    tokens: Int64Array
    """(T, 33): the codes of a frame, or the text token in the last column; zeros elsewhere."""
    mask: BoolArray
    """(T, 33): which columns are in use."""


class Segment(NamedTuple):
    """Consecutive positions of one kind: text, or the codes of a clip.

    Example:
        >>> from mimi_codec.tokens import csm
        >>> csm.segments(*csm.text_frames([128000, 58]))[0].text.tolist()
        [128000, 58]
    """

    text: Int64Array | None
    """(n,): the text tokens; None for audio."""
    codes: Int64Array | None
    """(K, n): the codes; None for text."""
    ended: bool
    """Whether an end frame closed the codes."""


class Clip(NamedTuple):
    """What a model generated for one row of a batch.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import csm
        >>> csm.generated_clips(np.full((5, 32), 7)).codes.shape
        (32, 5)
    """

    codes: Int64Array
    """(K, T) for the decoder, up to the end frame."""
    valid: BoolArray
    """(T,): False for frames whose ids outside of the codebook were masked."""
    ended: bool
    """Whether an end frame came."""


def audio_frames(codes: ArrayInput, layout: CsmLayout = CSM_1B, *, end: bool = True) -> Frames:
    """The codes of a clip as frames.

    Args:
        codes: (K, T), of at least as many codebooks as the layout has; the first ones are taken.
        layout: the columns and ids of the model.
        end: whether an end frame follows.

    Returns:
        Frames (T + 1, 33), or (T, 33) without an end frame.

    Raises:
        CodesError: too few codebooks, a batch, or an id that is not a code.
        InputTypeError: the input is not an array of integers.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import csm
        >>> csm.audio_frames(np.ones((32, 20), np.int64)).tokens.shape
        (21, 33)
    """
    rows, batched = to_codes(codes)
    if batched:
        raise CodesError(f"audio frames are made of one clip: expected codes (K, T), got {rows.shape}")
    if rows.shape[1] < layout.num_codebooks:
        raise CodesError(f"{layout.name} has {layout.num_codebooks} codebooks, got {rows.shape[1]}")
    clip = refuse_sentinels(rows[0, : layout.num_codebooks], layout.codebook_size)
    positions = clip.shape[1] + end
    tokens = np.zeros((positions, layout.num_columns), np.int64)
    tokens[:, : layout.num_codebooks] = layout.end_id
    tokens[: clip.shape[1], : layout.num_codebooks] = clip.T
    mask = np.ones(tokens.shape, np.bool_)
    mask[:, -1] = False
    return Frames(tokens, mask)


def text_frames(ids: ArrayInput, layout: CsmLayout = CSM_1B) -> Frames:
    """Text tokens as frames.

    Args:
        ids: text tokens (n,).
        layout: the columns and ids of the model.

    Returns:
        Frames (n, 33).

    Raises:
        CodesError: another shape, or an id outside of the vocabulary.
        InputTypeError: the input is not an array of integers.

    Example:
        >>> from mimi_codec.tokens import csm
        >>> csm.text_frames([128000, 58]).tokens[:, -1].tolist()
        [128000, 58]
    """
    text = to_integers(ids, "text ids")
    if text.ndim != 1:
        raise CodesError(f"text ids must have shape (n,), got {text.shape}")
    if text.size and not (text.min() >= 0 and text.max() < layout.text_vocab_size):
        raise CodesError(f"text ids must be between 0 and {layout.text_vocab_size - 1}, got {span(text)}")
    tokens = np.zeros((len(text), layout.num_columns), np.int64)
    tokens[:, -1] = text
    mask = np.zeros(tokens.shape, np.bool_)
    mask[:, -1] = True
    return Frames(tokens, mask)


def join(*parts: Frames) -> Frames:
    """One prompt from several parts, in order.

    Args:
        *parts: the frames of each part.

    Returns:
        All frames, one part after another.

    Raises:
        CodesError: no part is given.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import csm
        >>> prompt = csm.join(csm.text_frames([128000, 58]), csm.audio_frames(np.ones((32, 20), np.int64)))
        >>> prompt.tokens.shape
        (23, 33)
    """
    if not parts:
        raise CodesError("expected at least one part to join, got none")
    return Frames(np.concatenate([part.tokens for part in parts]), np.concatenate([part.mask for part in parts]))


def segments(tokens: ArrayInput, mask: ArrayInput, layout: CsmLayout = CSM_1B) -> list[Segment]:
    """Frames back to the text and the clips from which they were joined, without the end frames.

    Text that follows text becomes one segment. A clip ends at its end frame.

    Args:
        tokens: (T, 33).
        mask: bools (T, 33).
        layout: the columns and ids of the model.

    Returns:
        The segments, in order.

    Raises:
        CodesError: the shapes do not fit, a position is neither text nor audio, or an id is not a code.
        InputTypeError: an input is not an array of an accepted type.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import csm
        >>> prompt = csm.join(csm.text_frames([128000, 58]), csm.audio_frames(np.ones((32, 20), np.int64)))
        >>> text, audio = csm.segments(*prompt)
        >>> audio.codes.shape, audio.ended
        ((32, 20), True)
    """
    frames, is_audio = _frames(tokens, mask, layout)
    ends = is_audio & (frames[:, :-1] == layout.end_id).all(axis=1)
    # a segment begins where the kind changes, and after an end frame
    fresh = np.ones(len(frames), np.bool_)
    fresh[1:] = (is_audio[1:] != is_audio[:-1]) | ends[:-1]
    bounds = [*np.flatnonzero(fresh).tolist(), len(frames)]
    found = []
    for start, stop in pairwise(bounds):
        if is_audio[start]:
            ended = bool(ends[stop - 1])
            codes = frames[start : stop - ended, :-1].T
            found.append(Segment(None, refuse_sentinels(codes, layout.codebook_size), ended))
        else:
            found.append(Segment(frames[start:stop, -1], None, False))
    return found


def input_ids(tokens: ArrayInput, mask: ArrayInput, layout: CsmLayout = CSM_1B) -> Int64Array:
    """Frames as the `input_ids` of Transformers, with placeholders where audio goes. `segments` gives the codes.

    Args:
        tokens: (T, 33).
        mask: bools (T, 33).
        layout: the columns and ids of the model.

    Returns:
        Ids (T,), int64.

    Raises:
        CodesError: the shapes do not fit, or a position is neither text nor audio.
        InputTypeError: an input is not an array of an accepted type.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import csm
        >>> csm.input_ids(*csm.audio_frames(np.ones((32, 2), np.int64))).tolist()
        [128002, 128002, 128003]
    """
    frames, is_audio = _frames(tokens, mask, layout)
    ends = (frames[:, :-1] == layout.end_id).all(axis=1)
    audio = np.where(ends, layout.audio_end_token_id, layout.audio_token_id)
    ids: Int64Array = np.where(is_audio, audio, frames[:, -1])
    return ids


def generated_clips(
    frames: ArrayInput, layout: CsmLayout = CSM_1B, *, sentinels: Policy = "refuse"
) -> list[Clip] | Clip:
    """What a model generated as clips for the decoder, one for each row of a batch.

    A clip is cut before its first end frame, or before its first frame that holds only padding. (Transformers fills a
    finished row with padding, also after a last frame that is not all zeros.) A clip that ends at once has no frames.

    Args:
        frames: ids (B, T, K) or (T, K).
        layout: the columns and ids of the model.
        sentinels: what happens with ids that are not codes: "refuse" raises an error, "mask" puts code 0 in their
            place.

    Returns:
        A list of B clips, or one clip if there is no batch dimension.

    Raises:
        CodesError: another shape, or an id that is not a code, if `sentinels` is "refuse".
        ConfigError: `sentinels` is neither of the two.
        InputTypeError: the input is not an array of integers.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import csm
        >>> frames = np.concatenate([np.full((20, 32), 7), np.zeros((3, 32), np.int64)])
        >>> clip = csm.generated_clips(frames)
        >>> clip.codes.shape, clip.ended
        ((32, 20), True)
    """
    array = to_integers(frames, "frames")
    if array.ndim not in (2, 3) or array.shape[-1] != layout.num_codebooks:
        raise CodesError(
            f"frames must have shape (T, {layout.num_codebooks}) or (B, T, {layout.num_codebooks}), got {array.shape}"
        )
    clips = [_clip(rows, layout, sentinels) for rows in (array if array.ndim == 3 else array[np.newaxis])]
    return clips if array.ndim == 3 else clips[0]


def until_end(frames: Iterable[ArrayInput], layout: CsmLayout = CSM_1B) -> Iterator[Int64Array]:
    """The codes of a stream of frames, until the end frame.

    Args:
        frames: frames (K,), as a model generates them.
        layout: the columns and ids of the model.

    Yields:
        Codes (K, 1) for a decoder's stream.

    Raises:
        CodesError: a frame has another shape, or holds an id that is not a code.
        InputTypeError: a frame is not an array of integers.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import csm
        >>> frames = np.concatenate([np.full((20, 32), 7), np.zeros((3, 32), np.int64)])
        >>> len(list(csm.until_end(frames)))
        20
    """
    for frame in frames:
        codes = to_integers(frame, "frame")
        if codes.shape != (layout.num_codebooks,):
            raise CodesError(f"a frame must have shape ({layout.num_codebooks},), got {codes.shape}")
        clip = _clip(codes[np.newaxis], layout, "refuse")
        if clip.ended:
            return
        yield clip.codes


def _clip(rows: Int64Array, layout: CsmLayout, sentinels: Policy) -> Clip:
    ends = (rows == layout.end_id).all(axis=1)
    stops = np.flatnonzero(ends | (rows == layout.padding_id).all(axis=1))
    stop = int(stops[0]) if len(stops) else len(rows)
    codes, valid = apply_policy(np.ascontiguousarray(rows[:stop].T)[np.newaxis], layout.codebook_size, sentinels)
    return Clip(codes[0], valid[0], bool(len(stops)))


def _frames(tokens: ArrayInput, mask: ArrayInput, layout: CsmLayout) -> tuple[Int64Array, BoolArray]:
    """Frames (T, 33), and which of them are audio (T,)."""
    frames, is_set = to_integers(tokens, "tokens"), as_array(mask, "mask")
    if frames.ndim != 2 or frames.shape[1] != layout.num_columns:
        raise CodesError(f"tokens must have shape (T, {layout.num_columns}), got {frames.shape}")
    if is_set.dtype.kind not in "biu" or is_set.shape != frames.shape:
        raise CodesError(f"mask must be bool of shape {frames.shape}, got {is_set.dtype} of shape {is_set.shape}")
    is_set = is_set.astype(np.bool_)
    is_audio: BoolArray = np.all(is_set[:, :-1], axis=1)
    is_text = ~np.any(is_set[:, :-1], axis=1)
    wrong = ~(is_audio ^ is_text) | (is_audio == is_set[:, -1])
    if wrong.any():
        position = int(np.flatnonzero(wrong)[0])
        raise CodesError(f"each position is text or audio: the mask of position {position} is neither")
    return frames, is_audio
