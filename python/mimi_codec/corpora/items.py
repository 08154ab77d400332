"""The clips of a corpus, each with an id that nothing else has: from files, folders, patterns, archives and lists."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from .. import _found
from .._text import shown
from ..audio import AUDIO_SUFFIXES
from ..errors import ConfigError, InputTypeError
from . import archives, manifests
from .sources import Source, SourceInput, path_of, shown_path, size_of, to_source

ItemInput: TypeAlias = "str | os.PathLike[str] | tuple[str, SourceInput]"
ItemsInput: TypeAlias = "ItemInput | Iterable[ItemInput]"
"""What `tokenize` takes: a path, or any number of paths and of (id, sound)."""

LONGEST_ID = 4096


class Item:
    """A clip that is to be tokenized."""

    __slots__ = ("_size", "id", "source")

    def __init__(self, name: str, source: Source) -> None:
        self.id, self.source = name, source
        self._size: int | None = None

    @property
    def size(self) -> int:
        """Bytes, by which clips are put in order and the time left is told; 0 if nobody knows. Looked up once."""
        if self._size is None:
            self._size = size_of(self.source)
        return self._size


@dataclass
class Corpus:
    """All clips, in the order of their ids, and what was passed over."""

    items: list[Item]
    notes: list[str] = field(default_factory=list)


def corpus_of(inputs: ItemsInput, output: Path | None = None) -> Corpus:
    """The clips that a caller named. Directories are searched, without the output.

    Raises:
        ConfigError: two clips have one id, or there are none.
        InputTypeError: an input of another type.
        LoadError: a list or an archive cannot be read.
        OSError: a file or directory cannot be read.
    """
    corpus = Corpus([])
    named: list[str] = []
    given: Any = [inputs] if isinstance(inputs, (str, os.PathLike)) or _is_pair(inputs) else inputs
    if not isinstance(given, Iterable):
        raise InputTypeError(f"items must be paths or (id, sound), got {type(inputs).__name__}")
    for item in given:
        if isinstance(item, (str, os.PathLike)):
            named.append(os.fspath(item))
        elif _is_pair(item):
            corpus.items.append(_given(*item))
        else:
            raise InputTypeError(f"items must be paths or (id, sound), got {shown(item)}")
    corpus.items += _named(sorted(set(named)), output, corpus)
    corpus.items.sort(key=lambda item: item.id)
    _check_unique(corpus.items)
    if not corpus.items:
        where = "; ".join(corpus.notes)
        raise ConfigError(f"there are no clips{f': {where}' if where else ''}")
    return corpus


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)


def _given(name: str, value: Any) -> Item:
    if not 0 < len(name) <= LONGEST_ID:
        raise ConfigError(f"an id must have between 1 and {LONGEST_ID} characters, got {shown(name)}")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"an id must be Unicode text, got {shown(name)}") from error
    return Item(name, to_source(value, name))


def _named(names: Sequence[str], output: Path | None, corpus: Corpus) -> Iterator[Item]:
    """The clips of paths. Several inputs are told apart by as much of their paths as that takes."""
    expanded: list[_found.Input] = []
    for name in names:
        expanded.append(_expanded(name, output, corpus))
    places: dict[str, Item] = {}
    for given, label in zip(expanded, _found.labels(expanded), strict=True):
        if _is_list(given):
            for item_id, source in _listed(given.path):
                yield Item(shown_path(label / item_id) if len(expanded) > 1 else shown_path(item_id), source)
            continue
        for file in given.files:
            place = label / file.relative_to(given.path) if given.is_directory else label
            item = Item(Path(shown_path(place)).as_posix(), os.path.abspath(file))
            # A file in two inputs is one clip, whichever input comes first.
            kept = places.get(str(item.source))
            if kept is None or item.id < kept.id:
                places[str(item.source)] = item
    yield from places.values()


def _expanded(name: str, output: Path | None, corpus: Corpus) -> _found.Input:
    """A file, or a directory or pattern with its files, which are named from the part without a pattern."""
    path = Path(name)
    if not path.exists() and glob.has_magic(name):
        root = _root_of(name)
        files = sorted(Path(found) for found in glob.glob(name, recursive=True) if not os.path.isdir(found))
        if not files:
            raise ConfigError(f"no files match {name!r}")
        return _found.Input(name, root, tuple(files), listed=False, is_directory=True)
    if not path.exists():
        raise FileNotFoundError(f"there is no {name}")
    found = _found.find([(name, False)], AUDIO_SUFFIXES, output)
    for entry in found.unreadable:  # the ids must not depend on what could be searched today
        raise OSError(f"cannot search {entry['input']}: {entry['error']}")
    if text := found.passed_over_text():
        corpus.notes.append(f"{name}: {text}")
    if found.items[0].is_directory and not found.items[0].files:
        corpus.notes.append(f"{name}: no sound files")
    return found.items[0]


def _root_of(pattern: str) -> Path:
    """The folders before the first part of a pattern that has a wildcard."""
    kept = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        kept.append(part)
    return Path(*kept) if kept else Path()


def _is_list(given: _found.Input) -> bool:
    return not given.is_directory and given.path.suffix.lower() in (archives.SUFFIX, *manifests.SUFFIXES)


def _listed(path: Path) -> Iterator[tuple[str, Source]]:
    """The clips of an archive or a list."""
    return archives.clips(path) if path.suffix.lower() == archives.SUFFIX else manifests.clips(path)


def _check_unique(items: Sequence[Item]) -> None:
    twice = [(one, other) for one, other in pairwise(items) if one.id == other.id]
    if twice:
        what = " and ".join(path_of(item.source) or "sound in memory" for item in twice[0])
        more = f"; {len(twice) - 1} more are not" if len(twice) > 1 else ""
        raise ConfigError(f"ids must be unique, got {shown(twice[0][0].id)} for {what}{more}")
