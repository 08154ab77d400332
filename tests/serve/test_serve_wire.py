"""Frames of codes as bytes: every value comes back, in the bits of a packed stream, and nothing else is taken."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimi_codec.errors import LoadError
from mimi_codec.serve import frame_bytes, pack_codes, unpack_codes
from mimi_codec.token_files import PackedHeader, PackedWriter


@given(st.integers(1, 255), st.integers(2, 70_000), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_codes_come_back(books, size, frames, seed):
    codes = np.random.default_rng(seed).integers(0, size, (books, frames + 1))
    message = pack_codes(codes, size)
    assert len(message) == 2 + (frames + 1) * frame_bytes(books, size)
    np.testing.assert_array_equal(unpack_codes(message, size), codes)


def test_frames_of_whole_bytes_are_those_of_a_packed_stream():
    """8 codebooks of 2048 take 11 bytes: a client can put the frames in a file as they come."""
    codes = np.random.default_rng(1).integers(0, 2048, (8, 10))
    file = io.BytesIO()
    header = PackedHeader(num_codebooks=8)
    with PackedWriter(file, header) as writer:
        writer.write(codes)
    assert pack_codes(codes, 2048)[2:] == file.getvalue()[len(header.to_bytes()) : -4]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got nothing"),
        (b"\x02", "got 02"),
        (b"\x01\x08" + bytes(10), "begins with 2"),
        (b"\x02\x09" + bytes(12), "between 1 and 8, got 02 09"),
        (b"\x02\x08", "take 10 bytes each, and one is the least, got 0 bytes"),
        (b"\x02\x08" + bytes(11), "take 10 bytes each, and one is the least, got 11 bytes"),
        (b"\x02\x08" + b"\xff" * 10, "codes must be below 1000, got 1023"),
    ],
)
def test_what_is_not_codes(data, message):
    with pytest.raises(LoadError, match=message):
        unpack_codes(data, 1000, 8)
