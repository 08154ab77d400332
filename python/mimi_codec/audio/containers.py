"""Containers of plain samples: where the samples lie, whatever the sizes in the header say.

WAV (RIFF, RIFX, RF64, BW64), W64, AIFF and AIFC, AU, CAF. A recorder that was killed leaves sizes of zero, one that
writes to a pipe leaves the largest number, and a copy that was broken off leaves more than there is. `find` says where
the samples really end, and how to correct the header so that any reader sees them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import AudioError
from .notes import Notes, share
from .source import Window

PCM, FLOAT, MP3, EXTENSIBLE = 1, 3, 0x55, 0xFFFE
GUID_WAVE = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # behind the four letters of a W64 chunk
GUID_RIFF = bytes.fromhex("2e91cf11a5d628db04c10000")
# What programs write as a size that they do not know yet: 2^31 and 2^32 less some bytes for the header
UNKNOWN_FROM = 0x7FFF0000
# Larger ones, in formats with 64-bit sizes
UNKNOWN_FROM_64 = 1 << 62
# Another file begins so
FILE_MARKS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"riff", b"caff", b".snd")


class Layout(NamedTuple):
    """How the chunks of a container are written."""

    name: str
    first: int  # offset of the first chunk
    id_size: int
    size: str  # struct format of the size
    alignment: int
    inclusive: bool  # the size counts the head of the chunk too
    data: bytes
    order: str

    @property
    def head(self) -> int:
        """Bytes before what a chunk holds."""
        return self.id_size + struct.calcsize(self.size)


RIFF = Layout("WAV", 12, 4, "<I", 2, False, b"data", "<")
RIFX = RIFF._replace(size=">I", order=">")
RF64 = RIFF._replace(name="RF64")
W64 = Layout("W64", 40, 16, "<Q", 8, True, b"data" + GUID_WAVE, "<")
AIFF = Layout("AIFF", 12, 4, ">I", 2, False, b"SSND", ">")
CAF = Layout("CAF", 8, 4, ">Q", 1, False, b"data", ">")


@dataclass
class Container:
    """A header that was understood. Offsets are from the beginning of the window."""

    name: str
    order: str
    start: int  # of the samples
    end: int
    tag: int = 0  # the codec's number in WAV and W64
    channels: int = 0
    rate: int = 0
    bits: int = 0
    frame: int = 0  # bytes of one sample of all channels, 0 where they have no fixed size
    following: int | None = None  # where another file begins behind this one
    complete: bool = True  # nothing behind the samples is needed to read them
    patches: dict[int, bytes] = field(default_factory=dict)

    def repaired(self, window: Window) -> Window:
        """The file with sizes that are true."""
        return window.part(0, self.end if self.complete else None, self.patches)


def find(window: Window, notes: Notes) -> Container | None:
    """The container that `window` begins with, or None.

    Raises:
        AudioError: the header is damaged.
    """
    head = window.read_at(0, 40)
    kind, form = head[:4], head[8:12]
    if kind in (b"RIFF", b"RIFX") and form == b"WAVE":
        return _chunked(window, RIFF if kind == b"RIFF" else RIFX, notes)
    if kind in (b"RF64", b"BW64") and form == b"WAVE":
        return _chunked(window, RF64, notes)
    if head[:16] == b"riff" + GUID_RIFF and head[24:40] == b"wave" + GUID_WAVE:
        return _chunked(window, W64, notes)
    if kind == b"FORM" and form in (b"AIFF", b"AIFC"):
        return _chunked(window, AIFF, notes)
    if kind == b"caff":
        return _chunked(window, CAF, notes)
    if kind in (b".snd", b"dns.") and len(head) >= 24:
        return _au(window, head, notes)
    return None


def _chunks(window: Window, layout: Layout, first: int) -> Iterator[tuple[bytes, int, int]]:
    """(id, offset of the content, size) of each chunk, as long as they make sense."""
    offset = first
    while offset + layout.head <= window.size:
        head = window.read_at(offset, layout.head)
        name, size = head[: layout.id_size], int(struct.unpack(layout.size, head[layout.id_size :])[0])
        if not _is_name(name):
            return
        if layout.inclusive:
            size = max(0, size - layout.head)
        content = offset + layout.head
        yield name, content, size
        offset = content + size
        padding = -size % layout.alignment
        # Some programs write odd sizes without the byte that must follow them.
        if padding and (layout.alignment > 2 or not _is_name(window.read_at(offset, 4)) or _padded(window, offset)):
            offset += padding


def _padded(window: Window, offset: int) -> bool:
    return window.read_at(offset, 1) == b"\0" or _is_name(window.read_at(offset + 1, 4))


def _is_name(name: bytes) -> bool:
    return len(name) >= 4 and all(0x20 <= byte < 0x7F for byte in name[:4])


def _chunked(window: Window, layout: Layout, notes: Notes) -> Container:
    described, data, long_size = None, None, None
    for name, offset, size in _chunks(window, layout, layout.first):
        if name == b"ds64" and layout is RF64 and size >= 24:
            long_size = (offset + 8, int(struct.unpack("<Q", window.read_at(offset + 8, 8).ljust(8, b"\0"))[0]))
        elif name[:4] in (b"fmt ", b"COMM", b"desc") and described is None:
            described = window.read_at(offset, min(size, 64))
        elif name == layout.data:
            data = offset, size
        if data is not None and (described is not None or layout is not AIFF):
            break
    if data is None:
        raise AudioError(f"it is a {layout.name} file without a part that holds samples")
    if described is None:
        raise AudioError(f"it is a {layout.name} file that does not describe its samples")
    offset, size = data
    lead = 8 if layout is AIFF else 4 if layout is CAF else 0  # what stands in front of the samples
    found = Container(layout.name, layout.order, min(offset + lead, window.size), window.size)
    _describe(found, layout, described)
    claimed = max(0, size - lead)
    if layout is RF64 and size == 0xFFFFFFFF and long_size is not None:
        claimed = long_size[1]
    limit = UNKNOWN_FROM if struct.calcsize(layout.size) == 4 and claimed < 1 << 32 else UNKNOWN_FROM_64
    _set_end(window, found, claimed, limit, layout, notes)
    # A CAF's packet table may lie behind the samples, and so may an AIFF's description.
    found.complete = layout is not CAF
    _correct(found, layout, data, lead, long_size)
    return found


def _describe(found: Container, layout: Layout, text: bytes) -> None:
    """Rate, channels and the size of a sample, as far as they are plain."""
    if layout is AIFF:
        if len(text) < 18:
            raise AudioError(f"the COMM chunk of an AIFF file has at least 18 bytes, got {len(text)}")
        found.channels, _, found.bits = struct.unpack_from(">hIh", text)
        exponent, mantissa = struct.unpack_from(">HQ", text, 8)
        power = (exponent & 0x7FFF) - 16383 - 63
        found.rate = int(mantissa * 2.0**power) if -64 < power < 0 else 0
        plain = text[18:22] in (b"", b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32")
    elif layout is CAF:
        if len(text) < 32:
            raise AudioError(f"the description of a CAF file has 32 bytes, got {len(text)}")
        rate, kind, _, packet, _, found.channels, found.bits = struct.unpack_from(">d4s5I", text)
        found.rate = int(rate) if 0 < rate < 1 << 31 else 0
        found.frame = packet if kind == b"lpcm" else 0
        return
    else:
        if len(text) < 16:
            raise AudioError(f"the fmt chunk of a WAV file has at least 16 bytes, got {len(text)}")
        found.tag, found.channels, found.rate, _, _, found.bits = struct.unpack_from(layout.order + "HHIIHH", text)
        if found.tag == EXTENSIBLE and len(text) >= 26:
            found.tag = struct.unpack_from(layout.order + "H", text, 24)[0]
        plain = found.tag in (PCM, FLOAT)
    if plain and found.channels > 0:
        found.frame = found.channels * ((max(found.bits, 1) + 7) // 8)


def _set_end(
    window: Window, found: Container, claimed: int, unknown_from: int, layout: Layout | None, notes: Notes
) -> None:
    """Decide how far the samples go: `claimed` bytes, fewer if the file ends, all there are if nothing is known."""
    there = window.size - found.start
    behind = there - claimed
    empty = claimed == 0 and there > 0 and not (layout and _chunks_to_the_end(window, layout, found.start))
    if empty or (claimed >= unknown_from and behind < 0):
        notes.did("the header gives no length: read to the end of the file")
    elif behind < 0:
        if found.frame and found.rate:
            lost = share(there // found.frame, claimed // found.frame, found.rate)
        else:
            lost = f"{there} of {claimed} bytes"
        notes.warn(f"the sound is cut short: {lost} are there")
    elif behind > 0 and behind % (1 << 32) == 0 and claimed < 1 << 32:
        notes.did("the header's length went past 4 GiB and began again at 0: read to the end of the file")
    else:
        found.end = found.start + claimed
        end = found.end + (-claimed % layout.alignment if layout else 0)
        if window.read_at(end, 4) in FILE_MARKS:
            found.following = end
        elif behind > 1 and not (layout and _chunks_to_the_end(window, layout, end)) and not _silent(window, found.end):
            notes.warn(f"{behind} bytes behind the sound were not read: the header says that it ends before them")


def _chunks_to_the_end(window: Window, layout: Layout, offset: int) -> bool:
    """Whether nothing but whole chunks follows."""
    end = offset
    for name, content, size in _chunks(window, layout, offset):
        if name in FILE_MARKS:
            return False  # another file follows
        end = content + size
    return offset < end and end <= window.size <= end + layout.alignment


def _silent(window: Window, offset: int) -> bool:
    """Whether only zeros follow, a few thousand bytes at most: files are filled up so."""
    return window.size - offset <= 1 << 16 and not window.read_at(offset, 1 << 16).strip(b"\0")


def _correct(
    found: Container, layout: Layout, data: tuple[int, int], lead: int, long_size: tuple[int, int] | None
) -> None:
    """The bytes of the header that make its sizes true."""
    offset, size = data
    length = found.end - found.start + lead
    if layout is CAF:
        if size != length:
            found.patches[offset - 8] = struct.pack(">Q", length)
        return
    whole = found.end
    if layout is W64:
        found.patches[16] = struct.pack("<Q", whole)
        found.patches[offset - 8] = struct.pack("<Q", length + layout.head)
        return
    order = layout.order
    if layout is RF64:
        found.patches[0] = b"RIFF" if long_size is None else b"RF64"  # the same format is called BW64 too
        if long_size is not None:
            found.patches[long_size[0] - 8] = struct.pack("<QQ", whole - 8, length)
            found.patches[offset - 4] = b"\xff\xff\xff\xff"
            return
    found.patches[4] = struct.pack(order + "I", min(whole - 8, 0xFFFFFFFF))
    found.patches[offset - 4] = struct.pack(order + "I", min(length, 0xFFFFFFFF))


def _au(window: Window, head: bytes, notes: Notes) -> Container:
    order = ">" if head[:4] == b".snd" else "<"
    start, claimed, encoding, rate, channels = struct.unpack_from(order + "5I", head, 4)
    found = Container("AU", order, min(start, window.size), window.size, channels=channels, rate=rate)
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(encoding, 0)
    found.frame = width * channels
    _set_end(window, found, claimed, UNKNOWN_FROM, None, notes)
    found.patches[8] = struct.pack(order + "I", min(found.end - found.start, 0xFFFFFFFF))
    return found
