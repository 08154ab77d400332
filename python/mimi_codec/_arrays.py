"""What callers pass in, as the exact arrays the extension takes.

Accepted: NumPy arrays of any strides and byte order, read-only too; objects with the buffer protocol or `__dlpack__` on
the CPU (a torch tensor); nested lists. Memory is shared where it already has the right form and copied otherwise.
Shapes and element types are checked here, values (NaN, code range) in the extension.
"""

from __future__ import annotations

import operator
import sys
from typing import Any, Protocol, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import AudioError, CodesError, ConfigError, InputTypeError, LatentsError, MimiError, StreamError


class SupportsDLPack(Protocol):
    """An array of another library that can be shared without a copy."""

    def __dlpack__(self) -> Any:
        """A capsule that owns a reference to the memory."""
        ...

    def __dlpack_device__(self) -> tuple[Any, Any]:
        """(device type, device number)."""
        ...


ArrayInput: TypeAlias = npt.ArrayLike | SupportsDLPack
Float32Array: TypeAlias = npt.NDArray[np.float32]
Int64Array: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
AnyArray: TypeAlias = npt.NDArray[Any]

# DLPack device types whose memory the CPU reads: kDLCPU and kDLCUDAHost (pinned memory)
HOST_DEVICES = (1, 3)
NO_CODE = -1  # the codes of no frame, where a row of a batch has fewer frames than the longest
INT16_SCALE = np.float32(1 / 32768)


def as_array(value: Any, what: str) -> AnyArray:
    """`value` as a NumPy array of its own element type, sharing memory where that is possible."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (bytes, bytearray)):
        kind = type(value).__name__
        raise InputTypeError(f"{what}: {kind} has no element type; pass np.frombuffer(data, np.int16), or np.float32")
    if isinstance(value, str) or value is None:
        raise InputTypeError(f"{what} must be an array, got {type(value).__name__}")
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        return _from_dlpack(value, what)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, BufferError) as error:
        raise InputTypeError(f"{what} must be an array, got {type(value).__name__}: {error}") from error
    if array.dtype == object:
        raise InputTypeError(f"{what} must be an array of numbers, got {type(value).__name__}")
    return array


def _from_dlpack(value: Any, what: str) -> AnyArray:
    try:
        device = int(value.__dlpack_device__()[0])
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise InputTypeError(f"{what} must be in CPU memory, got {type(value).__name__}: {error}") from error
    if device not in HOST_DEVICES:
        raise InputTypeError(
            f"{what} must be in CPU memory, got an array on DLPack device type {device}; copy it first"
        )
    if getattr(value, "requires_grad", False) and hasattr(value, "detach"):
        value = value.detach()
    # PyTorch conjugates and negates by a bit that readers of the memory do not see
    for resolve in ("resolve_conj", "resolve_neg"):
        if hasattr(value, resolve):
            value = getattr(value, resolve)()
    dtype = str(getattr(value, "dtype", ""))
    if dtype.endswith("bfloat16") and hasattr(value, "float"):
        value = value.float()  # NumPy has no bfloat16; float32 holds every value of it
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        kind = f"{type(value).__name__} of {dtype}" if dtype else type(value).__name__
        raise InputTypeError(f"{what}: cannot read {kind} as an array: {error}") from error


def to_pcm(value: Any, *, copy: bool = False) -> Float32Array:
    """Samples of any shape as float32. int16 is scaled to [-1, 1), other floats are cast.

    `copy=True`: the result never shares memory with `value`.
    """
    source = as_array(value, "pcm")
    kind, size = source.dtype.kind, source.dtype.itemsize
    if kind == "i" and size == 2:
        return np.multiply(source, INT16_SCALE, dtype=np.float32, order="C")
    if kind != "f":
        raise InputTypeError(
            f"pcm must be float32, float64, float16 or int16, got {source.dtype}; "
            "scale other integers to floats in [-1, 1]"
        )
    return _dense_float32(source, copy)


def to_latents(value: Any, *, copy: bool = False) -> tuple[Float32Array, bool]:
    """Latents (D, T) or (B, D, T) as float32 (B, D, T), and whether there was a batch dimension."""
    source = as_array(value, "latents")
    if source.dtype.kind != "f":
        raise InputTypeError(f"latents must be float32, float64 or float16, got {source.dtype}")
    return _batch(_dense_float32(source, copy), "latents must have shape (D, T) or (B, D, T)", LatentsError)


def to_codes(value: Any, *, copy: bool = False) -> tuple[Int64Array, bool]:
    """Codes (K, T) or (B, K, T) of any integer type as int64 (B, K, T), and whether there was a batch dimension."""
    source = as_array(value, "codes")
    if source.dtype.kind not in "iu":
        raise InputTypeError(f"codes must be of an integer type, got {source.dtype}")
    if source.dtype.kind == "u" and source.dtype.itemsize == 8 and source.size:
        largest = int(source.max())
        if largest > np.iinfo(np.int64).max:
            raise CodesError(f"codes must be below the codebook size, got {largest}")
    codes = np.require(source, np.int64, ["C", "A", "E"])
    if copy and np.may_share_memory(codes, source):
        codes = codes.copy()
    return _batch(codes, "codes must have shape (K, T) or (B, K, T)", CodesError)


def to_pcm_batch(value: Any, *, copy: bool = False) -> tuple[Float32Array, bool]:
    """Samples (L,) or (B, 1, L) as float32 (B, L), and whether there was a batch dimension."""
    pcm = to_pcm(value, copy=copy)
    if pcm.ndim == 1:
        return pcm[np.newaxis], False
    if pcm.ndim == 3 and pcm.shape[1] == 1 and pcm.shape[0] > 0:
        return pcm[:, 0], True
    raise AudioError(f"pcm must have shape (L,) or (B, 1, L) with B >= 1, got {pcm.shape}")


def to_mask(value: Any, what: str) -> BoolArray | None:
    """One bool per row of a stream, or None."""
    if value is None:
        return None
    mask = as_array(value, what)
    if mask.dtype.kind != "b":
        raise InputTypeError(f"{what} must be an array of bool, one per row, got {mask.dtype}")
    if mask.ndim != 1:
        raise StreamError(f"{what} must have shape (B,), got {mask.shape}")
    return np.require(mask, np.bool_, ["C", "A", "E"])


def to_rows(value: Any, rows: int) -> list[int] | None:
    """Numbers of rows of a stream, each from 0 and once, or None."""
    if value is None:
        return None
    numbers = as_array(value, "rows")
    if numbers.dtype.kind not in "iu" and numbers.size:
        raise InputTypeError(f"rows must be a list of integers, got {numbers.dtype}")
    if numbers.ndim != 1:
        raise StreamError(f"rows must be a list of row numbers, got an array of shape {numbers.shape}")
    result = [int(number) for number in numbers]
    if not all(0 <= row < rows for row in result) or len(set(result)) < len(result):
        raise StreamError(f"rows must be different numbers between 0 and {rows - 1}, got {result}")
    return result


def to_lengths(value: Any, batched: bool, rows: int, longest: int, error: type[MimiError]) -> list[int]:
    """Valid positions of each row: `lengths`, or all of them."""
    if value is None:
        return [longest] * rows
    if not batched:
        raise error("lengths is for a batch, got a single item; cut the item to its length instead")
    lengths = as_array(value, "lengths")
    if lengths.dtype.kind not in "iu":
        raise InputTypeError(f"lengths must be of an integer type, got {lengths.dtype}")
    if lengths.shape != (rows,):
        raise error(f"lengths must have shape ({rows},), one per row, got {lengths.shape}")
    result = [int(length) for length in lengths]
    for row, length in enumerate(result):
        if not 0 <= length <= longest:
            raise error(f"lengths must be between 0 and {longest}, got {length} for row {row}")
    return result


def to_frames(codes: Int64Array, lengths: Any, batched: bool) -> list[int]:
    """Frames of each row of codes (B, K, T): `lengths`, or in a batch those before the frames of only -1 at its end."""
    rows, codebooks, longest = codes.shape
    frames = to_lengths(lengths, batched, rows, longest, CodesError)
    if lengths is None and batched and codebooks and longest:
        for row in np.flatnonzero((codes[:, :, -1] == NO_CODE).all(axis=1)):
            there = np.flatnonzero((codes[row] != NO_CODE).any(axis=0))
            frames[row] = int(there[-1]) + 1 if there.size else 0
    return frames


def to_count(value: SupportsIndex, what: str, largest: int = sys.maxsize, *, least: int = 1) -> int:
    """An integer option from `least` to `largest`, which without it is what the extension can take."""
    if isinstance(value, (bool, np.bool_)):
        raise InputTypeError(f"{what} must be an integer, got bool")
    try:
        count = operator.index(value)
    except TypeError:
        raise InputTypeError(f"{what} must be an integer, got {type(value).__name__}") from None
    if not least <= count <= largest:
        above = count < least and largest == sys.maxsize
        allowed = f"at least {least}" if above else f"between {least} and {largest}"
        # Python refuses to write out an integer of thousands of digits
        got = str(count) if count.bit_length() <= 128 else f"an integer of {count.bit_length()} bits"
        raise ConfigError(f"{what} must be {allowed}, got {got}")
    return count


def span(values: AnyArray) -> str:
    """The range of integers that are not all allowed, for a message."""
    least, most = int(values.min()), int(values.max())
    return str(least) if least == most else f"values from {least} to {most}"


def _dense_float32(source: AnyArray, copy: bool) -> Float32Array:
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused as such
        dense = np.require(source, np.float32, ["C", "A", "E"])
    return dense.copy() if copy and np.may_share_memory(dense, source) else dense


def _batch(array: AnyArray, rule: str, error: type[MimiError]) -> tuple[AnyArray, bool]:
    if array.ndim == 2:
        return array[np.newaxis], False
    if array.ndim == 3 and array.shape[0] > 0:
        return array, True
    raise error(f"{rule} with B >= 1, got {array.shape}")
