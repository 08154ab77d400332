"""What to make of which input, and under which name, so that no two files meet."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .._found import Inputs, find
from .._found import labels as labels_of
from .console import PIPE, STANDARD_OUTPUT, UsageError, is_terminal
from .inputs import is_standard_input

SHOWN_NOTES = 10


@dataclass(frozen=True)
class Job:
    """One file to make from another. None stands for the standard input or output."""

    source: Path | None
    target: Path | None

    @property
    def name(self) -> str:
        """The input, for messages."""
        return PIPE if self.source is None else str(self.source)


@dataclass
class Plan:
    """All files to make."""

    jobs: list[Job]
    root: Path | None = None
    """The directory that all of them go into, if there is one."""
    inputs: Inputs = field(default_factory=Inputs)
    notes: list[str] = field(default_factory=list)
    """What the caller should know of the names: `from -> to`."""


def plan(names: Sequence[tuple[str, bool]], output: str | None, accepted: Sequence[str], suffix: str) -> Plan:
    """What to make: one file, a pipe, or a directory.

    `names` are the inputs and whether they came from a list; `accepted` are the suffixes that are picked from
    directories; `suffix` is that of files made in a directory.

    One directory is mirrored. Of several inputs each keeps its own name, and as much of its path as tells it from the
    others; names in a list keep their whole path. Raises `UsageError` where the output does not fit.
    """
    if is_standard_input([name for name, _ in names]):
        return Plan([Job(None, _single_target(PIPE if output is None else output))])
    if output is None:
        raise UsageError("-o OUT is required unless the input is the standard input")
    several = len(names) > 1 or any(listed or Path(name).is_dir() for name, listed in names)
    if not (several or output.endswith(("/", os.sep)) or Path(output).is_dir()):
        return Plan([Job(Path(names[0][0]), _single_target(output))])
    root = Path(output)
    if output in STANDARD_OUTPUT or (root.exists() and not root.is_dir()):
        raise UsageError(f"several files need a directory as output, got {output}")
    found = find(names, accepted, root)
    if not found.files and not found.unreadable:
        raise UsageError(nothing_in(found, accepted))
    targets, notes = _targets(found, root, suffix)
    notes += [f"no files ending in {_suffixes(accepted)} in {name}" for name in found.empty]
    return Plan([Job(source, target) for source, target in targets.items()], root, found, notes)


def nothing_in(found: Inputs, accepted: Sequence[str]) -> str:
    """That the directories hold nothing to work on."""
    text = f"no files ending in {_suffixes(accepted)} in {', '.join(found.empty)}"
    passed_over = found.passed_over_text()
    return f"{text}; {passed_over}" if passed_over else text


def _suffixes(accepted: Sequence[str]) -> str:
    return ", ".join(accepted[:8]) + (" and others" if len(accepted) > 8 else "")


def _single_target(output: str) -> Path | None:
    if output in STANDARD_OUTPUT:
        if is_terminal(errors=False):
            raise UsageError("will not write binary data to a terminal; use -o FILE or a pipe")
        return None
    if Path(output).is_dir():
        raise UsageError(f"expected a file as output, got the directory {output}")
    return Path(output)


def _targets(found: Inputs, root: Path, suffix: str) -> tuple[dict[Path, Path], list[str]]:
    """Where each file goes, and notes on what goes where it might not be looked for."""
    labels = labels_of(found.items)
    places: dict[Path, Path] = {}  # of a source, below the root, with its own suffix
    notes = []
    for item, label in zip(found.items, labels, strict=True):
        if item.is_directory and item.files and len(found.items) > 1:
            notes.append(f"{item.name} -> {root / label}")
        for file in item.files:
            place = label / file.relative_to(item.path) if item.is_directory else label
            places.setdefault(file, place)
    targets = {source: (root / place).with_suffix(suffix) for source, place in places.items()}
    while groups := _alike(targets):  # a.wav beside a.flac
        changed = False
        for alike in groups:
            for source in alike:
                longer = root / f"{places[source]}{suffix}"
                if targets[source] != longer:
                    targets[source], changed = longer, True
                    notes.append(f"{source} -> {longer}, as {len(alike)} inputs have the same name")
        if not changed:
            one, other, *_ = groups[0]
            raise UsageError(f"{one} and {other} would both become {targets[one]}; make two runs of it")
    if len(notes) > SHOWN_NOTES:
        notes = [*notes[:SHOWN_NOTES], f"... and {len(notes) - SHOWN_NOTES} more (--json lists all files)"]
    return targets, notes


def _alike(targets: dict[Path, Path]) -> list[list[Path]]:
    """Sources that have one target, as the system tells names apart."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for source, target in targets.items():
        groups[os.path.normcase(target)].append(source)
    return [sources for sources in groups.values() if len(sources) > 1]
