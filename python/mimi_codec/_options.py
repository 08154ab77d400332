"""Options of loading and encoding: what is allowed, and the defaults the environment gives."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal

from ._arrays import to_count
from .errors import ConfigError, DeviceError

Parts = Literal["both", "encoder", "decoder"]
Padding = Literal["transformers", "moshi"]

PARTS = ("both", "encoder", "decoder")
PADDINGS = ("transformers", "moshi")
DTYPES = ("float32", "bfloat16", "int8")
DEVICES = ("cpu",)
THREADS_VARIABLE = "MIMI_NUM_THREADS"


def check_options(
    parts: str, num_codebooks: int | None, threads: int | None, dtype: str, device: str
) -> dict[str, Any]:
    """Refuse what cannot work before anything is downloaded."""
    if device not in DEVICES:
        raise DeviceError(f"device must be one of {', '.join(map(repr, DEVICES))}, got {device!r}")
    return {
        "parts": choice("parts", parts, PARTS),
        "num_codebooks": None if num_codebooks is None else to_count(num_codebooks, "num_codebooks"),
        "threads": None if threads is None else to_count(threads, "threads"),
        "dtype": choice("dtype", dtype, DTYPES),
        "device": device,
    }


def choice(option: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value` if it is one of `allowed`, else `ConfigError`."""
    if value not in allowed:
        raise ConfigError(f"{option} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


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
