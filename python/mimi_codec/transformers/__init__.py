"""Mimi for Transformers: stands where a `transformers.MimiModel` stands, alone or inside Moshi, CSM and Kyutai's STT.

from mimi_codec.transformers import attach

attach(model)  # a loaded Moshi, CSM or KyutaiSpeechToText model: its codec is now this one
attach(processor)  # a loaded PocketTTSProcessor: its audio tokenizer is now this one
attach(model)  # a loaded Qwen3-Omni, VibeVoice or VibeVoice-ASR: all its codecs are now these
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attach import attach
    from .caches import StreamCache
    from .code2wav import Qwen3OmniMoeCode2Wav
    from .model import MimiModel
    from .pocket import PocketTTSAudioTokenizerModel
    from .vibevoice import VibeVoiceAcousticTokenizerEncoderModel, VibeVoiceAcousticTokenizerModel

__all__ = [
    "MimiModel",
    "PocketTTSAudioTokenizerModel",
    "Qwen3OmniMoeCode2Wav",
    "StreamCache",
    "VibeVoiceAcousticTokenizerEncoderModel",
    "VibeVoiceAcousticTokenizerModel",
    "attach",
]

MODULES = {
    "MimiModel": "model",
    "PocketTTSAudioTokenizerModel": "pocket",
    "Qwen3OmniMoeCode2Wav": "code2wav",
    "StreamCache": "caches",
    "VibeVoiceAcousticTokenizerEncoderModel": "vibevoice",
    "VibeVoiceAcousticTokenizerModel": "vibevoice",
    "attach": "attach",
}


def __getattr__(name: str) -> Any:
    """Import PyTorch and Transformers only with the first use of a public name."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
