"""The header of a WAV file, field by field: readers differ in which of them they believe."""

import io
import struct

import numpy as np
import pytest

from mimi_codec import write_wav


@pytest.mark.parametrize("rate", [8000, 24000, 192_000])
@pytest.mark.parametrize(("subtype", "kind", "width"), [("int16", 1, 2), ("float32", 3, 4)])
def test_every_field(rate, subtype, kind, width):
    file = io.BytesIO()
    write_wav(file, np.linspace(-0.5, 0.5, 101, dtype=np.float32), rate, subtype=subtype)
    data = file.getvalue()
    riff, size, wave = struct.unpack_from("<4sI4s", data)
    assert (riff, size, wave) == (b"RIFF", len(data) - 8, b"WAVE")
    chunks, place = {}, 12
    while place < len(data):
        name, length = struct.unpack_from("<4sI", data, place)
        chunks[name] = data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2
    assert place == len(data)
    form, channels, found, bytes_per_second, frame, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
    assert (form, channels, found) == (kind, 1, rate)
    assert (bytes_per_second, frame, bits) == (rate * width, width, 8 * width)
    assert len(chunks[b"data"]) == 101 * width
    if kind == 3:
        assert struct.unpack("<I", chunks[b"fact"]) == (101,)
