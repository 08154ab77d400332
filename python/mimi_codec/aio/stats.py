"""How a pool is doing."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PoolStats"]


@dataclass(frozen=True)
class PoolStats:
    """Numbers of a pool since it began; the times are those of the last 1024 ticks. Made by `SessionPool.stats`.

    Example:
        >>> import asyncio
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.aio import SessionPool
        >>> async def main():
        ...     async with SessionPool(Mimi.demo(), slots=4) as pool, pool.encoder():
        ...         return pool.stats()
        >>> stats = asyncio.run(main())
        >>> stats.encoder_slots_used, stats.decoder_slots_used, stats.slots, stats.ticks
        (1, 0, 4, 0)
    """

    ticks: int
    """Ticks in which a model computed."""
    tick_p50_ms: float
    """Milliseconds that half of the ticks took at most; 0 before the first."""
    tick_p99_ms: float
    """Milliseconds that 99 of 100 ticks took at most."""
    batch_mean: float
    """Sessions that had a part in a call of a model, on average."""
    missed_deadlines: int
    """Pushes whose result came later than their sound lasts, or than one frame where they hold less."""
    encoder_slots_used: int
    """Sessions that encode."""
    decoder_slots_used: int
    """Sessions that decode."""
    slots: int
    """Sessions that each direction has room for."""
    pending: int
    """Pushes and other requests that wait now."""
