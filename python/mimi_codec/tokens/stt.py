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
    """Samples of silence before and after a clip."""
    left = int(layout.silence_prefix_seconds * layout.sample_rate)
    right = int((layout.text_delay_seconds + TAIL_SECONDS) * layout.sample_rate)
    return left, right


def pad_audio(layout: StreamLayout, pcm: ArrayInput) -> Float32Array:
    """A clip (L,) or a batch (B, 1, L) with the silence around it, float32. Pad a ragged batch to one length before."""
    rows, batched = to_pcm_batch(pcm)
    padded = np.pad(rows, ((0, 0), padding(layout)))
    return padded[:, np.newaxis] if batched else padded[0]


def num_steps(layout: StreamLayout, num_samples: int) -> int:
    """Steps over a clip of `num_samples`: the whole frames of it with its silence; what is left over is dropped."""
    if num_samples < 0:
        raise AudioError(f"a clip has at least 0 samples, got {num_samples}")
    return (num_samples + sum(padding(layout))) // layout.frame_size
