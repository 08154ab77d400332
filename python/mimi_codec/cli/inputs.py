"""What the inputs of a command are: files, the files of directories, and the names in a list."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .console import PIPE, STANDARD_INPUT, UsageError, binary_input

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Input:
    """What the caller named: a file, or a directory with those of its files that are of the right kind."""

    name: str
    path: Path
    files: tuple[Path, ...]
    listed: bool
    """Whether it came from a list, whose names keep all of their folders."""
    is_directory: bool


@dataclass
class Inputs:
    """All that was named, and what was found in directories besides."""

    items: list[Input] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    """Files in directories whose suffix says that they are of another kind."""
    hidden: int = 0
    """Files of the right kind in directories, whose name or folder begins with a dot."""
    unreadable: list[dict[str, str]] = field(default_factory=list)
    """Directories that could not be searched."""

    @property
    def files(self) -> list[Path]:
        """Every file, in the order of the inputs, each once."""
        return list(dict.fromkeys(file for item in self.items for file in item.files))

    @property
    def empty(self) -> list[str]:
        """The directories without a file of the right kind."""
        return [item.name for item in self.items if not item.files]

    def passed_over_text(self) -> str:
        """What was passed over, in a few words; empty if nothing was."""
        suffixes = Counter(Path(name).suffix.lower() or "no suffix" for name in self.passed_over)
        parts = [f"{count} {suffix}" for suffix, count in suffixes.most_common(6)]
        rest = len(self.passed_over) - sum(count for _, count in suffixes.most_common(6))
        parts += [f"{rest} others"] if rest else []
        parts += [f"{self.hidden} hidden"] if self.hidden else []
        total = len(self.passed_over) + self.hidden
        return f"passed over {counted(total, 'file')} in directories ({', '.join(parts)})" if total else ""


def counted(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


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


def find(names: Sequence[tuple[str, bool]], accepted: Sequence[str], output: Path | None = None) -> Inputs:
    """The files of all inputs. From directories those with the suffixes `accepted`; `output` is not searched."""
    found = Inputs()
    for name, listed in names:
        path = Path(name)
        if path.is_dir():
            files = tuple(_walk(path, accepted, output, found))
            found.items.append(Input(name, path, files, listed, is_directory=True))
        else:
            found.items.append(Input(name, path, (path,), listed, is_directory=False))
    return found


def _walk(directory: Path, accepted: Sequence[str], output: Path | None, found: Inputs) -> list[Path]:
    """The files of a directory, sorted. Linked directories are searched too, but not within themselves."""

    def unreadable(error: OSError) -> None:
        found.unreadable.append({"input": str(error.filename), "error": error.strerror or str(error)})

    files = []
    excluded = os.path.realpath(output) if output is not None else None
    for folder, subfolders, names in os.walk(directory, onerror=unreadable, followlinks=True):
        inside = [name for name in subfolders if _goes_on(Path(folder, name), directory, excluded)]
        subfolders[:] = sorted(inside)
        hidden_folder = any(part.startswith(".") for part in Path(folder).relative_to(directory).parts)
        for name in names:
            path = Path(folder, name)
            right = path.suffix.lower() in accepted
            if name.startswith(".") or hidden_folder:
                found.hidden += right
            elif right and not path.is_dir():
                files.append(path)
            elif not right:
                found.passed_over.append(str(path))
    return sorted(files)


def _goes_on(folder: Path, top: Path, excluded: str | None) -> bool:
    """Whether a subfolder is to be searched: it is neither the output nor a link to a folder that it lies in."""
    real = os.path.realpath(folder)
    above = (parent for parent in folder.parents if parent == top or top in parent.parents)
    return real != excluded and all(os.path.realpath(parent) != real for parent in above)
