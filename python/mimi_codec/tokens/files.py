"""Every kind of token file as one value: `.safetensors` and `.npz`, packed streams `.mcs`, and moshi.cpp's `.mimi`.

Read by content, written by suffix.
"""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import BinaryIO, Literal

from ..errors import CodesError, LoadError
from ..tokens_file import Tokens, read_tokens, write_tokens
from . import moshi_cpp, packed
from .packed import PackedHeader
from .packed_reader import PackedReader
from .packed_writer import PackedWriter

__all__ = ["SUFFIXES", "AnyFormat", "format_by_suffix", "format_of_content", "read_any", "write_any"]

AnyFormat = Literal["safetensors", "npz", "packed", "mimi"]

SUFFIXES: dict[str, AnyFormat] = {".safetensors": "safetensors", ".npz": "npz", ".mcs": "packed", ".mimi": "mimi"}
KYUTAI_MIMI = "kyutai/mimi"
KYUTAI_RATES = (24000, 12.5)


def read_any(file: str | os.PathLike[str] | BinaryIO) -> Tokens:
    """Read a token file of any kind, told by its content. `.mimi` files are taken for codes of `kyutai/mimi`.

    Raises `LoadError` where it is none or corrupt, `CodesError` where its codes contradict what it says of them.
    """
    data = Path(file).read_bytes() if isinstance(file, (str, os.PathLike)) else file.read()
    kind = format_of_content(data)
    if kind == "packed":
        reader = PackedReader(io.BytesIO(data))
        header = reader.header
        longest = math.ceil(reader.num_frames * header.sample_rate / header.frame_rate)
        length = longest if header.num_samples is None else min(header.num_samples, longest)
        return Tokens(
            codes=reader.read(),
            model=header.model,
            revision=header.revision,
            sample_rate=header.sample_rate,
            frame_rate=float(header.frame_rate),
            codebook_size=header.codebook_size,
            num_samples=length,
        )
    if kind == "mimi":
        codes, (sample_rate, frame_rate) = moshi_cpp.from_bytes(data), KYUTAI_RATES
        length = round(codes.shape[1] * sample_rate / frame_rate)
        return Tokens(codes, KYUTAI_MIMI, None, int(sample_rate), frame_rate, moshi_cpp.CODEBOOK_SIZE, length)
    return read_tokens(io.BytesIO(data))


def write_any(file: str | os.PathLike[str] | BinaryIO, tokens: Tokens, file_format: AnyFormat | None = None) -> None:
    """Write a token file to a path, whose suffix gives the format, or to an open binary file (safetensors by default).

    Raises `LoadError` for another suffix, `CodesError` for codes that the format cannot hold: `.mimi` files are for
    `kyutai/mimi`'s rates, codebooks of 2048 and whole frames.
    """
    if isinstance(file, (str, os.PathLike)):
        file_format = file_format or format_by_suffix(file)
        buffer = io.BytesIO()  # a failure leaves no file
        write_any(buffer, tokens, file_format)
        Path(file).write_bytes(buffer.getvalue())
    elif file_format == "packed":
        header = PackedHeader(
            num_codebooks=tokens.num_codebooks,
            codebook_size=tokens.codebook_size,
            frame_rate=tokens.frame_rate,
            sample_rate=tokens.sample_rate,
            model=tokens.model,
            revision=tokens.revision,
            num_samples=tokens.num_samples,
        )
        with PackedWriter(file, header) as writer:
            writer.write(tokens.codes)
    elif file_format == "mimi":
        found = (tokens.sample_rate, tokens.frame_rate, tokens.codebook_size)
        expected = (*KYUTAI_RATES, moshi_cpp.CODEBOOK_SIZE)
        if found != expected:
            names = "(sample rate, frame rate, codebook size)"
            raise CodesError(f".mimi files are for {names} {expected}, got {found}")
        file.write(moshi_cpp.to_bytes(tokens.codes))
    else:
        write_tokens(file, tokens, file_format or "safetensors")


def format_by_suffix(path: str | os.PathLike[str]) -> AnyFormat:
    """The format a path asks for. Raises `LoadError` for another suffix."""
    file_format = SUFFIXES.get(Path(path).suffix.lower())
    if file_format is None:
        raise LoadError(f"a token file ends in {', '.join(SUFFIXES)}, got {os.fspath(path)}")
    return file_format


def format_of_content(data: bytes) -> AnyFormat:
    """The format that content begins like; `read_tokens` has the last word on the first two."""
    if data.startswith(packed.MAGIC):
        return "packed"
    if data.startswith(moshi_cpp.MAGIC):
        return "mimi"
    return "npz" if data.startswith(b"PK") else "safetensors"
