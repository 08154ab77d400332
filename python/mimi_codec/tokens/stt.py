"""What Kyutai's speech-to-text models want around a clip: silence before it, and enough after it for the late text.

The rules are those of moshi's `run_inference` and of Transformers' `KyutaiSpeechToTextFeatureExtractor`.
"""

from __future__ import annotations

import numpy as np

from .._arrays import ArrayInput, Float32Array, to_pcm_batch
from ..errors import AudioError
from .layouts import StreamLayout

__all__ = ["num_steps", "pad_audio", "padding"]

TAIL_SECONDS = 1.0


def padding(layout: StreamLayout) -> tuple[int, int]:
    """How much silence goes around a clip.

    Args:
        layout: the layout of a speech-to-text model.

    Returns:
        The samples before and after the clip.

    Example:
        >>> from mimi_codec.tokens import STT_2_6B, stt
        >>> stt.padding(STT_2_6B)
        (24000, 84000)
    """
    left = int(layout.silence_prefix_seconds * layout.sample_rate)
    right = int((layout.text_delay_seconds + TAIL_SECONDS) * layout.sample_rate)
    return left, right


def pad_audio(layout: StreamLayout, pcm: ArrayInput) -> Float32Array:
    """Put the silence around a clip that the model expects.

    Args:
        layout: the layout of a speech-to-text model.
        pcm: samples (L,), or a batch (B, 1, L) of clips of one length.

    Returns:
        The padded samples, float32, (L',) or (B, 1, L').

    Raises:
        AudioError: the shape is wrong, or a sample is NaN or infinite.
        InputTypeError: the input is not an array of an accepted type.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.tokens import STT_2_6B, stt
        >>> stt.pad_audio(STT_2_6B, np.zeros(24000, np.float32)).shape
        (132000,)
    """
    rows, batched = to_pcm_batch(pcm)
    padded = np.pad(rows, ((0, 0), padding(layout)))
    return padded[:, np.newaxis] if batched else padded[0]


def num_steps(layout: StreamLayout, num_samples: int) -> int:
    """Steps that the model takes over a clip with its silence. What is left over after the last whole frame is dropped.

    Args:
        layout: the layout of a speech-to-text model.
        num_samples: the samples of the clip, without the silence.

    Returns:
        The number of whole frames.

    Raises:
        AudioError: `num_samples` is negative.

    Example:
        >>> from mimi_codec.tokens import STT_2_6B, stt
        >>> stt.num_steps(STT_2_6B, 24000)
        68
    """
    if num_samples < 0:
        raise AudioError(f"num_samples must be at least 0, got {num_samples}")
    return (num_samples + sum(padding(layout))) // layout.frame_size
