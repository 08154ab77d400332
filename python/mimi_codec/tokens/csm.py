"""CSM's frames: one row of 33 columns per position, 32 codes of audio or one text token, and a mask of what is set.

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
    """The columns and ids of a CSM. Checked when made: raises `ConfigError`."""

    name: str = "csm-1b"
    num_codebooks: int = 32
    codebook_size: int = 2048
    """Codes are at least 0 and below `codebook_size`."""
    vocab_size: int = 2051
    """Ids of the audio heads: the codes and three that are none."""
    padding_id: int = 2050
    """What a finished row of a batch holds in all codebooks (Transformers)."""
    end_id: int = 0
    """The frame that has this code in all codebooks ends a clip."""
    text_vocab_size: int = 128256
    audio_token_id: int = 128002
    """Stands for one frame of audio in Transformers' `input_ids`."""
    audio_end_token_id: int = 128003
    """Stands for the end frame in Transformers' `input_ids`."""
    sample_rate: int = 24000
    frame_rate: float = 12.5

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
        """Codebooks and the text."""
        return self.num_codebooks + 1


CSM_1B = CsmLayout()


class Frames(NamedTuple):
    """Positions of a prompt."""

    tokens: Int64Array
    """(T, 33): the codes of a frame, or the text token in the last column; zeros elsewhere."""
    mask: BoolArray
    """(T, 33): what is set."""


class Segment(NamedTuple):
    """A run of positions of one kind: `text` (n,), or `codes` (K, n) with whether an end frame closed them."""

    text: Int64Array | None
    codes: Int64Array | None
    ended: bool


class Clip(NamedTuple):
    """What a model generated for one row of a batch."""

    codes: Int64Array
    """(K, T) for the decoder, up to the end frame."""
    valid: BoolArray
    """(T,): False for frames whose ids outside of the codebook were masked."""
    ended: bool
    """Whether an end frame came."""


def audio_frames(codes: ArrayInput, layout: CsmLayout = CSM_1B, *, end: bool = True) -> Frames:
    """Codes (K, T) of a clip as frames (T + 1, 33), the last one being the end frame (`end=False`: T frames without
    it).

    Raises `CodesError` for fewer codebooks than the layout has, and for ids that are no codes.
    """
    rows, batched = to_codes(codes)
    if batched:
        raise CodesError(f"frames are of one clip: expected codes (K, T), got {rows.shape}")
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
    """Text tokens (n,) as frames (n, 33). Raises `CodesError` for ids outside of the vocabulary."""
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
    """One prompt out of several parts, in order."""
    if not parts:
        raise CodesError("expected at least one part to join, got none")
    return Frames(np.concatenate([part.tokens for part in parts]), np.concatenate([part.mask for part in parts]))


def segments(tokens: ArrayInput, mask: ArrayInput, layout: CsmLayout = CSM_1B) -> list[Segment]:
    """Frames (T, 33) with their mask back to the text and the clips they were joined from, end frames taken off.

    Text that follows text is one segment; a clip ends at its end frame. Raises `CodesError` for shapes that do not fit
    and for positions that are neither text nor audio.
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
    """Frames (T, 33) with their mask as Transformers' `input_ids` (T,), placeholders where audio goes.

    The codes go beside them; `segments` gives them.
    """
    frames, is_audio = _frames(tokens, mask, layout)
    ends = (frames[:, :-1] == layout.end_id).all(axis=1)
    audio = np.where(ends, layout.audio_end_token_id, layout.audio_token_id)
    ids: Int64Array = np.where(is_audio, audio, frames[:, -1])
    return ids


def generated_clips(
    frames: ArrayInput, layout: CsmLayout = CSM_1B, *, sentinels: Policy = "refuse"
) -> list[Clip] | Clip:
    """What a model generated, (B, T, K) or (T, K), as clips for the decoder: one per row of a batch.

    A clip is cut before its first end frame, or its first frame of padding alone (Transformers fills a finished row
    with it, also after a frame that ended the row without being all zeros). A clip that ends at once has no frames.
    The heads know ids that are no codes: `sentinels` says whether one in a clip is an error (`CodesError`) or masked.
    """
    array = to_integers(frames, "frames")
    if array.ndim not in (2, 3) or array.shape[-1] != layout.num_codebooks:
        raise CodesError(
            f"frames must have shape (T, {layout.num_codebooks}) or (B, T, {layout.num_codebooks}), got {array.shape}"
        )
    clips = [_clip(rows, layout, sentinels) for rows in (array if array.ndim == 3 else array[np.newaxis])]
    return clips if array.ndim == 3 else clips[0]


def until_end(frames: Iterable[ArrayInput], layout: CsmLayout = CSM_1B) -> Iterator[Int64Array]:
    """Frames (K,) as a model generates them, as codes (K, 1) for a decoder's stream, until the end frame.

    Raises `CodesError` for ids that are no codes.
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
