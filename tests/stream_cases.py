"""What the tests of streams have in common: cuts, codes, streams in use."""

import json
import zlib

import numpy as np
from hypothesis import strategies as st

import signals

HOP = 16  # of the tiny model, whose attention window is 3 frames
CODEBOOKS = 6

# Chunks around nothing, one frame and several; up to about 40 frames in all.
CHUNKS = st.lists(st.one_of(st.integers(0, 3 * HOP), st.sampled_from([0, 1, HOP - 1, HOP, HOP + 1, 97])), max_size=16)
FRAME_CHUNKS = st.lists(st.integers(0, 6), max_size=12)


def split(array: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """Pieces of these sizes along the last axis."""
    return np.split(array, np.cumsum(sizes)[:-1], axis=-1) if sizes else []


def random_codes(frames: int, seed: int = 0, rows: int | None = None) -> np.ndarray:
    shape = (CODEBOOKS, frames) if rows is None else (rows, CODEBOOKS, frames)
    return np.random.default_rng([seed, frames]).integers(0, 32, shape)


def encode_all(stream, pieces) -> np.ndarray:
    return np.concatenate([*(stream.push(piece) for piece in pieces), stream.flush()], axis=-1)


def used(stream, length: int = 5 * HOP + 7):
    """The same stream after some unrelated input."""
    shape = (length,) if stream.batch_size == 1 else (stream.batch_size, 1, length)
    stream.push(signals.noise(stream.batch_size * length, seed=99).reshape(shape))
    return stream


def sealed(state: bytes) -> bytes:
    """A changed state with the checksum of its content."""
    data = 8 + int.from_bytes(state[:8], "little")
    old, description = json.loads(state[8:data])["__metadata__"]["mimi_stream"].split(" ", 1)
    checksum = zlib.crc32(state[data:], zlib.crc32(description.encode()))
    return state.replace(old.encode(), f"{checksum:08x}".encode(), 1)
