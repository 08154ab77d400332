"""Tensors of a host in memory as the checkpoint that the codec is loaded from, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import load_file, save_file

from ._torch import ScratchDirectory, as_files_hold
from .codec import Codec
from .errors import WeightsError
from .hub import CONFIG, WEIGHTS


def write_state(state: Mapping[str, torch.Tensor], config: str) -> ScratchDirectory:
    """Write tensors in memory as a checkpoint with this `config.json`. Raises `WeightsError` for one without data."""
    for name, tensor in state.items():
        if tensor.is_meta:
            raise WeightsError(
                f"{name} has no data (it is on the meta device, or offloaded); pass the name or path of the checkpoint"
            )
    files = ScratchDirectory()
    save_file(as_files_hold(state), files.path / WEIGHTS, metadata={"format": "pt"})
    (files.path / CONFIG).write_text(config)
    return files


def read_state(codec: Codec) -> dict[str, torch.Tensor]:
    """The tensors of a codec under the names of its files. Raises `LoadError` where those are gone."""
    files = ScratchDirectory()
    try:
        codec.save(files.path)
        return load_file(files.path / WEIGHTS)
    finally:
        files.remove()
