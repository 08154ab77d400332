"""Qwen3-TTS: this codec in the place of the 12 Hz tokenizer of the package `qwen-tts`.

from mimi_codec.qwen_tts import attach

attach(model)  # a loaded qwen_tts.Qwen3TTSModel: its speech tokenizer is now this one
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .host import attach, live
    from .model import Qwen3TTSTokenizerV2Model
    from .tokenizer import Qwen3TTSTokenizer

__all__ = ["Qwen3TTSTokenizer", "Qwen3TTSTokenizerV2Model", "attach", "live"]

MODULES = {
    "Qwen3TTSTokenizer": "tokenizer",
    "Qwen3TTSTokenizerV2Model": "model",
    "attach": "host",
    "live": "host",
}


def __getattr__(name: str) -> Any:
    """Import PyTorch only with the first use of what needs it; the tokenizer by itself does not."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
