"""Files of continuous latents: `.safetensors` and `.npz` with an array `latents` (D, T) float32.

Their metadata are those of token files, without codebooks: `format` ("mimi-codec-latents"), `version`, `model`,
`revision`, `sample_rate` (Hz), `frame_rate` (Hz), `axes` ("channel,frame"), `num_samples` (length of the clip before
padding).
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, SupportsIndex

import numpy as np

from .. import _core, _safetensors
from .._arrays import ArrayInput, Float32Array, to_latents
from .._text import shown
from ..errors import ConfigError, LatentsError, LoadError
from . import arrays
from .arrays import AnyArray
from .content import Codec

if TYPE_CHECKING:
    from ..latent_codec import LatentCodec
    from ..token_codec import TokenCodec

__all__ = ["LATENT_SUFFIXES", "Latents", "holds_latents", "read_latents", "write_latents"]

LatentFormat = Literal["safetensors", "npz"]

FORMAT = "mimi-codec-latents"
VERSION = "1"
AXES = "channel,frame"
FIELDS = ("format", "version", "model", "revision", "sample_rate", "frame_rate", "axes", "num_samples")
LATENT_SUFFIXES: dict[str, LatentFormat] = {".safetensors": "safetensors", ".npz": "npz"}
ZIP_MAGIC = b"PK"


@dataclass(frozen=True, eq=False)
class Latents:
    """The latents of one clip and where they come from.

    Raises:
        LatentsError: the latents are not (D, T), are not finite, or cannot hold `num_samples`.
        ConfigError: a rate is outside its range.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.token_files import Latents
        >>> mimi = Mimi.demo()
        >>> Latents.of(mimi, mimi.encode_latents(np.zeros(3000, np.float32)), 3000).seconds
        0.125
    """

    latents: Float32Array
    """(D, T) float32."""
    model: str
    """What the model was loaded by."""
    revision: str | None
    """Commit of the model's repository, if it has one."""
    sample_rate: int
    """Samples per second."""
    frame_rate: float
    """Frames per second."""
    num_samples: int
    """Samples of the clip: the length of the decoded audio after its padding is cut off."""

    @classmethod
    def of(
        cls, model: TokenCodec | LatentCodec, latents: ArrayInput, num_samples: SupportsIndex | None = None
    ) -> Latents:
        """The latents that a model made of a clip.

        Args:
            model: the model, which the file will name.
            latents: (D, T), float32, float64 or float16.
            num_samples: the length of the clip in samples; None means that all frames are whole.

        Returns:
            The latents with what the model says of itself.

        Raises:
            InputTypeError: the input is not an array of floats.
            LatentsError: another shape, NaN or infinite values, or more samples than the frames hold.
        """
        rows, batched = to_latents(latents, copy=True)
        if batched:
            raise LatentsError(f"a file of latents holds one clip: expected latents (D, T), got {rows.shape}")
        length = rows.shape[2] * model.frame_size if num_samples is None else int(num_samples)
        return cls(rows[0], model.name, model.revision, model.sample_rate, model.frame_rate, length)

    def __post_init__(self) -> None:
        if self.latents.ndim != 2:
            raise LatentsError(f"a file of latents holds one clip: expected latents (D, T), got {self.latents.shape}")
        if not np.isfinite(self.latents).all():
            raise LatentsError("latents must be finite, got NaN or infinite values")
        longest = Codec(self.model, self.revision, self.sample_rate, self.frame_rate).samples(self.num_frames)
        if not 0 <= self.num_samples <= longest:
            raise LatentsError(
                f"{self.num_frames} frames hold at most {longest} samples, got num_samples {shown(self.num_samples)}"
            )

    @property
    def latent_dim(self) -> int:
        """Width D of the latents."""
        return len(self.latents)

    @property
    def num_frames(self) -> int:
        """Frames T."""
        return int(self.latents.shape[1])

    @property
    def seconds(self) -> float:
        """Length of the clip in seconds."""
        return self.num_samples / self.sample_rate


def write_latents(
    file: str | os.PathLike[str] | BinaryIO, latents: Latents, file_format: LatentFormat | None = None
) -> None:
    """Write a file of latents.

    Args:
        file: a path, whose suffix gives the format, or an open binary file.
        latents: those of one clip.
        file_format: "safetensors" (the default for open files) or "npz".

    Raises:
        LoadError: the suffix is not that of a file of latents.
        ConfigError: `file_format` is not one of these.
        OSError: the file cannot be written.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.token_files import Latents, read_latents, write_latents
        >>> mimi = Mimi.demo()
        >>> write_latents("clip.npz", Latents.of(mimi, mimi.encode_latents(np.zeros(48_000, np.float32))))
        >>> read_latents("clip.npz").latents.shape
        (128, 25)
    """
    if isinstance(file, (str, os.PathLike)):
        suffix = Path(file).suffix.lower()
        if file_format is None and suffix not in LATENT_SUFFIXES:
            raise LoadError(f"a file of latents ends in {', '.join(LATENT_SUFFIXES)}, got {os.fspath(file)}")
        buffer = io.BytesIO()
        write_latents(buffer, latents, file_format or LATENT_SUFFIXES[suffix])
        Path(file).write_bytes(buffer.getvalue())
        return
    file_format = file_format or "safetensors"
    if file_format not in LATENT_SUFFIXES.values():
        raise ConfigError(f"file_format must be one of {', '.join(LATENT_SUFFIXES.values())}, got {shown(file_format)}")
    fields = {
        "format": FORMAT,
        "version": VERSION,
        "model": latents.model,
        "revision": latents.revision or "",
        "sample_rate": str(latents.sample_rate),
        "frame_rate": repr(float(latents.frame_rate)),
        "axes": AXES,
        "num_samples": str(latents.num_samples),
    }
    if file_format == "safetensors":
        _safetensors.write(file, {"latents": latents.latents}, fields)
        return
    buffer = io.BytesIO()  # the zip format seeks, which a pipe does not
    members: dict[str, Any] = {key: np.array(value) for key, value in fields.items()}
    np.savez(buffer, latents=latents.latents, **members)
    file.write(buffer.getvalue())


def read_latents(file: str | os.PathLike[str] | BinaryIO) -> Latents:
    """Read a file of latents, `.safetensors` or `.npz`, told by its content.

    Args:
        file: a path, or an open binary file, which is read to its end.

    Returns:
        The latents (D, T) and what the file says of them.

    Raises:
        LoadError: it is not a file of latents, or it is corrupt.
        LatentsError: its latents contradict what it says of them.
        OSError: the file cannot be opened or read.

    Example:
        >>> import io, numpy as np
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.token_files import Latents, read_latents, write_latents
        >>> mimi, file = Mimi.demo(), io.BytesIO()
        >>> write_latents(file, Latents.of(mimi, mimi.encode_latents(np.zeros(3000, np.float32)), 3000))
        >>> _ = file.seek(0)
        >>> read_latents(file).num_samples
        3000
    """
    data = Path(file).read_bytes() if isinstance(file, (str, os.PathLike)) else file.read()
    fields, latents = _content(data)
    if fields.get("format") != FORMAT:
        raise LoadError(f"not a file of latents: expected the metadata format={FORMAT!r}")
    array = latents()
    if fields.get("axes") != AXES:
        raise LoadError(
            f"not a file of latents: expected the metadata axes={AXES!r}, found {shown(fields.get('axes'))}"
        )
    if array is None or array.dtype != np.float32 or array.ndim != 2:
        found = "none" if array is None else f"{array.dtype} of shape {array.shape}"
        raise LoadError(f"not a file of latents: expected an array 'latents' (D, T) of float32, found {found}")
    try:
        rate, length = int(fields["sample_rate"]), int(fields["num_samples"])
        frame_rate = float(fields["frame_rate"])
        dense = np.ascontiguousarray(array, np.float32)
        return Latents(dense, fields["model"], fields["revision"] or None, rate, frame_rate, length)
    except ConfigError as error:
        raise LoadError(f"not a file of latents: bad metadata: {error}") from error
    except KeyError as error:
        raise LoadError(f"not a file of latents: the metadata {error} is missing") from error
    except LatentsError:
        raise
    except (ValueError, OverflowError) as error:
        raise LoadError(f"not a file of latents: bad metadata: {shown(error)}") from error


def holds_latents(data: bytes) -> bool:
    """Whether the bytes of a file are latents, by its metadata; a damaged file holds none."""
    if FORMAT.encode() not in data and not data.startswith(ZIP_MAGIC):
        return False
    try:
        return _content(data)[0].get("format") == FORMAT
    except LoadError:
        return False  # reading it as another kind says what is wrong


def _content(data: bytes) -> tuple[Mapping[str, str], Callable[[], AnyArray | None]]:
    """The metadata of a file, and what reads its array."""
    if data.startswith(ZIP_MAGIC):
        members = arrays.members_of_npz(data)
        return arrays.strings(members, FIELDS), lambda: members["latents"].read() if "latents" in members else None
    fields, entries = _core.safetensors_entries(data)

    def read() -> AnyArray | None:
        for name, kind, shape, first, last in entries:
            if name == "latents" and kind == "F32":
                return np.frombuffer(data[first:last], "<f4").reshape(shape)
        return None

    return fields, read
