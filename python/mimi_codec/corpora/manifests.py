"""Lists of clips: JSON Lines, CSV and tab-separated values, with a path in each line and, if they like, an id."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .._text import shown
from ..errors import LoadError
from .sources import Source

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (".jsonl", ".ndjson", *DELIMITERS)
PATHS = ("path", "audio_filepath", "audio_path", "audio", "file", "filename", "wav")
IDS = ("id", "key", "utt_id")
SEGMENT = "offset"


def clips(path: Path) -> Iterator[tuple[str, Source]]:
    """Id and path of each line. Paths count from the folder of the list; a line without an id has its path for it.

    Raises:
        LoadError: a line is not what it should be.
        OSError: the list cannot be read.
    """
    for number, line in _lines(path):
        where = f"line {number} of {path}"
        file = _first(line, PATHS)
        if not isinstance(file, str) or not file:
            raise LoadError(f"{where} names no sound: expected one of {', '.join(PATHS)}, got {shown(line)}")
        if line.get(SEGMENT) not in (None, "", 0, "0", 0.0, "0.0"):
            raise LoadError(f"{where} is a part of a sound, from {shown(line[SEGMENT])} s on; parts are not supported")
        given = _first(line, IDS)
        if given is not None and not isinstance(given, (str, int)):
            raise LoadError(f"{where} has an id that is not text: {shown(given)}")
        yield str(given) if given not in (None, "") else os.path.normpath(file), os.path.abspath(path.parent / file)


def _first(line: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((line[name] for name in names if name in line), None)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines with their numbers from 1."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            delimiter = DELIMITERS.get(path.suffix.lower())
            if delimiter is not None:
                reader = csv.DictReader(file, delimiter=delimiter)
                for line in reader:
                    yield reader.line_num, line
                return
            for number, text in enumerate(file, 1):
                if text.strip():
                    found = json.loads(text)
                    if not isinstance(found, dict):
                        raise LoadError(f"line {number} of {path} is not a JSON object: {shown(found)}")
                    yield number, found
    except (ValueError, csv.Error) as error:
        raise LoadError(f"{path} is not a list of clips: {error}") from error
