"""Ogg: the streams that are chained in a file, and what is missing. libsndfile reads the first stream alone."""

from __future__ import annotations

from dataclasses import dataclass

from .notes import Notes
from .source import Window

PAGE_HEAD = 27
FIRST, LAST = 2, 4  # flags of a page


@dataclass
class Link:
    """One stream, or several side by side, with a beginning of its own."""

    start: int
    end: int
    pages: int = 0


def links(window: Window, notes: Notes) -> list[Link]:
    """The chained streams of a file. Damage that can be seen in the pages is noted."""
    found: list[Link] = []
    offset, beginning, finished = 0, False, True
    following: dict[int, int] = {}
    while offset < window.size:
        head = window.read_at(offset, PAGE_HEAD + 255)
        entries = head[PAGE_HEAD - 1] if len(head) >= PAGE_HEAD else -1
        table = head[PAGE_HEAD : PAGE_HEAD + entries] if entries > 0 else b""
        whole = len(table) == entries
        end = offset + PAGE_HEAD + len(table) + sum(table) if whole else window.size
        if head[:4] != b"OggS":
            next_page = _find(window, offset)
            notes.warn(f"{next_page - offset} bytes between the pages of the Ogg file are not sound")
            offset = next_page
            continue
        if not whole or end > window.size:
            notes.warn("the last page of the Ogg file is cut short")
            finished = True  # said already
            break
        flags, serial, number = head[5], *(int.from_bytes(head[at : at + 4], "little") for at in (14, 18))
        if flags & FIRST:
            if not beginning:
                if not finished:
                    notes.warn("a stream of the Ogg file has no end mark: it may be cut short")
                found.append(Link(offset, end))
                following.clear()
            beginning, finished = True, False
        else:
            if not found:
                found.append(Link(offset, end))  # it has no beginning: a decoder says what it makes of that
            beginning = False
            if following.get(serial, number) != number:
                notes.warn("pages are missing in the Ogg file")
        following[serial] = number + 1
        finished = finished or bool(flags & LAST)
        if found:
            found[-1].end = end
            found[-1].pages += 1
        offset = end
    if not finished:
        notes.warn("the Ogg file has no end mark: it may be cut short")
    return found


def _find(window: Window, offset: int) -> int:
    """Where the next page begins, or the end."""
    piece = 1 << 16
    while offset < window.size:
        data = window.read_at(offset, piece + 3)
        place = data.find(b"OggS")
        if place >= 0:
            return offset + place
        offset += piece
    return window.size
