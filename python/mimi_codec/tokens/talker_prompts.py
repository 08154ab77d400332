"""What the talkers of Qwen3-Omni and Qwen3-TTS read: two channels, text and codes, one position after another.

A position is the sum of the embeddings of its text id, of its id in the talker's own vocabulary, and of the codes of
the other codebooks if it holds a frame. Text and speech run beside each other (`streaming`), or all text comes first:

    text   role role role pad  pad  pad  pad  bos  t0   t1   t2   eos  pad  pad     streaming
    codec                 n    tb   te   s    pad  bos  a0   a1   a2   a3   eos

    text   role role role pad  pad  pad  pad  bos  t0   t1   t2   eos  pad  pad  pad  ...
    codec                 n    tb   te   s    pad  pad  pad  pad  pad  bos  a0   a1   ...

`n tb te` are the ids around a thought, with a language between `tb` and `te` if there is one; `s` is the speaker.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arrays import ArrayInput, BoolArray, Int64Array, span, to_codes
from ..errors import CodesError, ConfigError
from ._inputs import to_integers
from .sentinels import refuse_sentinels
from .talker import TalkerLayout

__all__ = ["NO_LABEL", "Positions", "Spoken", "positions", "split"]

NO_LABEL = -100
"""The label of positions that training does not score, as in PyTorch and Transformers."""

NUM_ROLE = 3  # text ids of the turn's beginning, without a codec id beside them


class Positions(NamedTuple):
    """What a talker reads, position by position.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import QWEN3_TTS, talker_prompts
        >>> read = talker_prompts.positions(np.ones((16, 20), int), [5, 6], QWEN3_TTS, role=[1, 2, 3])
        >>> read.codec[read.is_frame].tolist() == [1] * 20
        True
    """

    text: Int64Array
    """(L,): ids of the text."""
    codec: Int64Array
    """(L,): ids of the talker's own vocabulary, 0 where `has_codec` is False."""
    codes: Int64Array
    """(K, L): the codes of frames, 0 where `is_frame` is False; the first row is in `codec` too."""
    has_codec: BoolArray
    """(L,): whether there is something to read in `codec`."""
    is_frame: BoolArray
    """(L,): whether a position holds a frame."""
    labels: Int64Array
    """(L,): the code or end of speech that a talker is to sample *before* this position, else `NO_LABEL`. (Losses of
    Transformers move labels by one themselves.)"""
    speaker: int | None
    """The position that the vector of a voice is added to; None if there is none."""
    rest: Int64Array
    """(n,): text ids that come in the next steps, one per step; after them comes `tts_pad_id`."""


class Spoken(NamedTuple):
    """What positions say.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import QWEN3_TTS, talker_prompts
        >>> read = talker_prompts.positions(np.ones((16, 20), int), [5, 6], QWEN3_TTS, role=[1, 2, 3])
        >>> talker_prompts.split(read.text, read.codec, read.codes, QWEN3_TTS).text.tolist()
        [5, 6]
    """

    text: Int64Array
    """(n,): the text, without the ids around it."""
    codes: Int64Array
    """(K, T): the frames."""
    ended: bool
    """Whether the end of speech is there."""


def positions(
    codes: ArrayInput,
    text: ArrayInput,
    layout: TalkerLayout,
    *,
    role: ArrayInput,
    language: int | None = None,
    speaker: int | None = None,
    voice: bool = False,
    streaming: bool = True,
    end: bool = True,
) -> Positions:
    """A clip and its text as a talker reads them: training data, or the prompt of a generation.

    A prompt has `end=False`. It has no frames, or those of a voice to be imitated, with what that voice says at the
    beginning of the text.

    Args:
        codes: (K, T), of at least as many codebooks as the layout has; the first ones are taken.
        text: the text ids (n,) of what is said, at least one.
        layout: the ids of the talker.
        role: the three text ids that begin the turn, `<|im_start|>assistant\\n`.
        language: the id of a language, from the model's `codec_language_id`.
        speaker: the id of a speaker, from the model's `spk_id` or `speaker_id`.
        voice: whether a position is left for the vector of a voice instead; `speaker` of the result says which.
        streaming: whether text and speech run beside each other, as hosts do it; else all text comes first.
        end: whether the end of speech follows the last frame.

    Returns:
        The positions.

    Raises:
        CodesError: too few codebooks, a batch, an id that is not a code, a wrong number of text ids, or text that goes
            on after the end of speech.
        ConfigError: both a speaker and a voice, a language for a talker that has none, or an id outside the vocabulary.
        InputTypeError: an input is not an array of integers.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import QWEN3_OMNI, talker_prompts
        >>> prompt = talker_prompts.positions(
        ...     np.zeros((16, 0), int), [5, 6, 7], QWEN3_OMNI, role=[1, 2, 3], speaker=2301, end=False
        ... )
        >>> len(prompt.codec), prompt.rest.tolist()
        (9, [6, 7, 151673])
    """
    frames = _frames(codes, layout)
    words = [*_text(text, "text ids", layout), layout.tts_eos_id]
    begin = _text(role, "role", layout)
    if len(begin) != NUM_ROLE:
        raise CodesError(f"role must be {NUM_ROLE} text ids, got {len(begin)}")
    before = _before(layout, language, speaker, voice)
    top = [*begin, *[layout.tts_pad_id] * len(before), layout.tts_bos_id]
    below = [*[0] * NUM_ROLE, *before, layout.codec_pad_id]
    if not streaming:
        top += words
        below += [layout.codec_pad_id] * len(words)
        words = []
    below.append(layout.codec_bos_id)
    first = len(below)
    below += [*frames[0].tolist(), *[layout.codec_eos_id] * end]
    room = len(below) - len(top)
    if end and len(words) > room:
        raise CodesError(
            f"the text must end where the speech does: {len(words) - 1} text ids do not fit beside "
            f"{frames.shape[1]} frames"
        )
    top += [*words[:room], *[layout.tts_pad_id] * (room - len(words))]
    at = np.arange(len(below))
    is_frame = (at >= first) & (at < first + frames.shape[1])
    placed = np.zeros((layout.num_codebooks, len(below)), np.int64)
    placed[:, is_frame] = frames
    has_codec = at >= NUM_ROLE
    of_voice = NUM_ROLE + len(before) - 1 if voice else None
    if of_voice is not None:
        has_codec[of_voice] = False
    codec = np.array(below, np.int64)
    return Positions(
        text=np.array(top, np.int64),
        codec=codec,
        codes=placed,
        has_codec=has_codec,
        is_frame=is_frame,
        labels=np.where(at >= first, codec, NO_LABEL),
        speaker=of_voice,
        rest=np.array(words[room:], np.int64),
    )


def split(text: ArrayInput, codec: ArrayInput, codes: ArrayInput, layout: TalkerLayout) -> Spoken:
    """Positions back to the text and the clip that they were made of.

    Args:
        text: (L,): ids of the text.
        codec: (L,): ids of the talker's own vocabulary.
        codes: (K, L): the codes of frames.
        layout: the ids of the talker.

    Returns:
        The text, as far as it is in the positions, and the clip.

    Raises:
        CodesError: the shapes do not fit, there is no position before the first frame, or an id is not a code.
        InputTypeError: an input is not an array of integers.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import QWEN3_TTS, talker_prompts
        >>> read = talker_prompts.positions(np.ones((16, 20), int), [5, 6], QWEN3_TTS, role=[1, 2, 3])
        >>> talker_prompts.split(read.text, read.codec, read.codes, QWEN3_TTS).codes.shape
        (16, 20)
    """
    ids, own = to_integers(text, "text ids"), to_integers(codec, "codec ids")
    frames = to_integers(codes, "codes")
    if ids.ndim != 1 or own.shape != ids.shape or frames.shape != (layout.num_codebooks, len(ids)):
        raise CodesError(
            f"text and codec must be (L,) and codes ({layout.num_codebooks}, L), "
            f"got {ids.shape}, {own.shape} and {frames.shape}"
        )
    begins = np.flatnonzero(own == layout.codec_bos_id)
    if not len(begins):
        raise CodesError(f"expected the id {layout.codec_bos_id} before the first frame, which is not there")
    first = int(begins[0]) + 1
    ends = np.flatnonzero(own[first:] == layout.codec_eos_id)
    stop = first + int(ends[0]) if len(ends) else len(ids)
    clip = refuse_sentinels(frames[:, first:stop], layout.codebook_size)
    if not (clip[0] == own[first:stop]).all():
        raise CodesError("the codec ids of frames must be the codes of the first codebook")
    after = np.cumsum(ids == layout.tts_bos_id) > 0
    before = np.cumsum(ids == layout.tts_eos_id) == 0
    around = (layout.tts_pad_id, layout.tts_bos_id)
    return Spoken(ids[after & before & ~np.isin(ids, around)], clip, bool(len(ends)))


def _frames(codes: ArrayInput, layout: TalkerLayout) -> Int64Array:
    """The codes that a talker reads of a clip: (K, T)."""
    rows, batched = to_codes(codes)
    if batched:
        raise CodesError(f"positions are made of one clip: expected codes (K, T), got {rows.shape}")
    if rows.shape[1] < layout.num_codebooks:
        raise CodesError(f"{layout.name} has {layout.num_codebooks} codebooks, got {rows.shape[1]}")
    return refuse_sentinels(rows[0, : layout.num_codebooks], layout.codebook_size)


def _text(value: ArrayInput, what: str, layout: TalkerLayout) -> list[int]:
    ids = to_integers(value, what)
    if ids.ndim != 1 or not len(ids):
        raise CodesError(f"{what} must have shape (n,) with n of at least 1, got {ids.shape}")
    around = (layout.tts_pad_id, layout.tts_bos_id, layout.tts_eos_id)
    if ids.min() < 0 or np.isin(ids, around).any():
        raise CodesError(f"{what} must be at least 0 and none of {around}, got {span(ids)}")
    return list(map(int, ids))


def _before(layout: TalkerLayout, language: int | None, speaker: int | None, voice: bool) -> list[int]:
    """The codec ids between the role and the padding; 0 in the place of a voice."""
    if language is None:
        before = [layout.codec_nothink_id, layout.codec_think_bos_id, layout.codec_think_eos_id]
    elif layout.codec_think_id is None:
        raise ConfigError(f"{layout.name} has no languages, got {language}")
    else:
        before = [layout.codec_think_id, layout.codec_think_bos_id, language, layout.codec_think_eos_id]
    if voice and speaker is not None:
        raise ConfigError(f"expected a speaker or a voice, got both: speaker {speaker}")
    for what, value in (("language", language), ("speaker", speaker)):
        if value is not None and not layout.codebook_size <= value < layout.vocab_size:
            limits = f"between {layout.codebook_size} and {layout.vocab_size - 1}"
            raise ConfigError(f"the id of a {what} must be {limits}, got {value}")
    return [*before, *([0] if voice else []), *([] if speaker is None else [speaker])]
