"""Messages of the protocol that `docs/serve.md` describes: what they hold, and what is wrong with those that are not.

Text messages are JSON objects with a "type". Binary messages begin with a byte that says what follows: `PCM` and then
samples, or `CODES` and then frames of codes (`frames.py`).
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import Int64Array
from .._text import shown
from ..audio import to_int16
from ..errors import LoadError
from ..token_codec import TokenCodec
from .frames import CODES, pack_codes, unpack_codes

__all__ = ["PROTOCOL", "Refused", "Start", "Wire"]

PROTOCOL = 1
PCM = 1
SAMPLES = {"s16le": "<i2", "f32le": "<f4"}
DIRECTIONS = {"encode": ("pcm",), "decode": ("codes",), "duplex": ("pcm", "codes")}
GIVES = {"pcm": "codes", "codes": "pcm"}

POLICY, TOO_LARGE, INTERNAL, AGAIN_LATER = 1008, 1009, 1011, 1013


class Refused(Exception):
    """The end of one client's session: what it is told, and the code that closes its connection."""

    def __init__(self, kind: str, message: str, close: int = POLICY) -> None:
        super().__init__(message)
        self.kind, self.close = kind, close

    @property
    def text(self) -> str:
        """The error message as it is sent."""
        return message("error", error=self.kind, message=str(self))


@dataclass(frozen=True)
class Start:
    """What a client asks for at the beginning."""

    mode: str
    """encode, decode or duplex."""
    pcm: str
    """Form of the samples: s16le or f32le."""
    codebooks: int
    """Codes of each frame that the encoder gives."""

    @classmethod
    def read(cls, text: str, modes: Collection[str], most: int) -> Start:
        """The first message of a client. Raises `Refused` if it is not one, or asks for what the server has not."""
        fields = _object(text)
        if fields.pop("type", None) != "start":
            raise Refused("wrong_order", f'the first message must have the type "start", got {shown(text)}')
        mode, pcm, codebooks = fields.pop("mode", None), fields.pop("pcm", "s16le"), fields.pop("codebooks", most)
        if not isinstance(mode, str) or mode not in modes:
            raise Refused("bad_start", f"mode must be one of {', '.join(modes)}, got {shown(mode)}")
        if not isinstance(pcm, str) or pcm not in SAMPLES:
            raise Refused("bad_start", f"pcm must be one of {', '.join(SAMPLES)}, got {shown(pcm)}")
        if type(codebooks) is not int or not 1 <= codebooks <= most:
            raise Refused("bad_start", f"codebooks must be an integer between 1 and {most}, got {shown(codebooks)}")
        if fields:
            raise Refused("bad_start", f"a start message has mode, pcm and codebooks, got {shown(sorted(fields))}")
        return cls(mode, pcm, codebooks)


@dataclass(frozen=True)
class Wire:
    """How the messages of one session are read and written."""

    start: Start
    codebook_size: int
    codebooks: int
    """The most that the model takes."""

    def read(self, data: bytes) -> tuple[str, npt.NDArray[Any]]:
        """What a binary message holds: "pcm" and samples (n,), or "codes" and (K, m). Raises `Refused`."""
        if not data:
            raise Refused("bad_frame", "a binary message begins with a byte that says what it holds, got 0 bytes")
        if data[0] == PCM:
            kind = np.dtype(SAMPLES[self.start.pcm])
            held = len(data) - 1
            if not held or held % kind.itemsize:
                raise Refused(
                    "bad_frame",
                    f"samples of {self.start.pcm} take {kind.itemsize} bytes each, and one is the least, "
                    f"got {held} bytes",
                )
            return "pcm", np.frombuffer(data, kind, offset=1)
        if data[0] == CODES:
            try:
                return "codes", unpack_codes(data, self.codebook_size, self.codebooks)
            except LoadError as error:
                raise Refused("bad_frame", str(error)) from error
        raise Refused("bad_frame", f"a binary message begins with {PCM} (samples) or {CODES} (codes), got {data[0]}")

    def pcm(self, samples: npt.NDArray[np.float32]) -> bytes:
        """A message with samples (n,)."""
        held = to_int16(samples) if self.start.pcm == "s16le" else samples.astype(SAMPLES[self.start.pcm], copy=False)
        return bytes([PCM]) + held.tobytes()

    def codes(self, codes: Int64Array) -> bytes:
        """A message with frames (K, m): the first codebooks of each, as many as the client asked for."""
        return pack_codes(codes[: self.start.codebooks], self.codebook_size)


def modes_of(model: TokenCodec) -> list[str]:
    """What sessions of a codec can do: one that was loaded without a half lacks a direction."""
    halves = {"pcm": model.has_encoder, "codes": model.has_decoder}
    return [mode for mode, kinds in DIRECTIONS.items() if all(halves[kind] for kind in kinds)]


def ended(text: str) -> str:
    """What a client has sent the last of: "pcm" or "codes". Raises `Refused` if the message is not one of these."""
    fields = _object(text)
    if fields.get("type") != "end":
        raise Refused("wrong_order", f'after the start a text message must have the type "end", got {shown(text)}')
    kind = fields.get("of")
    if not isinstance(kind, str) or kind not in GIVES:
        raise Refused("bad_frame", f"end must be of pcm or codes, got {shown(kind)}")
    return kind


def message(kind: str, **fields: Any) -> str:
    """A text message."""
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))


def _object(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise Refused("bad_frame", f"a text message must be a JSON object, got {shown(text)}")
    return fields
