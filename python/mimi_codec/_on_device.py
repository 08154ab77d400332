"""Arrays on the GPU that a codec runs on: what comes from there goes back there, without a way over the host.

Only memory of the codec's own device is shared. float32 and int64 go in as they are, other types of PyTorch and
CuPy are cast on the device. What cannot stay there, such as rows of different lengths, is copied to the host and back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from . import _core
from ._arrays import AnyArray
from .errors import CodesError, InputTypeError

OnHost: TypeAlias = Callable[[AnyArray], AnyArray]

CUDA = 2  # DLPack's number


def lies_on(value: Any, codec: _core.Model | _core.Stream) -> bool:
    """Whether `value` is an array on the CUDA device that a codec or a stream runs on."""
    if isinstance(value, np.ndarray) or codec.cuda_ordinal is None or not hasattr(value, "__dlpack_device__"):
        return False
    try:
        kind, ordinal = value.__dlpack_device__()
        return int(kind) == CUDA and int(ordinal) == codec.cuda_ordinal
    except (BufferError, RuntimeError, TypeError, ValueError):
        return False


def bring(value: Any, model: _core.Model, dtype: str, what: str) -> _core.DeviceArray:
    """An array on the model's device as the model takes it, in "float32" or "int64"."""
    shared = _in_type(value, dtype, what)
    try:
        capsule = shared.__dlpack__(stream=model.cuda_stream)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise InputTypeError(f"{what}: cannot read {type(value).__name__} as an array: {error}") from error
    array = _core.DeviceArray.of_capsule(model, capsule)
    if array.dtype != dtype:
        raise InputTypeError(f"{what} on a GPU must be {dtype}, got {array.dtype}; cast it first")
    return array


def give_back(array: _core.DeviceArray, like: Any) -> Any:
    """An array of the library of `like`: of PyTorch, CuPy or JAX, else one with `__dlpack__`."""
    library = type(like).__module__.partition(".")[0]
    if library == "torch":
        import torch

        return torch.utils.dlpack.from_dlpack(array)
    if library == "cupy":
        import cupy  # type: ignore[import-not-found]

        return cupy.from_dlpack(array)
    if library in ("jax", "jaxlib"):
        import jax  # type: ignore[import-not-found]

        return jax.dlpack.from_dlpack(array)
    return array


def without_channel(array: _core.DeviceArray) -> tuple[_core.DeviceArray, bool] | None:
    """Audio (L,) or (B, 1, L) as (B, L), and whether there was a batch dimension; None for another shape."""
    shape: Sequence[int] = array.shape
    if len(shape) == 1:
        return array.expanded(0), False
    if len(shape) == 3 and shape[1] == 1:
        return array.squeezed(1), True
    return None


def with_batch(array: _core.DeviceArray) -> tuple[_core.DeviceArray, bool] | None:
    """Codes (K, T) or (B, K, T), or latents, as (B, K, T), and whether there was a batch dimension; None for others."""
    shape: Sequence[int] = array.shape
    if len(shape) == 2:
        return array.expanded(0), False
    return (array, True) if len(shape) == 3 else None


def _in_type(value: Any, dtype: str, what: str) -> Any:
    """`value` in an element type that the device takes, where its library can cast it."""
    if getattr(value, "requires_grad", False) and hasattr(value, "detach"):
        value = value.detach()
    for resolve in ("resolve_conj", "resolve_neg"):
        if hasattr(value, resolve):
            value = getattr(value, resolve)()
    name = str(getattr(value, "dtype", dtype)).rpartition(".")[2]
    kinds = ("float", "bfloat") if dtype == "float32" else ("int", "uint")
    if name == dtype:
        return value
    if not name.startswith(kinds):
        raise InputTypeError(f"{what} must be of {'a float' if dtype == 'float32' else 'an integer'} type, got {name}")
    if hasattr(value, "float") and hasattr(value, "long"):
        return value.float() if dtype == "float32" else value.long()
    return value.astype(dtype) if hasattr(value, "astype") else value


def clips(
    model: _core.Model,
    direction: str,
    value: Any,
    num_codebooks: int,
    limits: Any,
    call: OnHost,
    *,
    lengths: Any = None,
    pads: bool = True,
) -> Any:
    """Whole clips of one length, in one of the directions of the extension; `call` does the same on the host.

    Nothing passes the host where all rows are as long as the array, and `pads` says that they are padded as
    Transformers does it or there is nothing to pad.
    """

    def run(array: _core.DeviceArray) -> _core.DeviceArray:
        return model.clips_on_device(direction, num_codebooks, array, limits)

    def fits(shape: Sequence[int]) -> bool:
        whole = pads or shape[-1] % model.frame_size == 0
        return shape[0] > 0 and whole and _are_full(lengths, shape)

    return _through(model, direction, value, call, run, fits)


def frames(
    stream: _core.Stream,
    direction: str,
    value: Any,
    active: Any,
    limits: Any,
    call: OnHost,
    *,
    lengths: Any = None,
) -> Any:
    """The next frames of a stream's rows, as `clips`: on the device where they are whole and nothing is pending."""
    model = stream.model

    def push(array: _core.DeviceArray) -> _core.DeviceArray:
        return stream.push_on_device(array, active, limits)

    def is_whole(shape: Sequence[int]) -> bool:
        per_frame = model.frame_size if direction.startswith("to_") else 1
        whole = shape[-1] % per_frame == 0 and not any(stream.pending)
        return shape[0] == stream.batch_size and whole and _are_full(lengths, shape)

    return _through(model, direction, value, call, push, is_whole)


def _are_full(lengths: Any, shape: Sequence[int]) -> bool:
    """Whether each row is as long as the array."""
    return lengths is None or np.array_equal(np.ravel(np.asarray(lengths)), [shape[-1]] * shape[0])


def _through(
    model: _core.Model,
    direction: str,
    value: Any,
    call: OnHost,
    run: Callable[[_core.DeviceArray], _core.DeviceArray],
    fits: Callable[[Sequence[int]], bool],
) -> Any:
    what = "pcm" if direction.startswith("to_") else direction.removeprefix("from_")
    dtype = "int64" if direction == "from_codes" else "float32"
    array = bring(value, model, dtype, what)
    shaped = without_channel(array) if direction.startswith("to_") else with_batch(array)
    if shaped is not None and fits(shaped[0].shape):
        given, batched = shaped
        try:
            result = run(given)
        except CodesError:
            pass  # rows that end early are filled up with -1; the host tells them from codes that are wrong
        else:
            if not batched:
                result = result.squeezed(0)
            elif direction.startswith("from_"):
                result = result.expanded(1)
            return give_back(result, value)
    result_on_host = np.ascontiguousarray(call(array.to_host()))
    make = _core.DeviceArray.of_codes if result_on_host.dtype == np.int64 else _core.DeviceArray.of_floats
    return give_back(make(model, result_on_host), value)
