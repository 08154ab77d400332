"""Files and directories that a caller names: which files they stand for, and names that tell them apart."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


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


def labels(items: Sequence[Input]) -> list[Path]:
    """The name of each input: its own, and as much of its path as tells it from the others; in a list all of it.

    A directory that is the only input needs none.
    """
    if len(items) == 1 and items[0].is_directory and not items[0].listed:
        return [Path()]
    paths = [_parts(item) for item in items]
    kept = [len(parts) if item.listed else 1 for item, parts in zip(items, paths, strict=True)]
    while True:
        groups: dict[Path, list[int]] = defaultdict(list)
        for index, (parts, count) in enumerate(zip(paths, kept, strict=True)):
            groups[_last(parts, count)].append(index)
        alike = [index for group in groups.values() if len({paths[i] for i in group}) > 1 for index in group]
        longer = [index for index in alike if kept[index] < len(paths[index])]
        if not longer:
            return [_last(parts, count) for parts, count in zip(paths, kept, strict=True)]
        for index in longer:
            kept[index] += 1


def _parts(item: Input) -> tuple[str, ...]:
    """The folders and the name of an input: as they are written in a list, in full on the command line."""
    path = Path(os.path.normpath(item.path) if item.listed else os.path.abspath(item.path))
    parts = path.parts[1:] if path.anchor else path.parts
    return tuple(part for part in parts if part not in (os.curdir, os.pardir))


def _last(parts: tuple[str, ...], count: int) -> Path:
    return Path(*parts[len(parts) - count :])
