"""Frames of codes as binary messages: `CODES`, a byte with the number of codebooks, and then the frames.

A frame takes whole bytes, so that it can be sent as soon as it is there. In it codes lie as in a packed stream
(`mimi_codec.token_files`), least significant bit first.
"""

from __future__ import annotations

import numpy as np

from .._arrays import Int64Array
from ..config import bits_per_code
from ..errors import LoadError
from ..token_files import bits

__all__ = ["CODES", "MOST_CODEBOOKS", "frame_bytes", "pack_codes", "unpack_codes"]

CODES = 2
MOST_CODEBOOKS = 255  # the number has one byte


def frame_bytes(num_codebooks: int, codebook_size: int) -> int:
    """Bytes of a frame: 11 for 8 codebooks of 2048.

    Args:
        num_codebooks: codes of a frame.
        codebook_size: entries of each codebook.

    Returns:
        The number of bytes.

    Example:
        >>> from mimi_codec.serve import frame_bytes
        >>> frame_bytes(8, 2048), frame_bytes(1, 2048)
        (11, 2)
    """
    return -(-num_codebooks * bits_per_code(codebook_size) // 8)


def pack_codes(codes: Int64Array, codebook_size: int) -> bytes:
    """A message with frames of codes.

    Args:
        codes: (K, m) integers of at least 0 and below `codebook_size`, K from 1 to 255.
        codebook_size: entries of each codebook.

    Returns:
        The binary message.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.serve import pack_codes
        >>> pack_codes(np.array([[1], [2047]]), 2048).hex()
        '020201f83f'
    """
    books, frames = codes.shape
    flags = bits.pack(np.ascontiguousarray(codes.T).reshape(-1), bits_per_code(codebook_size)).reshape(frames, -1)
    return bytes([CODES, books]) + np.packbits(flags, axis=1, bitorder="little").tobytes()


def unpack_codes(data: bytes, codebook_size: int, most: int = MOST_CODEBOOKS) -> Int64Array:
    """The frames of a message with codes.

    Args:
        data: the binary message.
        codebook_size: entries of each codebook.
        most: codebooks that a frame can have.

    Returns:
        Codes (K, m), int64.

    Raises:
        LoadError: it does not hold whole frames, or holds values that are not codes.

    Example:
        >>> from mimi_codec.serve import unpack_codes
        >>> unpack_codes(bytes.fromhex("020201f83f"), 2048).tolist()
        [[1], [2047]]
    """
    if len(data) < 2 or data[0] != CODES or not 1 <= data[1] <= most:
        raise LoadError(
            f"a message with codes begins with {CODES} and the number of codebooks, between 1 and {most}, "
            f"got {data[:2].hex(' ') or 'nothing'}",
        )
    books, width = data[1], bits_per_code(codebook_size)
    size = frame_bytes(books, codebook_size)
    if len(data) == 2 or (len(data) - 2) % size:
        raise LoadError(
            f"frames of {books} codebooks take {size} bytes each, and one is the least, got {len(data) - 2} bytes",
        )
    rows = np.frombuffer(data, np.uint8, offset=2).reshape(-1, size)
    flags = np.unpackbits(rows, axis=1, count=books * width, bitorder="little")
    codes = bits.unpack(flags.reshape(-1), width).reshape(len(rows), books)
    if codes.max() >= codebook_size:
        raise LoadError(f"codes must be below {codebook_size}, got {codes.max()}")
    return np.ascontiguousarray(codes.T)
