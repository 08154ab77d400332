"""Weights between PyTorch's memory and the files the codec is loaded from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import load_file, save_file

from .._torch import ScratchDirectory, as_files_hold
from ..errors import WeightsError
from ..hub import CONFIG, WEIGHTS
from ..model import Mimi
from .installed import MimiConfig


def load_state(
    state: Mapping[str, torch.Tensor], config: MimiConfig, threads: int | None
) -> tuple[Mimi, ScratchDirectory]:
    """A codec of these tensors, and the directory of its files, which `Mimi.save` and pickling read again."""
    for name, tensor in state.items():
        if tensor.is_meta:
            raise WeightsError(
                f"{name} has no data (it is on the meta device, or offloaded); pass the name or path of the checkpoint"
            )
    files = ScratchDirectory()
    save_file(as_files_hold(state), files.path / WEIGHTS, metadata={"format": "pt"})
    (files.path / CONFIG).write_text(config.to_json_string(use_diff=False))
    return Mimi.from_pretrained(files.path, threads=threads), files


def read_state(codec: Mimi) -> dict[str, torch.Tensor]:
    """The tensors of a codec under the names of its files. Raises `LoadError` where those are gone."""
    files = ScratchDirectory()
    try:
        codec.save(files.path)
        return load_file(files.path / WEIGHTS)
    finally:
        files.remove()
