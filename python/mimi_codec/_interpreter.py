"""Refuses subinterpreters, before the extension is touched: it would then belong to the first that imported it."""

from __future__ import annotations

import importlib
import sys

# The module that knows the current interpreter, from Python 3.13 on and before
_MODULES = ("_interpreters", "_xxsubinterpreters")


def current() -> int:
    """The number of this interpreter; the main one is 0."""
    if sys.implementation.name != "cpython":
        return 0
    for name in _MODULES:
        try:
            found = importlib.import_module(name).get_current()
        except ImportError:
            continue
        return int(found[0] if isinstance(found, tuple) else found)
    return 0


if current() != 0:
    raise ImportError("mimi_codec does not work in a subinterpreter: import it in the main interpreter of a process")
