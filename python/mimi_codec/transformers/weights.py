"""Weights between PyTorch's memory and the files the codec is loaded from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .._torch import ScratchDirectory
from .._torch_state import read_state, write_state
from ..model import Mimi
from .installed import MimiConfig

__all__ = ["load_state", "read_state"]


def load_state(state: Mapping[str, torch.Tensor], config: MimiConfig, **options: Any) -> tuple[Mimi, ScratchDirectory]:
    """A codec of these tensors, and the directory of its files, which `Mimi.save` and pickling read again."""
    files = write_state(state, config.to_json_string(use_diff=False))
    return Mimi.from_pretrained(files.path, **options), files
