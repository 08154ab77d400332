"""Weights between PyTorch's memory and the files the codec is loaded from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import load_file

from .._torch import ScratchDirectory
from .._torch_state import write_state
from ..hub import WEIGHTS
from ..model import Mimi
from .installed import MimiConfig


def load_state(
    state: Mapping[str, torch.Tensor], config: MimiConfig, threads: int | None
) -> tuple[Mimi, ScratchDirectory]:
    """A codec of these tensors, and the directory of its files, which `Mimi.save` and pickling read again."""
    files = write_state(state, config.to_json_string(use_diff=False))
    return Mimi.from_pretrained(files.path, threads=threads), files


def read_state(codec: Mimi) -> dict[str, torch.Tensor]:
    """The tensors of a codec under the names of its files. Raises `LoadError` where those are gone."""
    files = ScratchDirectory()
    try:
        codec.save(files.path)
        return load_file(files.path / WEIGHTS)
    finally:
        files.remove()
