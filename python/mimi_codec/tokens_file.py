"""Token files: the codes of one clip with what is needed to decode them.

Two formats with the same content, both without other packages:

* `.safetensors`: one tensor `codes` (K, T), uint16 (uint32 for codebooks over 65536), and the metadata as strings.
* `.npz`: the array `codes`, and each item of the metadata as an array of no dimensions.

Metadata: `format` ("mimi-codec-tokens"), `version`, `model`, `revision`, `sample_rate` (Hz), `frame_rate` (Hz),
`num_codebooks`, `codebook_size`, `axes` ("codebook,frame"), `num_samples` (length of the clip before padding).
"""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, SupportsIndex

import numpy as np

from . import _safetensors
from ._arrays import ArrayInput, Int64Array, span, to_codes
from .errors import CodesError, LoadError
from .model import Mimi

__all__ = ["Tokens", "read_tokens", "write_tokens"]

FORMAT = "mimi-codec-tokens"
VERSION = "1"
AXES = "codebook,frame"
SUFFIXES = (".safetensors", ".npz")

FileFormat = Literal["safetensors", "npz"]


@dataclass(frozen=True, eq=False)
class Tokens:
    """The codes of one clip and where they come from."""

    codes: Int64Array
    """(K, T) int64."""
    model: str
    """What the model was loaded by."""
    revision: str | None
    """Commit of the model's repository, if it has one."""
    sample_rate: int
    frame_rate: float
    codebook_size: int
    num_samples: int
    """Samples of the clip; the decoded audio is this long after its padding is cut off."""

    @classmethod
    def of(cls, model: Mimi, codes: ArrayInput, num_samples: SupportsIndex | None = None) -> Tokens:
        """Codes (K, T) that `model` made of a clip of `num_samples` (all frames whole without it)."""
        rows, batched = to_codes(codes)
        if batched:
            raise CodesError(f"a token file holds one clip: expected codes (K, T), got {rows.shape}")
        longest = rows.shape[2] * model.frame_size
        length = longest if num_samples is None else int(num_samples)
        return cls(
            rows[0], model.name, model.revision, model.sample_rate, model.frame_rate, model.codebook_size, length
        )

    def __post_init__(self) -> None:
        if self.codes.ndim != 2:
            raise CodesError(f"a token file holds one clip: expected codes (K, T), got {self.codes.shape}")
        if self.codes.size and not (self.codes.min() >= 0 and self.codes.max() < self.codebook_size):
            raise CodesError(f"codes must be between 0 and {self.codebook_size - 1}, got {span(self.codes)}")
        frames = self.codes.shape[1]
        if not 0 <= self.num_samples <= math.ceil(frames * self.sample_rate / self.frame_rate):
            raise CodesError(f"{frames} frames cannot hold {self.num_samples} samples")

    @property
    def num_codebooks(self) -> int:
        """K."""
        return len(self.codes)

    @property
    def num_frames(self) -> int:
        """T."""
        return int(self.codes.shape[1])

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return self.num_samples / self.sample_rate

    def metadata(self) -> dict[str, str]:
        """What the file says besides the codes."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "revision": self.revision or "",
            "sample_rate": str(self.sample_rate),
            "frame_rate": repr(float(self.frame_rate)),
            "num_codebooks": str(self.num_codebooks),
            "codebook_size": str(self.codebook_size),
            "axes": AXES,
            "num_samples": str(self.num_samples),
        }


def write_tokens(
    file: str | os.PathLike[str] | BinaryIO, tokens: Tokens, file_format: FileFormat | None = None
) -> None:
    """Write a token file to a path, whose suffix gives the format, or to an open binary file (safetensors by default).

    Raises `LoadError` for a suffix that is neither `.safetensors` nor `.npz`.
    """
    if isinstance(file, (str, os.PathLike)):
        file_format = file_format or format_of(file)
        with open(file, "wb") as opened:
            write_tokens(opened, tokens, file_format)
        return
    codes = tokens.codes.astype(np.uint16 if tokens.codebook_size <= 1 << 16 else np.uint32)
    if file_format == "npz":
        buffer = io.BytesIO()  # the zip format seeks, which a pipe does not
        fields: dict[str, Any] = {key: np.array(value) for key, value in tokens.metadata().items()}
        np.savez(buffer, codes=codes, **fields)
        file.write(buffer.getvalue())
    else:
        _safetensors.write(file, {"codes": codes}, tokens.metadata())


def read_tokens(file: str | os.PathLike[str] | BinaryIO) -> Tokens:
    """Read a token file of either format, told by its content.

    Raises `LoadError` where it is no token file or corrupt, `CodesError` where its codes contradict its metadata.
    """
    data = Path(file).read_bytes() if isinstance(file, (str, os.PathLike)) else file.read()
    codes, metadata = _read_npz(data) if data.startswith(b"PK") else _read_safetensors(data)
    if metadata.get("format") != FORMAT or metadata.get("axes") != AXES:
        raise LoadError(f"not a token file: expected metadata format={FORMAT!r} and axes={AXES!r}, got {metadata}")
    if codes.dtype.kind not in "iu" or codes.ndim != 2:
        raise LoadError(f"codes must be integers of shape (K, T), found {codes.dtype} of shape {codes.shape}")
    try:
        return Tokens(
            codes=codes.astype(np.int64),
            model=metadata["model"],
            revision=metadata["revision"] or None,
            sample_rate=int(metadata["sample_rate"]),
            frame_rate=float(metadata["frame_rate"]),
            codebook_size=int(metadata["codebook_size"]),
            num_samples=int(metadata["num_samples"]),
        )
    except CodesError:
        raise
    except (KeyError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise LoadError(f"not a token file: bad metadata: {error!r}") from error


def format_of(path: str | os.PathLike[str]) -> FileFormat:
    """The format a path asks for by its suffix."""
    suffix = Path(path).suffix.lower()
    if suffix == ".safetensors":
        return "safetensors"
    if suffix == ".npz":
        return "npz"
    raise LoadError(f"a token file ends in {' or '.join(SUFFIXES)}, got {os.fspath(path)}")


def _read_safetensors(data: bytes) -> tuple[Any, dict[str, str]]:
    stream = io.BytesIO(data)
    entries, metadata = _safetensors.read_header(stream)
    if "codes" not in entries:
        raise LoadError(f"not a token file: no tensor 'codes', found {', '.join(list(entries)[:5]) or 'none'}")
    return _safetensors.read(stream.read(), entries["codes"], ("U8", "U16", "U32", "I32", "I64")), metadata


def _read_npz(data: bytes) -> tuple[Any, dict[str, str]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged archive raises a dozen kinds, from zipfile, zlib and NumPy
        raise LoadError(f"not a token file: {error}") from error
    codes = arrays.pop("codes", None)
    if codes is None:
        raise LoadError(f"not a token file: no array 'codes', found {', '.join(list(arrays)[:5]) or 'none'}")
    return codes, {name: str(array) for name, array in arrays.items() if array.ndim == 0}
