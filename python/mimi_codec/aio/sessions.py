"""Sessions: one client's place in a pool, in one direction or both.

A session is ended by `async with`, by `close`, or by being dropped. Calls of one session are done in the order in which
they were made.
"""

from __future__ import annotations

import asyncio
import weakref
from concurrent.futures import Future
from typing import Any, Self, cast

import numpy as np

from .._arrays import AnyArray, ArrayInput, Float32Array, span, to_codes, to_latents, to_pcm
from .._options import PADDINGS, Padding, choice
from ..errors import AudioError, CodesError, LatentsError
from ..latent_codec import LatentCodec
from ..token_codec import TokenCodec
from ._engine import Engine
from ._lane import Lane
from ._work import Kind, Request, Row

__all__ = ["DecoderSession", "DuplexSession", "EncoderSession"]


class Session:
    """What the sessions of both directions share."""

    _made_by = "SessionPool.encoder()"

    _engine: Engine
    _lane: Lane
    _model: TokenCodec | LatentCodec
    _pool: object
    _row: Row
    _end: weakref.finalize[Any, Any]

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__}() has no pool; use {self._made_by}")

    @classmethod
    def _of(cls, pool: object, engine: Engine, lane: Lane, model: TokenCodec | LatentCodec) -> Self:
        session = object.__new__(cls)
        session._pool, session._engine, session._lane, session._model = pool, engine, lane, model
        session._row = engine.open(lane)
        session._end = weakref.finalize(session, engine.close_row, lane, session._row)
        session._end.atexit = False
        return session

    async def reset(self) -> None:
        """Begin a new clip, after all pushes that were made before. It also ends what half a push has left.

        Raises:
            PoolClosed: the pool was closed.
            StreamError: the session was closed.

        Example:
            >>> import asyncio
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> from mimi_codec.aio import SessionPool
            >>> async def main():
            ...     async with SessionPool(Mimi.demo()) as pool, pool.encoder() as session:
            ...         await session.flush()
            ...         await session.reset()
            ...         return await session.push(np.zeros(2000, np.float32))
            >>> asyncio.run(main()).shape
            (16, 1)
        """
        await self._ask(Kind.RESET)

    async def close(self) -> None:
        """End the session and free its slot at once. What waits fails with `StreamError`."""
        self._end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, kind: Kind, **fields: Any) -> Any:
        future = asyncio.get_running_loop().create_future()
        self._engine.ask(self._lane, self._row, Request(kind, future, **fields))
        return await future

    def _begin(self, kind: Kind, **fields: Any) -> Future[Any]:
        """Ask for something in a thread, which may then wait for it."""
        future: Future[Any] = Future()
        self._engine.ask(self._lane, self._row, Request(kind, future, **fields))
        return future


class EncoderSession(Session):
    """Audio to codes or latents, as an `EncoderStream` of one row. Made by `SessionPool.encoder`.

    Example:
        >>> import asyncio
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.aio import SessionPool
        >>> async def main():
        ...     async with SessionPool(Mimi.demo(), num_codebooks=8) as pool, pool.encoder() as session:
        ...         return await session.push(np.zeros(5000, np.float32)), await session.flush()
        >>> pushed, last = asyncio.run(main())
        >>> pushed.shape, last.shape
        ((8, 2), (8, 1))
    """

    async def push(self, pcm: ArrayInput) -> AnyArray:
        """Take any number of samples, also 0, and give the frames that they complete, also 0.

        A push that is cancelled before a tick has taken it does nothing. Later it is applied as a whole, its frames are
        lost, and the next push goes on after it.

        Args:
            pcm: mono samples (n,) at the model's rate, of the types that `encode` takes. They are copied.

        Returns:
            Codes (K, m) int64, or latents (D, m) float32.

        Raises:
            AudioError: wrong shape, or samples that are NaN, infinite or so large that sums overflow.
            InputTypeError: not an array, or an element type that is not accepted.
            PoolClosed: the pool was closed.
            SessionFull: more than `max_pending` frames would wait.
            StreamError: the session was flushed and not reset, or closed.

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
        return cast(AnyArray, await self._ask(Kind.PUSH, **self._checked(pcm)))

    def _checked(self, pcm: ArrayInput) -> dict[str, Any]:
        """What a request to push these samples holds."""
        samples = to_pcm(pcm, copy=True)
        if samples.ndim != 1:
            raise AudioError(f"pcm must have shape (n,) in a session, got {samples.shape}")
        if not np.isfinite(samples).all():
            at = int(np.argmin(np.isfinite(samples)))
            raise AudioError(f"expected finite samples, got {samples[at]} at sample {at}")
        return {"data": samples, "size": -(-len(samples) // self._model.frame_size)}

    async def flush(self, *, padding: Padding = "transformers") -> AnyArray:
        """End the clip, and give the frame of the samples that are still pending. Then `reset` begins another one.

        Args:
            padding: how the rest is filled up to a frame: "transformers" or "moshi", as in `encode`.

        Returns:
            Codes (K, m) int64, or latents (D, m) float32, with m 0 or 1.

        Raises:
            ConfigError: another padding.
            PoolClosed: the pool was closed.
            StreamError: the session was flushed and not reset, or closed.

        Example:
            >>> import asyncio
            >>> import numpy as np
            >>> from mimi_codec import Mimi
            >>> from mimi_codec.aio import SessionPool
            >>> async def main():
            ...     async with SessionPool(Mimi.demo()) as pool, pool.encoder() as session:
            ...         await session.push(np.zeros(100, np.float32))
            ...         return await session.flush()
            >>> asyncio.run(main()).shape
            (16, 1)
        """
        return cast(AnyArray, await self._ask(Kind.FLUSH, padding=choice("padding", padding, PADDINGS)))


class DecoderSession(Session):
    """Codes or latents to audio, as a `DecoderStream` of one row. Made by `SessionPool.decoder`.

    Example:
        >>> import asyncio
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.aio import SessionPool
        >>> async def main():
        ...     async with SessionPool(Mimi.demo()) as pool, pool.decoder() as session:
        ...         return await session.push(np.zeros((8, 3), np.int64))
        >>> asyncio.run(main()).shape
        (5760,)
    """

    _made_by = "SessionPool.decoder()"

    async def push(self, codes: ArrayInput) -> Float32Array:
        """Take any number of frames, also 0, and give their audio. Cancelling is as in `EncoderSession.push`.

        Args:
            codes: (K, m) of any integer type, with K from 1 to the model's `num_codebooks`; or latents (D, m). They are
                copied.

        Returns:
            Samples (n,) float32: m * `frame_size`, and in the first frames of a clip as many fewer as the codec's
            `delay` says.

        Raises:
            CodesError: wrong shape, too many codebooks, or a code out of range.
            InputTypeError: not an array, or an element type that is not accepted.
            LatentsError: wrong shape of latents, or values that are NaN, infinite or too large.
            PoolClosed: the pool was closed.
            SessionFull: more than `max_pending` frames would wait.
            StreamError: the session was flushed and not reset, or closed.

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
        return cast(Float32Array, await self._ask(Kind.PUSH, **self._checked(codes)))

    def _checked(self, codes: ArrayInput) -> dict[str, Any]:
        """What a request to push these frames holds."""
        model = self._model
        frames: AnyArray
        if isinstance(model, TokenCodec):
            frames, batched = to_codes(codes, copy=True)
            if batched:
                raise CodesError(f"codes must have shape (K, m) in a session, got {frames.shape}")
            if not 1 <= frames.shape[1] <= model.num_codebooks:
                raise CodesError(f"expected between 1 and {model.num_codebooks} codebooks, got {frames.shape[1]}")
            if frames.size and not (frames.min() >= 0 and frames.max() < model.codebook_size):
                raise CodesError(f"expected codes between 0 and {model.codebook_size - 1}, got {span(frames)}")
        else:
            frames, batched = to_latents(codes, copy=True)
            if batched or frames.shape[1] != model.decoder_latent_dim:
                shape = frames.shape if batched else frames.shape[1:]
                raise LatentsError(f"latents must have shape ({model.decoder_latent_dim}, m) in a session, got {shape}")
            if not np.isfinite(frames).all():
                raise LatentsError("expected finite latents, got NaN or infinite values")
        return {"data": frames[0], "size": frames.shape[2]}

    async def flush(self) -> Float32Array:
        """End the clip. There is no sample that was not given, so this gives none; it is there as encoders have it.

        Returns:
            Samples (0,) float32.

        Raises:
            PoolClosed: the pool was closed.
            StreamError: the session was flushed and not reset, or closed.

        Example:
            >>> import asyncio
            >>> from mimi_codec import Mimi
            >>> from mimi_codec.aio import SessionPool
            >>> async def main():
            ...     async with SessionPool(Mimi.demo()) as pool, pool.decoder() as session:
            ...         return await session.flush()
            >>> asyncio.run(main()).shape
            (0,)
        """
        return cast(Float32Array, await self._ask(Kind.FLUSH))


class DuplexSession:
    """One client who speaks and hears: an encoder and a decoder, which know nothing of each other.

    Made by `SessionPool.duplex`.

    Attributes:
        encoder: the `EncoderSession`.
        decoder: the `DecoderSession`.

    Raises:
        TypeError: `DuplexSession()` is called. It has no pool.

    Example:
        >>> import asyncio
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.aio import SessionPool
        >>> async def main():
        ...     async with SessionPool(Mimi.demo()) as pool, pool.duplex() as session:
        ...         codes = await session.encoder.push(np.zeros(1920, np.float32))
        ...         return await session.decoder.push(codes)
        >>> asyncio.run(main()).shape
        (1920,)
    """

    encoder: EncoderSession
    decoder: DecoderSession

    def __init__(self) -> None:
        raise TypeError("DuplexSession() has no pool; use SessionPool.duplex()")

    @classmethod
    def _of(cls, encoder: EncoderSession, decoder: DecoderSession) -> Self:
        session = object.__new__(cls)
        session.encoder, session.decoder = encoder, decoder
        return session

    async def close(self) -> None:
        """End both directions and free their slots at once."""
        await self.encoder.close()
        await self.decoder.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
