"""What the inputs of a command are: names on the command line, and those in a list."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from .console import PIPE, STANDARD_INPUT, UsageError, binary_input

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_standard_input(names: Sequence[str]) -> bool:
    """Whether the one input is a pipe. Raises `UsageError` if it is one of several."""
    if not any(name in STANDARD_INPUT for name in names):
        return False
    if len(names) > 1:
        raise UsageError(f"{PIPE} must be the only input: the standard input is one file")
    return True


def named(inputs: Sequence[str], list_file: str | None) -> list[tuple[str, bool]]:
    """All names that the caller gave, and whether each came from a list. Raises `UsageError` for none and for URLs."""
    names = [(name, False) for name in inputs]
    if list_file is not None:
        if list_file in STANDARD_INPUT:
            if any(name in STANDARD_INPUT for name in inputs):
                raise UsageError("the standard input cannot be both the list and an input")
            data = binary_input().read()
        else:
            data = Path(list_file).read_bytes()
        lines = data.split(b"\0") if b"\0" in data else data.splitlines()
        names += [(os.fsdecode(line), True) for line in lines if line.strip()]
    if not names:
        where = f": the list {list_file} is empty" if list_file is not None else ""
        raise UsageError(f"no input{where}; name files or directories")
    for name, _ in names:
        if URL.match(name):
            raise UsageError(f"{name[:200]} is a URL; download the file first, then name the file")
        if not name:
            raise UsageError("an input is an empty name")
    return names
