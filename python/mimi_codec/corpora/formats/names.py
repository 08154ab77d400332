"""File names for ids: each id has one of its own, whatever letters are in it."""

from __future__ import annotations

import hashlib

from ..rows import Row

LONGEST = 200  # bytes of a part of a path; systems allow 255 with the suffix
ESCAPED = {*map(chr, range(32)), "\x7f", "%", "~", "\\", ":", "*", "?", '"', "<", ">", "|"}


def key(row: Row, *, dots: bool = True) -> str:
    """The path of a row's file below its folder, without the suffix. `dots` allows them in the last part."""
    *folders, last = row.id.split("/")
    parts = [_part(part, "." if _looks_like_a_file(part) else "") for part in folders]
    parts.append(_part(last, "" if dots else "."))
    return "/".join(parts) + (f"~{row.channel}" if row.channel is not None else "")


def _looks_like_a_file(folder: str) -> bool:
    """Whether a folder could be the file of another id."""
    return folder.endswith((".safetensors", ".npy", ".json"))


def _part(part: str, also: str) -> str:
    """One part of a path, with what names cannot have as % and its hexadecimal number."""
    if part in ("", ".", ".."):
        return "%" + part.replace(".", "%2E")
    if part[0] in "._":  # hidden, or passed over by readers of data sets
        part, first = part[1:], f"%{ord(part[0]):02X}"
    else:
        first = ""
    name = first + "".join(f"%{ord(letter):02X}" if letter in ESCAPED or letter in also else letter for letter in part)
    if len(name.encode()) > LONGEST:
        kept = name.encode()[: LONGEST - 18].decode(errors="ignore")
        return f"{kept}%-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name
