"""Mimi for the `moshi` package: `get_mimi` and `MimiModel` with the surface of moshi's own, on torch tensors.

from moshi.models import loaders
from mimi_codec.moshi import get_mimi

loaders.get_mimi = get_mimi  # moshi's server, run_inference and TTS now load this codec
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loaders import get_mimi
    from .model import MimiModel
    from .pooled import PooledMimiModel
    from .results import QuantizedResult

__all__ = ["MimiModel", "PooledMimiModel", "QuantizedResult", "get_mimi"]

MODULES = {"MimiModel": "model", "PooledMimiModel": "pooled", "QuantizedResult": "results", "get_mimi": "loaders"}


def __getattr__(name: str) -> Any:
    """Import PyTorch only with the first use of a public name."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
