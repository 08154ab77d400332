"""A stream of codes at Mimi's real bit rate: 11 bits per code for codebooks of 2048, for files and wires.

    magic    8 bytes  89 4D 43 53 0D 0A 1A 0A
    size     u16      bytes of the description
    text     JSON     version, model, revision, sample_rate, frame_rate, num_codebooks, codebook_size, num_samples,
                      kind (left out where it is not known)
    check    u32      CRC-32 of everything so far
    blocks            64 frames each, and a last one of 0 to 63

A block has its frames without gaps, then zero bits up to a whole byte, then the CRC-32 of the number of its first frame
(u64) and of these bytes. A frame has num_codebooks codes of ceil(log2(codebook_size)) bits, least significant bit
first, and takes at least 8 bits. Numbers are little-endian. A stream ends with a block of fewer than 64 frames, so a
stream that was cut off can be told from a complete one. Where a frame lies follows from its number. The checks cost 4
bytes in 5 seconds of `kyutai/mimi`.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .._arrays import Int64Array
from .._text import shown
from ..config import bits_per_code
from ..errors import ConfigError, LoadError
from . import bits
from .content import Codec

__all__ = ["MAGIC", "PackedHeader"]

MAGIC = b"\x89MCS\r\n\x1a\n"
VERSION = 1
BLOCK_FRAMES = 64  # a multiple of 8: a full block of any width ends on a whole byte
CHECK_BYTES = 4
PREFIX_BYTES = len(MAGIC) + 2
LARGEST_COUNT = 1 << 16


BitArray: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PackedHeader:
    """What a stream says of itself.

    Raises:
        ConfigError: a value is outside its range.

    Example:
        >>> from mimi_codec.token_files import PackedHeader
        >>> PackedHeader(num_codebooks=8).bits_per_second
        1100.0
    """

    num_codebooks: int
    """Codes of a frame."""
    codebook_size: int = 2048
    """Entries of each codebook; codes are below it."""
    frame_rate: float = 12.5
    """Frames per second."""
    sample_rate: int = 24000
    """Samples per second."""
    model: str = "kyutai/mimi"
    """What the model was loaded by."""
    revision: str | None = None
    """Commit of the model's repository, if it has one."""
    num_samples: int | None = None
    """Samples of the clip, if known when the stream began; None means that all frames are whole."""
    kind: str | None = None
    """Which kind of codec made the codes, as `mimi_codec.load` names them; None where it is not known."""

    def __post_init__(self) -> None:
        if type(self.num_codebooks) is not int or not 1 <= self.num_codebooks <= LARGEST_COUNT:
            raise ConfigError(
                f"num_codebooks must be an integer between 1 and {LARGEST_COUNT}, got {shown(self.num_codebooks)}"
            )
        self.codec  # noqa: B018 - checks the fields that it shares
        if self.num_samples is not None and (type(self.num_samples) is not int or self.num_samples < 0):
            raise ConfigError(f"num_samples must be an integer of at least 0, got {shown(self.num_samples)}")

    @property
    def codec(self) -> Codec:
        """The codec that the codes belong to."""
        return Codec(self.model, self.revision, self.sample_rate, self.frame_rate, self.codebook_size, self.kind)

    @property
    def bits_per_code(self) -> int:
        """Bits of one code: ceil(log2(codebook_size))."""
        return bits_per_code(self.codebook_size)

    @property
    def frame_bits(self) -> int:
        """Bits of a frame: 88 for 8 codebooks of 2048. At least 8, so that bytes tell the number of frames."""
        return max(8, self.num_codebooks * self.bits_per_code)

    @property
    def bits_per_second(self) -> float:
        """Bit rate without the checks: 1100 for 8 codebooks of 2048 at 12.5 frames per second."""
        return self.frame_bits * self.frame_rate

    def to_bytes(self) -> bytes:
        """The bytes before the blocks.

        Returns:
            The header as it is in a file.

        Raises:
            ConfigError: the description is too long.
        """
        fields = asdict(self)
        if self.kind is None:
            del fields["kind"]
        text = json.dumps({"version": VERSION, **fields}, separators=(",", ":")).encode()
        if len(text) >= 1 << 16:
            raise ConfigError(
                f"the description must take less than {1 << 16} bytes, got {len(text)}; use a shorter model name"
            )
        head = MAGIC + struct.pack("<H", len(text)) + text
        return head + struct.pack("<I", zlib.crc32(head))

    @staticmethod
    def size(prefix: bytes) -> int:
        """The length of a header.

        Args:
            prefix: its first `PREFIX_BYTES` bytes.

        Returns:
            The bytes that the whole header takes.

        Raises:
            LoadError: no stream begins like this.
        """
        if not prefix.startswith(MAGIC[: len(prefix)]):
            raise LoadError(f"not a packed code stream: it begins with {prefix[:8]!r}")
        if len(prefix) < PREFIX_BYTES:
            raise LoadError(f"truncated code stream: expected a header, found {len(prefix)} bytes")
        return PREFIX_BYTES + int(struct.unpack_from("<H", prefix, len(MAGIC))[0]) + CHECK_BYTES

    @classmethod
    def from_bytes(cls, head: bytes) -> PackedHeader:
        """Read a header.

        Args:
            head: its bytes, as many as `size` says.

        Returns:
            What it says.

        Raises:
            LoadError: the header is damaged, or a value is outside its range.
        """
        wanted = cls.size(head[:PREFIX_BYTES])
        if len(head) < wanted:
            raise LoadError(f"truncated code stream: the header takes {wanted} bytes, found {len(head)}")
        if zlib.crc32(head[: wanted - CHECK_BYTES]) != struct.unpack_from("<I", head, wanted - CHECK_BYTES)[0]:
            raise LoadError("corrupt code stream: the header's check fails")
        try:
            fields = json.loads(head[PREFIX_BYTES : wanted - CHECK_BYTES])
            version = fields.pop("version")
            if version != VERSION:
                raise LoadError(f"expected a packed code stream of version {VERSION}, found version {shown(version)}")
            return cls(**fields)
        except LoadError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise LoadError(f"corrupt code stream: bad header: {shown(error)}") from error


class Geometry:
    """Where things lie in the blocks of a stream."""

    def __init__(self, header: PackedHeader) -> None:
        self.frame_bits = header.frame_bits
        self.block_bytes = self.frame_bytes(BLOCK_FRAMES) + CHECK_BYTES

    def frame_bytes(self, frames: int) -> int:
        """Bytes that frames at the beginning of a block take."""
        return -(-frames * self.frame_bits // 8)

    def last_block_frames(self, size: int) -> int | None:
        """Frames of a last block of `size` bytes; None if no number of frames takes that many."""
        frames = (size - CHECK_BYTES) * 8 // self.frame_bits if size >= CHECK_BYTES else -1
        fits = 0 <= frames < BLOCK_FRAMES and self.frame_bytes(frames) + CHECK_BYTES == size
        return frames if fits else None

    def certain_frames(self, size: int) -> int:
        """Frames that the first `size` bytes of a block hold whatever follows: any more could be its check."""
        if size <= CHECK_BYTES:
            return 0
        # the fewest frames that, with the check, take that many bytes; the last of them may not be complete
        frames = min(BLOCK_FRAMES, (size - CHECK_BYTES - 1) * 8 // self.frame_bits + 1)
        return frames if self.frame_bytes(frames) <= size else frames - 1


def encode_frames(header: PackedHeader, frames: Int64Array) -> BitArray:
    """Frames (n, K) as the (n * frame_bits,) bits they take, each a byte of 0 or 1."""
    flags = bits.pack(frames.reshape(-1), header.bits_per_code).reshape(len(frames), -1)
    return np.pad(flags, ((0, 0), (0, header.frame_bits - flags.shape[1]))).reshape(-1)


def decode_frames(header: PackedHeader, data: bytes, first: int, frames: int) -> Int64Array:
    """The frames (frames, K) at the beginning of a block. Raises `LoadError` for a value that is not a code."""
    flags = np.unpackbits(np.frombuffer(data, np.uint8), count=frames * header.frame_bits, bitorder="little")
    used = flags.reshape(frames, header.frame_bits)[:, : header.num_codebooks * header.bits_per_code]
    codes = bits.unpack(used.reshape(-1), header.bits_per_code).reshape(frames, header.num_codebooks)
    if codes.size and codes.max() >= header.codebook_size:
        raise LoadError(
            f"corrupt code stream: codes are below {header.codebook_size}, found {codes.max()} in frames "
            f"{first} to {first + frames - 1}"
        )
    return codes


def begin_check(first: int) -> int:
    """The running CRC-32 of a block that begins with frame `first`."""
    return zlib.crc32(struct.pack("<Q", first))


def decode_block(header: PackedHeader, data: bytes, first: int, frames: int) -> Int64Array:
    """The frames (frames, K) of a block with its check at the end of `data`. Raises `LoadError` if it is damaged."""
    held, check = data[:-CHECK_BYTES], data[-CHECK_BYTES:]
    if struct.pack("<I", zlib.crc32(held, begin_check(first))) != check:
        where = f"frames {first} to {first + frames - 1}" if frames else "the end"
        raise LoadError(f"corrupt or truncated code stream: the check of {where} fails")
    return decode_frames(header, held, first, frames)
