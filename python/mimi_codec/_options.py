"""Options of loading and encoding: what is allowed, and the defaults the environment gives."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Literal, Protocol, SupportsFloat, TypeAlias

from ._arrays import to_count
from ._devices import Device, to_device
from .errors import ConfigError, InputTypeError


class Event(Protocol):
    """Something that is set when work is to end, such as `threading.Event`."""

    def is_set(self) -> bool:
        """Whether the work is to end."""
        ...


Stop: TypeAlias = Event | Callable[[], object]
Parts = Literal["both", "encoder", "decoder"]
Padding = Literal["transformers", "moshi"]

PARTS = ("both", "encoder", "decoder")
PADDINGS = ("transformers", "moshi")
DTYPES = ("auto", "float32", "bfloat16", "int8")
OPTIONS = ("parts", "num_codebooks", "threads", "dtype", "device", "module")
THREADS_VARIABLE = "MIMI_NUM_THREADS"


def check_options(
    parts: str,
    num_codebooks: int | None,
    threads: int | None,
    dtype: str,
    device: Device,
    module: str | None = None,
) -> dict[str, Any]:
    """Refuse what cannot work before anything is downloaded."""
    if module is not None and not isinstance(module, str):
        raise InputTypeError(f"module must be text, got {type(module).__name__}")
    return {
        "parts": choice("parts", parts, PARTS),
        "num_codebooks": None if num_codebooks is None else to_count(num_codebooks, "num_codebooks"),
        "threads": None if threads is None else to_count(threads, "threads"),
        "dtype": choice("dtype", dtype, DTYPES),
        "device": to_device(device),
        "module": module,
    }


def choice(option: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value` if it is one of `allowed`, else `ConfigError`."""
    if value not in allowed:
        raise ConfigError(f"{option} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def to_limits(stop: Stop | None, timeout: SupportsFloat | None) -> tuple[Callable[[], object] | None, float | None]:
    """When a call is to give up, as the extension takes it."""
    return _to_stop(stop), _to_timeout(timeout)


def _to_stop(stop: Stop | None) -> Callable[[], object] | None:
    """A function that says whether to give up, of an event or such a function."""
    asked = getattr(stop, "is_set", stop)
    if asked is not None and not callable(asked):
        raise InputTypeError(f"stop must be a threading.Event or a function, got {type(stop).__name__}")
    return asked


def _to_timeout(timeout: SupportsFloat | None) -> float | None:
    """Seconds of at least 0."""
    if timeout is None:
        return None
    if isinstance(timeout, (bool, str)):
        raise InputTypeError(f"timeout must be a number of seconds, got {type(timeout).__name__}")
    try:
        seconds = float(timeout)
    except (TypeError, ValueError):
        raise InputTypeError(f"timeout must be a number of seconds, got {type(timeout).__name__}") from None
    if not seconds >= 0:
        raise ConfigError(f"timeout must be at least 0 seconds, got {seconds}")
    return seconds


def thread_count(threads: int | None) -> int:
    """Threads one call may use: what was asked for, else `MIMI_NUM_THREADS`, else 1."""
    if threads is not None:
        return threads
    text = os.environ.get(THREADS_VARIABLE, "")
    if not text:
        return 1
    # The length first: Python refuses to read a number of thousands of digits
    if not text.isdecimal() or len(text) > len(str(sys.maxsize)) or not 1 <= int(text) <= sys.maxsize:
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        raise ConfigError(f"{THREADS_VARIABLE} must be a number between 1 and {sys.maxsize}, got {shown!r}")
    return int(text)
