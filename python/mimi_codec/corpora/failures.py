"""Why a clip has no frames, in a few words that begin with a kind by which failures are counted."""

from __future__ import annotations

from .._text import shortened
from ..errors import AudioError, MimiError, NumericError
from .sources import Empty

LONGEST = 1000
EMPTY = "empty: it holds no samples"


def of_reading(error: Exception) -> str:
    """A clip could not be read."""
    if isinstance(error, Empty):
        return EMPTY
    if isinstance(error, FileNotFoundError):
        return "missing: there is no such file"
    if isinstance(error, (MimiError, OSError)) and not isinstance(error, MemoryError):
        return _text("unreadable", getattr(error, "strerror", None) or error)
    return _other(error)


def of_coding(error: Exception) -> str:
    """A clip could not be encoded."""
    if isinstance(error, AudioError):
        return _text("samples", error)
    if isinstance(error, NumericError):
        return _text("numeric", error)
    return _other(error)


def _other(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return _text("memory", str(error) or "there is not enough memory")
    return _text(
        "unexpected", f"{type(error).__name__}: {error}"
    )  # a fault of ours: the other clips are still to be done


def _text(kind: str, error: object) -> str:
    return shortened(f"{kind}: {error}", LONGEST)
