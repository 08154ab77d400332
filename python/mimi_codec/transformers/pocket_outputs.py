"""What Transformers has for the codec of Pocket TTS; its outputs with both spellings of the caches."""

from __future__ import annotations

import transformers

from .installed import DECODER_CACHE, EITHER_CACHE, ENCODER_CACHE
from .outputs import BothSpellings, spellings

try:
    from transformers import PocketTTSAudioTokenizerConfig
    from transformers.models.pocket_tts_audio_tokenizer.modeling_pocket_tts_audio_tokenizer import (
        PocketTTSAudioTokenizerConv1dPaddingCache,
        PocketTTSAudioTokenizerDecoderOutput,
        PocketTTSAudioTokenizerEncoderOutput,
        PocketTTSAudioTokenizerOutput,
    )
except ImportError as error:
    raise ImportError(
        f"Transformers has the codec of Pocket TTS since 5.23; {transformers.__version__} was found: {error}"
    ) from error

__all__ = [
    "DecoderOutput",
    "EncoderOutput",
    "Output",
    "PocketTTSAudioTokenizerConfig",
    "PocketTTSAudioTokenizerConv1dPaddingCache",
]


class EncoderOutput(BothSpellings, PocketTTSAudioTokenizerEncoderOutput):
    """What `encode` returns."""

    spellings = spellings(PocketTTSAudioTokenizerEncoderOutput, ENCODER_CACHE + EITHER_CACHE)


class DecoderOutput(BothSpellings, PocketTTSAudioTokenizerDecoderOutput):
    """What `decode` returns."""

    spellings = spellings(PocketTTSAudioTokenizerDecoderOutput, DECODER_CACHE + EITHER_CACHE)


class Output(BothSpellings, PocketTTSAudioTokenizerOutput):
    """What `forward` returns."""
