"""MPEG audio (MP3 and its elder layers): the frames of a file, found by walking from one to the next.

libsndfile ends an MP3 where its tag says, or where a constant bit rate would end it. Both are often wrong: joined
files, variable bit rate without a tag, recordings cut out of a longer one. The walk knows how many frames there are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from .notes import Notes
from .tags import leading

HEADER = 4
SEARCH = 1 << 16  # bytes in which the first frame must begin
BIT_RATES = {  # kbit/s by (version 1, layer)
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version bits


class Frame(NamedTuple):
    """What a frame header says."""

    size: int  # bytes, with the header
    samples: int  # of each channel
    rate: int
    family: tuple[int, int, int]  # version, layer, rate: the same in all frames of one recording


@cache
def frame_of(second: int, third: int) -> Frame | None:
    """The frame whose header's second and third byte these are; None if there is no such frame."""
    version, layer, bit_rate, rate = second >> 3 & 3, 4 - (second >> 1 & 3), third >> 4, third >> 2 & 3
    if second < 0xE0 or version == 1 or layer == 4 or bit_rate in (0, 15) or rate == 3:
        return None  # bit rate 0 is a free format, which nobody writes
    hertz = SAMPLE_RATES[version][rate]
    bits = 1000 * BIT_RATES[version == 3, layer][bit_rate - 1]
    padding = third >> 1 & 1
    if layer == 1:
        return Frame((12 * bits // hertz + padding) * 4, 384, hertz, (version, layer, hertz))
    samples = 576 if layer == 3 and version != 3 else 1152
    return Frame(samples // 8 * bits // hertz + padding, samples, hertz, (version, layer, hertz))


def frame_at(data: bytes, offset: int) -> Frame | None:
    """The frame that begins at `offset`, if one does."""
    if offset + HEADER > len(data) or data[offset] != 0xFF:
        return None
    return frame_of(data[offset + 1], data[offset + 2])


@dataclass
class Segment:
    """One recording in a file: frames of one kind, with at most one tag, in front."""

    frame: Frame
    channels: int
    tag: bytes = b""  # the frame that holds the tag instead of sound
    pieces: list[bytes] = field(default_factory=list)
    count: int = 0

    @property
    def samples(self) -> int:
        """Of all frames, before the delay of encoder and decoder is taken away."""
        return self.count * self.frame.samples

    @property
    def said(self) -> int | None:
        """Frames that there are by a Xing or Info tag; None without a number."""
        place = _xing(self.tag)
        if not place or not self.tag[place + 7] & 1:
            return None
        number = int(struct.unpack_from(">I", self.tag, place + 8)[0])
        return number or None

    def corrected(self) -> bytes:
        """The recording with a tag that tells the true number of frames, and no padding at the end to take away."""
        tag, place = bytearray(self.tag), _xing(self.tag)
        struct.pack_into(">I", tag, place + 8, self.count)
        flags = tag[place + 7]
        if flags & 2:
            size = len(tag) + sum(map(len, self.pieces))
            struct.pack_into(">I", tag, place + 8 + 4 * (flags & 1), min(size, 0xFFFFFFFF))
        lame = place + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
        if lame + 24 <= len(tag):
            tag[lame + 22] &= 0xF0
            tag[lame + 23] = 0
        return b"".join([bytes(tag), *self.pieces])


def is_mpeg(data: bytes) -> bool:
    """Whether the file begins with MPEG audio, some rubbish in front allowed."""
    return _next_frame(data[: 2 * SEARCH], 0, None, SEARCH) is not None


def segments(data: bytes, notes: Notes) -> list[Segment]:
    """The recordings in a file, one behind the other."""
    found: list[Segment] = []
    rubbish = 0
    for start, end, frame in _walk(data, notes):
        if frame is None:
            rubbish += _rubbish(data, start, end)
            continue
        piece = data[start:end]
        channels = 1 if piece[3] >> 6 == 3 else 2
        tagged = frame.family[1] == 3 and (_xing(piece) or piece[36:40] == b"VBRI")
        if tagged or not found or found[-1].frame.family != frame.family or found[-1].channels != channels:
            found.append(Segment(frame, channels, piece if tagged else b""))
        if not tagged:
            found[-1].pieces.append(piece)
            found[-1].count += 1
    if rubbish:
        notes.warn(f"{rubbish} bytes between the frames are not sound and were passed over: sound may be missing there")
    return [segment for segment in found if segment.count]


def _walk(data: bytes, notes: Notes) -> Iterator[tuple[int, int, Frame | None]]:
    """(start, end, frame) of every frame, and of what lies between them, with None."""
    first = _next_frame(data, 0, None, SEARCH)
    offset = 0 if first is None else first
    family: tuple[int, int, int] | None = None
    while offset < len(data):
        frame = frame_at(data, offset)
        known = frame is not None and (frame.family == family or _confirmed(data, offset, frame))
        if frame is None or not known:
            following = _next_frame(data, offset, family, len(data))
            end = len(data) if following is None else following
            yield offset, end, None
            offset = end
        elif offset + frame.size > len(data):
            there = len(data) - offset
            if any(data[offset + HEADER :]):
                notes.warn(f"the last frame is cut short: {there} of {frame.size} bytes are there")
            return
        else:
            family = frame.family
            yield offset, offset + frame.size, frame
            offset += frame.size


def _next_frame(data: bytes, offset: int, family: tuple[int, int, int] | None, limit: int) -> int | None:
    """Where the next frame begins that is one for certain, tags passed over."""
    while True:
        while tag := leading(data[offset : offset + 32]):
            offset += tag
        frame = frame_at(data, offset)
        if frame is not None and _confirmed(data, offset, frame):
            return offset
        offset = data.find(b"\xff", offset + 1, limit)
        if offset < 0:
            return None


def _confirmed(data: bytes, offset: int, frame: Frame) -> bool:
    """Whether two more frames of the same kind follow, or the data ends before that with a whole frame."""
    for followers in range(2):
        offset += frame.size
        if offset == len(data) or (followers and offset > len(data)) or leading(data[offset : offset + 32]):
            return True
        following = frame_at(data, offset)
        if following is None or following.family != frame.family:
            return False
        frame = following
    return True


def _rubbish(data: bytes, start: int, end: int) -> int:
    """Bytes that are neither tags nor zeros."""
    while start < end and (tag := leading(data[start : start + 32])):
        start += tag
    return len(data[start:end].strip(b"\0"))


def _xing(frame: bytes) -> int:
    """Where the tag in a frame begins, or 0. Encoders put it behind the side information, of 9 to 32 bytes."""
    for sign in (b"Xing", b"Info"):
        place = frame.find(sign, HEADER + 9, HEADER + 2 + 32 + 4)
        if place > 0 and len(frame) >= place + 12:
            return place
    return 0
