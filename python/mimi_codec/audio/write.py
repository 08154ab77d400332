"""WAV files: float32 or int16 samples, written by the standard library."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from .._arrays import ArrayInput, Float32Array, to_pcm
from ..errors import AudioError

FULL_SCALE = 32768
WAVE_PCM, WAVE_FLOAT = 1, 3


def write_wav(
    file: str | os.PathLike[str] | BinaryIO,
    pcm: ArrayInput,
    sample_rate: int,
    *,
    subtype: Literal["int16", "float32"] = "int16",
) -> None:
    """Write mono samples as a WAV file.

    Args:
        file: a path, or an open binary file, which may be a pipe.
        pcm: samples, shape (L,).
        sample_rate: in Hz.
        subtype: "int16" clips what is outside [-1, 1), "float32" keeps it.

    Raises:
        AudioError: a wrong shape, NaN or infinite samples, or more than a WAV file holds (4 GiB).
        OSError: the file cannot be written.

    Example:
        >>> import io, numpy as np
        >>> from mimi_codec import write_wav
        >>> file = io.BytesIO()
        >>> write_wav(file, np.zeros(24000), 24000)
        >>> len(file.getvalue())
        48044
    """
    if isinstance(file, (str, os.PathLike)):
        with open(file, "wb") as opened:
            write_wav(opened, pcm, sample_rate, subtype=subtype)
        return
    if subtype == "int16":
        kind, data = WAVE_PCM, to_int16(pcm).tobytes()
    elif subtype == "float32":
        kind, data = WAVE_FLOAT, checked(pcm).astype("<f4").tobytes()
    else:
        raise AudioError(f"subtype must be 'int16' or 'float32', got {subtype!r}")
    width = 2 if kind == WAVE_PCM else 4
    layout = struct.pack("<HHIIHH", kind, 1, sample_rate, sample_rate * width, width, 8 * width)
    chunks = b"fmt " + struct.pack("<I", len(layout)) + layout
    if kind == WAVE_FLOAT:  # formats other than PCM state their number of samples
        chunks += b"fact" + struct.pack("<II", 4, len(data) // width)
    size = 4 + len(chunks) + 8 + len(data)
    if size > 0xFFFFFFFF:
        raise AudioError(f"a WAV file holds up to 4 GiB, got {len(data)} bytes of samples")
    file.write(b"RIFF" + struct.pack("<I", size) + b"WAVE" + chunks + b"data" + struct.pack("<I", len(data)) + data)


def checked(pcm: ArrayInput) -> Float32Array:
    """Samples that can be written.

    Args:
        pcm: samples (L,), of the types that `Mimi.encode` takes.

    Returns:
        The samples as float32.

    Raises:
        AudioError: the shape is wrong, or a sample is NaN or infinite.
        InputTypeError: the input is not an array, or its element type is not accepted.

    Example:
        >>> import numpy as np
        >>> from mimi_codec.audio import checked
        >>> checked(np.int16([16384])).tolist()
        [0.5]
    """
    samples = to_pcm(pcm)
    if samples.ndim != 1:
        raise AudioError(f"expected mono samples (L,), got {samples.shape}")
    if not np.isfinite(samples).all():
        raise AudioError(f"samples must be finite, got {samples[~np.isfinite(samples)][0]}")
    return samples


def to_int16(pcm: ArrayInput) -> npt.NDArray[np.int16]:
    """Samples rounded to 16 bits. What is outside [-1, 1) is clipped.

    Args:
        pcm: samples (L,), of the types that `Mimi.encode` takes.

    Returns:
        Little-endian int16 (L,).

    Raises:
        AudioError: the shape is wrong, or a sample is NaN or infinite.
        InputTypeError: the input is not an array, or its element type is not accepted.

    Example:
        >>> from mimi_codec.audio import to_int16
        >>> to_int16([0.5, 2.0]).tolist()
        [16384, 32767]
    """
    scaled = np.rint(checked(pcm) * np.float32(FULL_SCALE))
    clipped: npt.NDArray[np.int16] = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2")
    return clipped
