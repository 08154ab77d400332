"""Tags that are put in front of or behind any sound file: ID3v1, ID3v2, APE and Lyrics3."""

from __future__ import annotations

import struct

from .source import Window

APE_HEAD = 32  # bytes of its header, and of its footer


def strip(window: Window) -> Window:
    """The sound without the tags around it."""
    start, end = 0, window.size
    while size := leading(window.read_at(start, APE_HEAD)):
        if start + size > end:
            break  # a size that lies is not a tag
        start += size
    while end > start and (size := _trailing(window, start, end)):
        end -= size
    return window.part(start, end)


def leading(head: bytes) -> int:
    """Bytes of the tag that begins with `head`, or 0."""
    if head[:3] == b"ID3" and len(head) >= 10 and head[3] < 0xFF and head[4] < 0xFF and max(head[6:10]) < 0x80:
        footer = 10 if head[5] & 0x10 else 0
        return 10 + _seven_bits(head[6:10]) + footer
    if head[:8] == b"APETAGEX" and len(head) >= APE_HEAD:
        size = int(struct.unpack_from("<I", head, 12)[0])
        return size + APE_HEAD
    if head[:3] == b"TAG":
        return 227 if head[3:4] == b"+" else 128
    return 0


def _trailing(window: Window, start: int, end: int) -> int:
    """Bytes of the last tag before `end`, or 0."""

    def before(back: int, count: int) -> bytes:
        return window.read_at(end - back, count) if end - back >= start else b""

    size = 0
    if before(128, 3) == b"TAG":
        size = 128
    elif before(227, 4) == b"TAG+":
        size = 227
    elif (foot := before(APE_HEAD, APE_HEAD))[:8] == b"APETAGEX":
        length, _, flags = struct.unpack_from("<3I", foot, 12)
        size = length + (APE_HEAD if flags & 0x80000000 else 0)
    elif (foot := before(10, 10))[:3] == b"3DI" and max(foot[6:10]) < 0x80:
        size = 20 + _seven_bits(foot[6:10])
    elif before(9, 9) == b"LYRICS200" and (digits := before(15, 6)).isdigit():
        size = int(digits) + 15
    return size if size <= end - start else 0


def _seven_bits(size: bytes) -> int:
    return size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]
