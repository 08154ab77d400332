"""Safetensors files taken apart and put together again, so that damage reaches what lies behind the header."""

import json
import random
import struct
from collections.abc import Sequence

from mutations import json_bytes, some_bytes, some_json


def split(data: bytes) -> tuple[bytes, bytes]:
    """The header's text and the data behind it."""
    (size,) = struct.unpack_from("<Q", data)
    return data[8 : 8 + size], data[8 + size :]


def join(header: bytes, body: bytes) -> bytes:
    """A file of a header's text and data."""
    return struct.pack("<Q", len(header)) + header + body


def damaged(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The header, the data or any bytes changed; the header's length is right as often as not."""
    choice = rng.random()
    if choice < 0.3:
        return some_bytes(rng, data, others)
    header, body = split(data)
    if choice < 0.8:
        header = json_bytes(some_json(rng, json.loads(header)))
    else:
        body = some_bytes(rng, body, [other[-len(body) :] for other in others]) if body else rng.randbytes(4)
    return join(header, body)
