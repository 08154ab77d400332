"""What a call of the model gives, and what it keeps between calls while it streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch

from .._arrays import BoolArray
from ..aio._rows import DecoderRows, EncoderRows
from ..streams import DecoderStream, EncoderStream

# Streams of the model's own, or sessions of a pool.
Encoding: TypeAlias = EncoderStream | EncoderRows
Decoding: TypeAlias = DecoderStream | DecoderRows


@dataclass
class QuantizedResult:
    """What calling the model gives: the audio after a pass through the codec, and its codes.

    Example:
        >>> import torch
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.moshi import MimiModel
        >>> MimiModel(Mimi.demo())(torch.zeros(1, 1, 3840)).x.shape
        torch.Size([1, 1, 3840])
    """

    x: torch.Tensor
    """Audio (B, 1, L)."""
    codes: torch.Tensor
    """(B, K, T), int64."""
    bandwidth: torch.Tensor
    """kbit/s, a scalar."""
    penalty: torch.Tensor | None = None
    """Always None: it is for training."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Always empty: they are for training."""


@dataclass
class StreamingState:
    """The streams of B clips in step; each half begins with its first input."""

    batch_size: int
    exec_mask: BoolArray
    encoder: Encoding | None = None
    decoder: Decoding | None = None
