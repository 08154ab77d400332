"""Pocket TTS: this codec inside a `TTSModel` of Kyutai's `pocket_tts` package.

from mimi_codec.pocket_tts import attach

attach(tts_model)  # a loaded pocket_tts.TTSModel: its Mimi is now this one
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .model import MimiModel, attach

__all__ = ["MimiModel", "attach"]


def __getattr__(name: str) -> Any:
    """Import PyTorch only with the first use of a public name."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import model

    value = getattr(model, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
