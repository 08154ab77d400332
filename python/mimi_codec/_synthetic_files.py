"""Writing a codec of random weights: a configuration and one or several safetensors files, a tensor at a time."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _safetensors
from .errors import ConfigError
from .hub import CONFIG, INDEX, WEIGHTS


class Tensor(NamedTuple):
    """A tensor that is made when it is written."""

    shape: tuple[int, ...]
    make: Callable[[], npt.NDArray[np.float32]]


def rng_of(name: str, seed: int) -> np.random.Generator:
    """The random numbers of a tensor, which are the same whatever else is written."""
    return np.random.default_rng((seed, zlib.crc32(name.encode())))


def write_files(
    path: str | os.PathLike[str],
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    dtype: str,
    shards: int = 1,
) -> Path:
    """Write `config.json`, and the tensors in their order into one file, or into `shards` files with an index."""
    if shards > len(tensors):
        raise ConfigError(f"shards must be at most {len(tensors)}, one for each tensor, got {shards}")
    directory = Path(path)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    if shards == 1:
        _write_tensors(directory / WEIGHTS, tensors, dtype)
        return directory
    names = list(tensors)
    placed: dict[str, str] = {}
    for index in range(shards):
        file = f"model-{index + 1:05}-of-{shards:05}.safetensors"
        part = names[len(names) * index // shards : len(names) * (index + 1) // shards]
        _write_tensors(directory / file, {name: tensors[name] for name in part}, dtype)
        placed |= dict.fromkeys(part, file)
    size = sum(_bytes(tensor.shape, dtype) for tensor in tensors.values())
    index_of_shards = {"metadata": {"total_size": size}, "weight_map": placed}
    (directory / INDEX).write_text(json.dumps(index_of_shards, indent=2) + "\n")
    return directory


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], dtype: str) -> None:
    kind = "F32" if dtype == "float32" else "BF16"
    entries = {name: (kind, tensor.shape, _bytes(tensor.shape, dtype)) for name, tensor in tensors.items()}
    with open(path, "wb") as file:
        file.write(_safetensors.header(entries, {"format": "pt"}))
        for tensor in tensors.values():
            values = tensor.make()
            file.write((values.astype("<f4") if dtype == "float32" else _bfloat16(values)).tobytes())


def _bytes(shape: tuple[int, ...], dtype: str) -> int:
    return math.prod(shape) * (4 if dtype == "float32" else 2)


def _bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Round to the nearest bfloat16, ties to even, as its bits."""
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype("<u2")
