"""`MimiModel` on a `SessionPool`: several servers of moshi's in one process compute in common batches."""

from __future__ import annotations

import torch

from ..aio import SessionPool
from ..aio._rows import DecoderRows, EncoderRows
from ..errors import ConfigError, InputTypeError
from ..model import Mimi
from .model import MimiModel


class PooledMimiModel(MimiModel):
    """Mimi as moshi's `MimiModel`, whose streams are sessions of a pool.

    Each clip that streams takes a slot of the pool for each direction with its first input, and keeps it until its
    streaming ends. Calls wait for the pool's thread, so several models in several threads, and sessions of asyncio in
    the same pool, are computed together. Outside of `streaming` a call computes by itself.

    A row whose values overflow in the model fails alone: the other rows of that call have gone on.

    Args:
        pool: a pool of a `Mimi`. It must stay open, and is not closed here.
        num_codebooks: how many codebooks `encode` gives.

    Raises:
        ConfigError: `num_codebooks` is outside its range, or more than the pool's sessions give.
        InputTypeError: not a pool, or one of another codec.

    Example:
        >>> import torch
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.aio import SessionPool
        >>> from mimi_codec.moshi import PooledMimiModel
        >>> mimi = PooledMimiModel(SessionPool(Mimi.demo(), slots=4, num_codebooks=8))
        >>> with mimi.streaming(batch_size=1):
        ...     codes = mimi.encode(torch.zeros(1, 1, mimi.frame_size))
        >>> codes.shape
        torch.Size([1, 8, 1])
    """

    def __init__(self, pool: SessionPool, num_codebooks: int = 8) -> None:
        if not isinstance(pool, SessionPool) or not isinstance(pool.model, Mimi):
            raise InputTypeError(f"pool must be a SessionPool of a Mimi, got {type(pool).__name__}")
        self.pool = pool
        super().__init__(pool.model, num_codebooks)

    def reset_streaming(self, reset_mask: torch.Tensor | None = None) -> None:
        """Begin new clips, and execute their rows again. They keep their slots.

        Args:
            reset_mask: a bool tensor (B,): the rows to reset. None means all.

        Raises:
            StreamError: it is not streaming, or the mask has a wrong shape.
            InputTypeError: the mask is not a bool tensor.
            PoolClosed: the pool was closed.
        """
        everything = torch.ones(self._streaming().batch_size, dtype=torch.bool)
        super().reset_streaming(everything if reset_mask is None else reset_mask)

    def _encoder_stream(self, rows: int) -> EncoderRows:
        return EncoderRows(self.pool, rows)

    def _decoder_stream(self, rows: int) -> DecoderRows:
        return DecoderRows(self.pool, rows)

    def _checked(self, num_codebooks: int) -> int:
        count = super()._checked(num_codebooks)
        if count > self.pool.num_codebooks:
            raise ConfigError(f"the sessions of the pool give {self.pool.num_codebooks} codebooks, got {count}")
        return count
