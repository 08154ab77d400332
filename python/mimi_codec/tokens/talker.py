"""The talkers of Qwen3-Omni and Qwen3-TTS: what they say, as codes for a decoder.

A talker samples one token per frame: the code of the first codebook, or the end of speech. A code predictor adds the
codes of the other codebooks of the same frame, so there are no delays. What goes into a talker is in `talker_prompts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._arrays import ArrayInput, Int64Array, to_codes
from ..errors import CodesError, ConfigError
from ._inputs import to_integers
from .sentinels import refuse_sentinels

__all__ = [
    "QWEN3_OMNI",
    "QWEN3_TTS",
    "Speech",
    "TalkerLayout",
    "frame_counts",
    "generated_clips",
    "stack_steps",
    "until_end",
    "vocoder_codes",
]

NUM_SPECIALS = 1024  # ids at the end of the vocabulary that are not codes; both hosts have this number in their code


@dataclass(frozen=True)
class TalkerLayout:
    """The codebooks and ids of a talker.

    A talker has two vocabularies. Its own (`codec_*`) has the codes of the first codebook, and behind them special ids,
    speakers and languages. The ids of the text around them (`tts_*`) are in the vocabulary of the text.

    Raises:
        ConfigError: a value is outside its range.

    Example:
        >>> from mimi_codec.tokens import QWEN3_TTS
        >>> QWEN3_TTS.num_codebooks, QWEN3_TTS.codec_eos_id
        (16, 2150)
    """

    name: str
    """A name for messages."""
    num_codebooks: int = 16
    """Codes of a frame."""
    codebook_size: int = 2048
    """Codes are at least 0 and below `codebook_size`."""
    vocab_size: int = 3072
    """Ids of the talker's own vocabulary."""
    codec_pad_id: int = 2148
    """Stands where text has no frame beside it."""
    codec_bos_id: int = 2149
    """The position before the first frame."""
    codec_eos_id: int = 2150
    """The end of speech, sampled in the place of a code of the first codebook."""
    codec_think_id: int | None = 2154
    """Begins a prompt that names a language; None for a talker that has none."""
    codec_nothink_id: int = 2155
    """Begins a prompt that does not name a language."""
    codec_think_bos_id: int = 2156
    """Follows the first id of a prompt."""
    codec_think_eos_id: int = 2157
    """Stands before the speaker."""
    tts_pad_id: int = 151671
    """Text id where there is no text."""
    tts_bos_id: int = 151672
    """Text id before the text."""
    tts_eos_id: int = 151673
    """Text id after the text."""
    sample_rate: int = 24000
    """Samples per second."""
    frame_rate: float = 12.5
    """Frames per second."""

    def __post_init__(self) -> None:
        for name in ("num_codebooks", "codebook_size", "sample_rate", "frame_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.vocab_size < self.codebook_size + NUM_SPECIALS:
            least = self.codebook_size + NUM_SPECIALS
            raise ConfigError(f"vocab_size must be at least {least}, got {self.vocab_size}")
        for name in ("pad", "bos", "eos", "think", "nothink", "think_bos", "think_eos"):
            value = getattr(self, f"codec_{name}_id")
            if value is not None and not self.codebook_size <= value < self.vocab_size:
                raise ConfigError(
                    f"codec_{name}_id must be between {self.codebook_size} and {self.vocab_size - 1}, got {value}"
                )

    @property
    def suppressed_ids(self) -> Int64Array:
        """The ids that a talker may not sample: all that are not codes, except the end of speech."""
        ids = np.arange(self.vocab_size - NUM_SPECIALS, self.vocab_size, dtype=np.int64)
        suppressed: Int64Array = ids[ids != self.codec_eos_id]
        return suppressed


QWEN3_OMNI = TalkerLayout("qwen3-omni", codec_think_id=None)
QWEN3_TTS = TalkerLayout("qwen3-tts")


class Speech(NamedTuple):
    """What a talker said in one row of a batch.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import QWEN3_OMNI, talker
        >>> talker.generated_clips(np.full((16, 5), 7), QWEN3_OMNI).ended
        False
    """

    codes: Int64Array
    """(K, T) for the decoder, up to the end of speech."""
    ended: bool
    """Whether the end of speech came."""


def stack_steps(steps: Iterable[ArrayInput | None], layout: TalkerLayout) -> Int64Array:
    """The frames that a talker made step by step as one array.

    Both hosts give them as the last part of `hidden_states` in each step: `[step[-1] for step in hidden_states]`, with
    None for the step that reads the prompt. The last token that a talker sampled is not in them, as the code predictor
    adds the other codes in the step after.

    Args:
        steps: for each step frames (B, K), or None where there are none.
        layout: the ids of the talker.

    Returns:
        Ids (B, K, T), int64, with the end of speech and what comes after it still in them.

    Raises:
        CodesError: a step has another shape than (B, K), or another B than the first.
        InputTypeError: a step is not an array of integers.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import QWEN3_OMNI, talker
        >>> talker.stack_steps([None, np.ones((2, 16), int), np.ones((2, 16), int)], QWEN3_OMNI).shape
        (2, 16, 2)
    """
    frames = [to_integers(step, "frames") for step in steps if step is not None]
    for frame in frames:
        if frame.ndim != 2 or frame.shape[1] != layout.num_codebooks or frame.shape != frames[0].shape:
            batch = frames[0].shape[0] if frames[0].ndim == 2 else "B"
            raise CodesError(f"the frames of a step must be ({batch}, {layout.num_codebooks}), got {frame.shape}")
    return np.stack(frames, axis=2) if frames else np.zeros((0, layout.num_codebooks, 0), np.int64)


def frame_counts(ids: ArrayInput, layout: TalkerLayout) -> Int64Array:
    """How many frames each row has before the end of speech.

    Args:
        ids: (B, K, T) or (K, T), as a talker made them.
        layout: the ids of the talker.

    Returns:
        Frames (B,); of one row where there is no batch dimension.

    Raises:
        CodesError: another shape.
        InputTypeError: the input is not an array of integers.

    Example:
        >>> from mimi_codec.tokens import TalkerLayout, talker
        >>> layout = TalkerLayout("small", num_codebooks=2)
        >>> talker.frame_counts([[5, 6, 2150, 2150], [1, 2, 0, 0]], layout).tolist()
        [2]
    """
    rows, _ = _rows(ids, layout)
    if not rows.shape[2]:
        return np.zeros(len(rows), np.int64)
    ends = rows[:, 0] == layout.codec_eos_id
    counts: Int64Array = np.where(ends.any(axis=1), ends.argmax(axis=1), np.int64(rows.shape[2]))
    return counts


def vocoder_codes(ids: ArrayInput, layout: TalkerLayout) -> tuple[Int64Array, Int64Array]:
    """The codes of a batch as Qwen3-Omni hands them to `code2wav`, with zeros from the end of speech on.

    Args:
        ids: (B, K, T) or (K, T), as a talker made them.
        layout: the ids of the talker.

    Returns:
        Codes of the same shape, and the frames of each row (B,).

    Raises:
        CodesError: another shape, or an id before the end of speech that is not a code.
        InputTypeError: the input is not an array of integers.

    Example:
        >>> from mimi_codec.tokens import TalkerLayout, talker
        >>> layout = TalkerLayout("small", num_codebooks=2)
        >>> codes, counts = talker.vocoder_codes([[5, 6, 2150], [1, 2, 9]], layout)
        >>> codes.tolist(), counts.tolist()
        ([[5, 6, 0], [1, 2, 0]], [2])
    """
    rows, batched = _rows(ids, layout)
    counts = frame_counts(rows, layout)
    said = np.arange(rows.shape[2]) < counts[:, np.newaxis]
    codes = refuse_sentinels(np.where(said[:, np.newaxis], rows, 0), layout.codebook_size)
    return (codes if batched else codes[0]), counts


def generated_clips(ids: ArrayInput, layout: TalkerLayout) -> list[Speech] | Speech:
    """What a talker made as clips for a decoder, one for each row of a batch, each cut at its end of speech.

    Qwen3-TTS gives clips that are cut already, (T, K) each: `generated_clips(clip.T, layout)` takes one of them.

    Args:
        ids: (B, K, T) or (K, T), as a talker made them.
        layout: the ids of the talker.

    Returns:
        A list of B clips, or one clip if there is no batch dimension.

    Raises:
        CodesError: another shape, or an id before the end of speech that is not a code.
        InputTypeError: the input is not an array of integers.

    Example:
        >>> from mimi_codec.tokens import TalkerLayout, talker
        >>> layout = TalkerLayout("small", num_codebooks=2)
        >>> clip = talker.generated_clips([[5, 6, 2150], [1, 2, 9]], layout)
        >>> clip.codes.tolist(), clip.ended
        ([[5, 6], [1, 2]], True)
    """
    rows, batched = _rows(ids, layout)
    clips = []
    for row, count in zip(rows, frame_counts(rows, layout).tolist(), strict=True):
        codes = refuse_sentinels(row[:, :count], layout.codebook_size)
        clips.append(Speech(codes, count < row.shape[1]))
    return clips if batched else clips[0]


def until_end(frames: Iterable[ArrayInput], layout: TalkerLayout) -> Iterator[Int64Array]:
    """The codes of a stream of frames, until the end of speech.

    Args:
        frames: frames (K,), as a talker makes them.
        layout: the ids of the talker.

    Yields:
        Codes (K, 1) for a decoder's stream.

    Raises:
        CodesError: a frame has another shape, or holds an id that is not a code.
        InputTypeError: a frame is not an array of integers.

    Example:
        >>> from mimi_codec.tokens import TalkerLayout, talker
        >>> layout = TalkerLayout("small", num_codebooks=2)
        >>> [codes.tolist() for codes in talker.until_end([[5, 1], [6, 2], [2150, 9], [7, 7]], layout)]
        [[[5], [1]], [[6], [2]]]
    """
    for frame in frames:
        ids = to_integers(frame, "frame")
        if ids.shape != (layout.num_codebooks,):
            raise CodesError(f"a frame must have shape ({layout.num_codebooks},), got {ids.shape}")
        if ids[0] == layout.codec_eos_id:
            return
        yield refuse_sentinels(ids[:, np.newaxis], layout.codebook_size)


def _rows(ids: ArrayInput, layout: TalkerLayout) -> tuple[Int64Array, bool]:
    """Ids as (B, K, T), and whether there was a batch dimension."""
    rows, batched = to_codes(ids)
    if rows.shape[1] != layout.num_codebooks:
        raise CodesError(f"frames of {layout.name} have {layout.num_codebooks} codes, got {rows.shape[1]}")
    return rows, batched
