"""A pool: one model, one stream for each direction, one worker thread, many sessions."""

from __future__ import annotations

import asyncio
import math
import weakref
from typing import Self, SupportsFloat, SupportsIndex

from .._arrays import to_count
from ..errors import ConfigError, InputTypeError
from ..latent_codec import LatentCodec
from ..streams import EncoderStream
from ..token_codec import TokenCodec
from ._decoding import DecoderLane
from ._encoding import EncoderLane
from ._engine import Engine
from ._lane import Lane
from .sessions import DecoderSession, DuplexSession, EncoderSession
from .stats import PoolStats

__all__ = ["SessionPool"]


class SessionPool:
    """Sessions of asyncio, batched over one stream of `slots` rows for each direction.

    What is there within `max_wait` of the first push goes through the model in one call, in the pool's own thread: the
    event loop never computes. Codes and audio equal those of the whole clip, bit for bit, whatever other sessions do. A
    push of any length is taken, at most 8 frames of it a tick, so that the others do not wait for its end.

    One pool keeps one thread busy, and each call of the model uses the model's `threads`. Several pools, of a model
    with `threads=1`, use several processors. Each may be in its own event loop, or all in one.

    Args:
        model: any codec of `mimi_codec.load`. Of one with a single half there are sessions of that direction.
        slots: sessions that each direction has room for. Memory is taken for all of them at once.
        num_codebooks: codebooks K of the codes; None gives all that are loaded. A codec of latents has none.
        max_wait: seconds that a push may wait for those of other sessions. Nothing waits once each session has one.
        max_pending: frames that may wait in one session. It bounds the memory of a client who pushes without waiting
            for the results; one push alone may be longer.

    Raises:
        ConfigError: an option outside its range, or codebooks of a codec of latents.
        InputTypeError: a model or an option of another type.
        OutOfMemoryError: there is not enough memory for so many slots.

    Example:
        >>> import asyncio
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.aio import SessionPool
        >>> mimi, pcm = Mimi.demo(), np.zeros(19_200, np.float32)
        >>> async def client(pool):
        ...     async with pool.encoder() as session:
        ...         pushed = [await session.push(chunk) for chunk in np.split(pcm, 10)]
        ...         return np.concatenate([*pushed, await session.flush()], axis=1)
        >>> async def main():
        ...     async with SessionPool(mimi, slots=4, num_codebooks=8) as pool:
        ...         return await asyncio.gather(*(client(pool) for _ in range(4)))
        >>> all(np.array_equal(codes, mimi.encode(pcm, 8)) for codes in asyncio.run(main()))
        True
    """

    def __init__(
        self,
        model: TokenCodec | LatentCodec,
        slots: SupportsIndex = 32,
        *,
        num_codebooks: int | None = None,
        max_wait: SupportsFloat = 0.002,
        max_pending: SupportsIndex = 64,
    ) -> None:
        if not isinstance(model, (TokenCodec, LatentCodec)):
            raise InputTypeError(f"model must be a codec of mimi_codec.load, got {type(model).__name__}")
        if isinstance(model, LatentCodec) and num_codebooks is not None:
            raise ConfigError(f"num_codebooks must be None for a codec of latents, got {num_codebooks!r}")
        rows, codebooks = to_count(slots, "slots"), 0
        engine = Engine(_seconds(max_wait), to_count(max_pending, "max_pending"), 1 / float(model.frame_rate))
        if model.has_encoder:
            stream: EncoderStream
            if isinstance(model, TokenCodec):
                stream = model.encoder_stream(rows, num_codebooks)
            else:
                stream = model.encoder_stream(rows)
            codebooks = stream.num_codebooks
            engine.lanes["encoder"] = EncoderLane(stream, model.frame_size, engine.answer)
        if model.has_decoder:
            decoder = model.decoder_stream(rows)
            engine.lanes["decoder"] = DecoderLane(decoder, model.frame_size, engine.answer, model.delay)
        self._model, self._engine, self._codebooks = model, engine, codebooks
        engine.start()
        self._end = weakref.finalize(self, engine.stop)

    def encoder(self) -> EncoderSession:
        """A session from audio to codes or latents, for `async with`.

        Returns:
            The session. Its slot is taken at once.

        Raises:
            ConfigError: the model has no encoder.
            PoolClosed: the pool was closed.
            PoolFull: no slot is free.

        Example:
            >>> import asyncio
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> from mimi_codec.aio import SessionPool
            >>> async def main():
            ...     async with SessionPool(Mimi.demo()) as pool, pool.encoder() as session:
            ...         return await session.push(np.zeros(1920, np.float32))
            >>> asyncio.run(main()).shape
            (16, 1)
        """
        return EncoderSession._of(self, self._engine, self._lane("encoder"), self._model)

    def decoder(self) -> DecoderSession:
        """A session from codes or latents to audio, for `async with`.

        Returns:
            The session. Its slot is taken at once.

        Raises:
            ConfigError: the model has no decoder.
            PoolClosed: the pool was closed.
            PoolFull: no slot is free.

        Example:
            >>> import asyncio
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> from mimi_codec.aio import SessionPool
            >>> async def main():
            ...     async with SessionPool(Mimi.demo()) as pool, pool.decoder() as session:
            ...         return await session.push(np.zeros((16, 1), np.int64))
            >>> asyncio.run(main()).shape
            (1920,)
        """
        return DecoderSession._of(self, self._engine, self._lane("decoder"), self._model)

    def duplex(self) -> DuplexSession:
        """Both directions, for one client who speaks and hears, for `async with`.

        Returns:
            The session. Its two slots are taken at once, or none of them.

        Raises:
            ConfigError: the model has one half only.
            PoolClosed: the pool was closed.
            PoolFull: no slot is free in one of the directions.

        Example:
            >>> import asyncio
            >>> from mimi_codec import Mimi
            >>> from mimi_codec.aio import SessionPool
            >>> async def main():
            ...     async with SessionPool(Mimi.demo(), slots=1) as pool, pool.duplex():
            ...         return pool.stats()
            >>> stats = asyncio.run(main())
            >>> stats.encoder_slots_used, stats.decoder_slots_used
            (1, 1)
        """
        decoder_lane = self._lane("decoder")
        encoder = self.encoder()
        try:
            decoder = DecoderSession._of(self, self._engine, decoder_lane, self._model)
        except BaseException:
            encoder._end()
            raise
        return DuplexSession._of(encoder, decoder)

    @property
    def model(self) -> TokenCodec | LatentCodec:
        """The codec that all sessions use."""
        return self._model

    @property
    def num_codebooks(self) -> int:
        """Codebooks K of the codes that sessions give; 0 where they give none."""
        return self._codebooks

    @property
    def closed(self) -> bool:
        """Whether it takes nothing more: `close` was called, or its thread has failed."""
        return self._engine.closed

    def stats(self) -> PoolStats:
        """How the pool is doing: ticks, batches, slots, and pushes that were late.

        Returns:
            A snapshot.
        """
        return self._engine.stats()

    async def close(self) -> None:
        """End the pool after the tick that it is in. Pushes that wait fail with `PoolClosed`."""
        self._end()
        await asyncio.to_thread(self._engine.join)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _lane(self, direction: str) -> Lane:
        try:
            return self._engine.lanes[direction]
        except KeyError:
            raise ConfigError(f"the model was loaded without {direction}") from None


def _seconds(value: SupportsFloat) -> float:
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise InputTypeError(f"max_wait must be a number of seconds, got {type(value).__name__}")
    seconds = float(value)
    if not 0 <= seconds < math.inf:
        raise ConfigError(f"max_wait must be at least 0 seconds, got {seconds}")
    return seconds
