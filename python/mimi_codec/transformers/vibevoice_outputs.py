"""What Transformers has for VibeVoice's tokenizers, and the padding cache that carries our streams."""

from __future__ import annotations

from typing import Any, NoReturn

import transformers

from ..errors import StreamError

try:
    from transformers import VibeVoiceAcousticTokenizerConfig, VibeVoiceAcousticTokenizerEncoderConfig
    from transformers.models.vibevoice_acoustic_tokenizer.modeling_vibevoice_acoustic_tokenizer import (
        VibeVoiceAcousticTokenizerConv1dPaddingCache,
        VibeVoiceAcousticTokenizerDecoderOutput,
        VibeVoiceAcousticTokenizerEncoderOutput,
        VibeVoiceAcousticTokenizerOutput,
    )
except ImportError as error:
    raise ImportError(
        f"this Transformers, {transformers.__version__}, has no tokenizers of VibeVoice; 5.23 has them: {error}"
    ) from error

__all__ = [
    "PaddingCache",
    "VibeVoiceAcousticTokenizerConfig",
    "VibeVoiceAcousticTokenizerDecoderOutput",
    "VibeVoiceAcousticTokenizerEncoderConfig",
    "VibeVoiceAcousticTokenizerEncoderOutput",
    "VibeVoiceAcousticTokenizerOutput",
]


class PaddingCache(VibeVoiceAcousticTokenizerConv1dPaddingCache):
    """What is returned where Transformers returns a padding cache. It refers to a stream and has no layers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def update(self, *arguments: Any, **options: Any) -> NoReturn:
        """Called by Transformers' layers, which would begin a clip again without a word."""
        raise StreamError("this padding cache holds a stream of mimi_codec; Transformers' model needs its own")
