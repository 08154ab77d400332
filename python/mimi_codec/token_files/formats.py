"""Token files of every kind: `.safetensors` and `.npz`, packed streams `.mcs`, and moshi.cpp's `.mimi`.

Files are read by their content and written by their suffix. The first two hold an array `codes` (K, T), uint16 (uint32
for codebooks over 65536), and as metadata, strings in the one and arrays of no dimensions in the other: `format`
("mimi-codec-tokens"), `version`, `model`, `revision`, `sample_rate` (Hz), `frame_rate` (Hz), `num_codebooks`,
`codebook_size`, `axes` ("codebook,frame"), `num_samples` (length of the clip before padding), and where it is known
`kind` (which kind of codec, as `mimi_codec.load` names them).

Bare codes, an array (K, T) or (1, K, T) of integers in `.safetensors`, `.npz` or `.npy`, are read where the caller says
which codec they are of.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from .. import _safetensors
from .._arrays import to_codes
from .._text import shown
from ..errors import CodesError, ConfigError, LoadError
from . import arrays, latents, moshi_cpp, packed
from .arrays import AnyArray
from .content import KYUTAI, Codec, Tokens
from .packed import PackedHeader
from .packed_reader import PackedReader
from .packed_writer import PackedWriter

__all__ = ["READ_SUFFIXES", "SUFFIXES", "FileFormat", "check_format", "format_by_suffix", "read_tokens", "write_tokens"]

FileFormat = Literal["safetensors", "npz", "mcs", "mimi"]

FORMAT = "mimi-codec-tokens"
VERSION = "1"
AXES = "codebook,frame"
FIELDS = (
    *("format", "version", "model", "revision", "sample_rate", "frame_rate", "codebook_size", "axes", "num_samples"),
    "kind",
)
SUFFIXES: dict[str, FileFormat] = {".safetensors": "safetensors", ".npz": "npz", ".mcs": "mcs", ".mimi": "mimi"}
READ_SUFFIXES = (*SUFFIXES, arrays.NPY)
NPY_MAGIC, ZIP_MAGIC = b"\x93NUMPY", b"PK"
BARE_NAMES = ("codes", "audio_codes")  # the second is what Transformers calls them
MOST_CODEBOOKS = 64  # of bare codes; with more, time and codebooks are taken to be the wrong way round
SHOWN_NAMES = 5


def read_tokens(file: str | os.PathLike[str] | BinaryIO, *, codec: Codec | None = None) -> Tokens:
    """Read a token file of any kind, told by its content.

    `.mimi` files do not name their model and are taken for codes of `kyutai/mimi`.

    Args:
        file: a path, or an open binary file, which is read to its end.
        codec: the codec of bare codes, for files that hold nothing else.

    Returns:
        The codes (K, T) and what the file says of them.

    Raises:
        LoadError: it is not a token file, or it is corrupt, or holds bare codes and `codec` is not given.
        CodesError: its codes contradict what it says of them.
        OSError: the file cannot be opened or read.

    Example:
        >>> import io, numpy as np
        >>> from mimi_codec import read_tokens
        >>> from mimi_codec.token_files import KYUTAI
        >>> file = io.BytesIO()
        >>> np.save(file, np.zeros((1, 8, 25), np.int64))
        >>> _ = file.seek(0)
        >>> read_tokens(file, codec=KYUTAI).seconds
        2.0
    """
    data = Path(file).read_bytes() if isinstance(file, (str, os.PathLike)) else file.read()
    if data.startswith(packed.MAGIC):
        return _read_packed(data)
    if data.startswith(moshi_cpp.MAGIC):
        return Tokens.of_codec(KYUTAI, moshi_cpp.from_bytes(data))
    if data.startswith(NPY_MAGIC):
        return _bare(arrays.npy(data), codec)
    return _read_npz(data, codec) if data.startswith(ZIP_MAGIC) else _read_safetensors(data, codec)


def write_tokens(
    file: str | os.PathLike[str] | BinaryIO, tokens: Tokens, file_format: FileFormat | None = None
) -> None:
    """Write a token file.

    Args:
        file: a path, whose suffix gives the format, or an open binary file.
        tokens: the codes (K, T) of one clip.
        file_format: "safetensors" (the default for open files), "npz", "mcs" or "mimi".

    Raises:
        LoadError: the suffix is not that of a token file.
        ConfigError: `file_format` is not one of these.
        CodesError: the format cannot hold the codes: `.mimi` files are for `kyutai/mimi`'s rates, codebooks of 2048 and
            at most 32 codebooks.
        OSError: the file cannot be written.

    Example:
        >>> import io, numpy as np
        >>> from mimi_codec import Mimi, Tokens, write_tokens
        >>> file = io.BytesIO()
        >>> write_tokens(file, Tokens.of(Mimi.demo(), np.zeros((8, 125), np.int64)), "mcs")
        >>> len(file.getvalue()) < 1500
        True
    """
    if isinstance(file, (str, os.PathLike)):
        file_format = file_format or format_by_suffix(file)
        buffer = io.BytesIO()  # a failure leaves no file
        write_tokens(buffer, tokens, file_format)
        Path(file).write_bytes(buffer.getvalue())
        return
    file_format = file_format or "safetensors"
    check_format(file_format, tokens.codec, tokens.num_codebooks)
    if file_format == "mcs":
        codec = tokens.codec
        header = PackedHeader(
            num_codebooks=tokens.num_codebooks,
            codebook_size=codec.codebook_size,
            frame_rate=codec.frame_rate,
            sample_rate=codec.sample_rate,
            model=codec.model,
            revision=codec.revision,
            num_samples=tokens.num_samples,
            kind=codec.kind,
        )
        with PackedWriter(file, header) as writer:
            writer.write(tokens.codes)
    elif file_format == "mimi":
        file.write(moshi_cpp.to_bytes(tokens.codes))
    else:
        codes = tokens.codes.astype(np.uint16 if tokens.codebook_size <= 1 << 16 else np.uint32)
        if file_format == "npz":
            buffer = io.BytesIO()  # the zip format seeks, which a pipe does not
            fields: dict[str, Any] = {key: np.array(value) for key, value in metadata(tokens).items()}
            np.savez(buffer, codes=codes, **fields)
            file.write(buffer.getvalue())
        else:
            _safetensors.write(file, {"codes": codes}, metadata(tokens))


def format_by_suffix(path: str | os.PathLike[str]) -> FileFormat:
    """The format that the suffix of a path names.

    Args:
        path: the path of a file, which need not be there.

    Returns:
        The name of the format.

    Raises:
        LoadError: the suffix is not that of a token file.

    Example:
        >>> from mimi_codec.token_files import format_by_suffix
        >>> format_by_suffix("clip.npz")
        'npz'
    """
    file_format = SUFFIXES.get(Path(path).suffix.lower())
    if file_format is None:
        raise LoadError(f"a token file ends in {', '.join(SUFFIXES)}, got {os.fspath(path)}")
    return file_format


def check_format(file_format: str, codec: Codec, num_codebooks: int) -> None:
    """Raise `CodesError` if the format cannot hold codes of a codec, `ConfigError` if it is not known."""
    if file_format not in SUFFIXES.values():
        raise ConfigError(f"file_format must be one of {', '.join(SUFFIXES.values())}, got {shown(file_format)}")
    found = (codec.sample_rate, codec.frame_rate, codec.codebook_size)
    expected = (KYUTAI.sample_rate, KYUTAI.frame_rate, moshi_cpp.CODEBOOK_SIZE)
    if file_format == "mimi" and found != expected:
        names = "(sample rate, frame rate, codebook size)"
        raise CodesError(f".mimi files are for {names} {expected}, got {found}")
    if file_format == "mimi" and codec.codebooks_of not in (None, KYUTAI.kind):
        raise CodesError(f".mimi files are for codes of Mimi, got codes of a codec of the kind {codec.codebooks_of!r}")
    if file_format == "mimi" and num_codebooks > moshi_cpp.LARGEST_COUNT:
        raise CodesError(f".mimi files hold up to {moshi_cpp.LARGEST_COUNT} codebooks, got {num_codebooks}")


def metadata(tokens: Tokens) -> dict[str, str]:
    """What `.safetensors` and `.npz` files say besides the codes."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": tokens.model,
        "revision": tokens.revision or "",
        "sample_rate": str(tokens.sample_rate),
        "frame_rate": repr(float(tokens.frame_rate)),
        "num_codebooks": str(tokens.num_codebooks),
        "codebook_size": str(tokens.codebook_size),
        "axes": AXES,
        "num_samples": str(tokens.num_samples),
        **({} if tokens.kind is None else {"kind": tokens.kind}),
    }


def _read_packed(data: bytes) -> Tokens:
    reader = PackedReader(io.BytesIO(data))
    codec, wanted = reader.header.codec, reader.header.num_samples
    longest = codec.samples(reader.num_frames)
    return Tokens.of_codec(codec, reader.read(), longest if wanted is None else min(wanted, longest))


def _read_safetensors(data: bytes, codec: Codec | None) -> Tokens:
    found, fields, names = arrays.safetensors(data)
    if fields.get("format") == FORMAT:
        return _described(found.get("codes"), fields, names)
    _refuse_latents(fields)
    name = _bare_name(names)
    if name not in found:
        raise LoadError(f"not a token file: the tensor {shown(name)} does not hold integers")
    return _bare(found[name], codec)


def _read_npz(data: bytes, codec: Codec | None) -> Tokens:
    members = arrays.members_of_npz(data)
    if "format" in members:
        fields = arrays.strings(members, FIELDS)
        if fields.get("format") == FORMAT:
            codes = members["codes"].read() if "codes" in members else None
            return _described(codes, fields, list(members))
        _refuse_latents(fields)
    return _bare(members[_bare_name(list(members))].read(), codec)


def _refuse_latents(fields: Mapping[str, str]) -> None:
    if fields.get("format") == latents.FORMAT:
        raise LoadError("not a token file: it holds latents and no codes; read_latents reads it")


def _described(codes: AnyArray | None, fields: Mapping[str, str], names: list[str]) -> Tokens:
    """The content of a file that says what its codes are of."""
    if codes is None:
        raise LoadError(f"not a token file: no array of integers 'codes', found {_some(names)}")
    if fields.get("axes") != AXES:
        raise LoadError(f"not a token file: expected the metadata axes={AXES!r}, found {shown(fields.get('axes'))}")
    if codes.dtype.kind not in "iu" or codes.ndim != 2:
        raise LoadError(f"codes must be integers of shape (K, T), found {codes.dtype} of shape {codes.shape}")
    try:
        known = Codec(
            fields["model"],
            fields["revision"] or None,
            int(fields["sample_rate"]),
            float(fields["frame_rate"]),
            int(fields["codebook_size"]),
            fields.get("kind"),
        )
        length = int(fields["num_samples"])
    except ConfigError as error:
        raise LoadError(f"not a token file: bad metadata: {error}") from error
    except KeyError as error:
        raise LoadError(f"not a token file: the metadata {error} is missing") from error
    except (ValueError, OverflowError) as error:
        raise LoadError(f"not a token file: bad metadata: {shown(error)}") from error
    return Tokens.of_codec(known, to_codes(codes)[0][0], length)


def _bare(codes: AnyArray, codec: Codec | None) -> Tokens:
    """Codes alone, of the codec that the caller names."""
    if codes.dtype.kind not in "iu" or codes.ndim not in (2, 3) or (codes.ndim == 3 and len(codes) != 1):
        raise LoadError(
            f"not a token file: codes must be integers of shape (K, T) or (1, K, T), found {codes.dtype} "
            f"of shape {codes.shape}"
        )
    rows = codes if codes.ndim == 2 else codes[0]
    if len(rows) > MOST_CODEBOOKS:
        swapped = rows.shape[1] <= MOST_CODEBOOKS
        hint = f"; if it is (frames, codebooks), transpose it to {rows.shape[::-1]}" if swapped else ""
        raise CodesError(f"bare codes must have at most {MOST_CODEBOOKS} codebooks, found shape {rows.shape}{hint}")
    if codec is None:
        raise LoadError(
            "not a token file that names its model: it holds bare codes; name the model (--model, or the argument "
            "codec of read_tokens)"
        )
    return Tokens.of_codec(codec, to_codes(rows)[0][0])


def _bare_name(names: list[str]) -> str:
    """Which array of a file without metadata holds the codes."""
    found = [name for name in BARE_NAMES if name in names] or names
    if len(found) == 1 or (found and found[0] in BARE_NAMES):
        return found[0]
    wanted = f"expected the metadata format={FORMAT!r}, an array called 'codes', or only one array"
    raise LoadError(f"not a token file: {wanted}, found {_some(names)}")


def _some(names: list[str]) -> str:
    """Some of the names that a file holds."""
    more = len(names) - SHOWN_NAMES
    text = ", ".join(shown(name, 60) for name in names[:SHOWN_NAMES]) or "nothing"
    return f"{text} and {more} more" if more > 0 else text
