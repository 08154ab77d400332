"""One client's session, from its first message to its last.

A task reads; for each direction another one codes and sends, so the encoder and the decoder of a duplex session go side
by side. Between them lie queues of a few messages: a client that sends fast or takes slowly waits, in its own
connection. All that is wrong with a client ends its own session, as `Refused`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy.typing as npt
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from ..aio import SessionPool
from ..errors import AudioError, CodesError, PoolFull
from ..token_codec import TokenCodec
from .metrics import Counts
from .settings import Settings
from .wire import AGAIN_LATER, GIVES, INTERNAL, TOO_LARGE, Refused, Start, Wire, ended, message, modes_of

WAITING_MESSAGES = 2  # of each direction, beside the one that is at work
PIECE_FRAMES = 8  # of one push: what a long message makes is sent as it comes
ERROR_SECONDS = 1.0  # to send the reason to a client that may not read

log = logging.getLogger(__name__)

Item = npt.NDArray[Any] | None  # None: the client has sent its last
Waiting = asyncio.Queue[Item]


class Session:
    """What one connection does."""

    def __init__(
        self,
        connection: ServerConnection,
        pool: SessionPool,
        model: TokenCodec,
        codebooks: int,
        settings: Settings,
        counts: Counts,
    ) -> None:
        self._connection, self._pool, self._model = connection, pool, model
        self._codebooks, self._settings, self._counts = codebooks, settings, counts

    async def run(self, hello: str) -> None:
        """Serve the client until it has ended, has gone, or has done something wrong."""
        try:
            await self._send(hello)
            start = await self._start()
            async with self._streams(start) as streams:
                await self._converse(start, streams)
            await self._connection.close()
        except* ConnectionClosed:
            pass  # the client has gone
        except* Exception as group:
            await self._refuse(_first(group))

    async def _start(self) -> Start:
        try:
            async with asyncio.timeout(self._settings.start_seconds):
                text = await self._connection.recv()
        except TimeoutError:
            seconds = self._settings.start_seconds
            raise Refused("idle", f"the start message must come within {seconds:g} seconds") from None
        if not isinstance(text, str):
            raise Refused("wrong_order", 'the first message must be text with the type "start", got binary data')
        self._check_size(text)
        return Start.read(text, modes_of(self._model), self._codebooks)

    @asynccontextmanager
    async def _streams(self, start: Start) -> AsyncIterator[dict[str, Any]]:
        """The pool's sessions by what they take. Raises `Refused` if there is not a free slot."""
        async with contextlib.AsyncExitStack() as stack:
            self._counts.active[start.mode] += 1
            stack.callback(self._counts.active.subtract, [start.mode])  # when the slot is free again
            try:
                if start.mode == "duplex":
                    both = await stack.enter_async_context(self._pool.duplex())
                    streams: dict[str, Any] = {"pcm": both.encoder, "codes": both.decoder}
                elif start.mode == "encode":
                    streams = {"pcm": await stack.enter_async_context(self._pool.encoder())}
                else:
                    streams = {"codes": await stack.enter_async_context(self._pool.decoder())}
            except PoolFull as error:
                raise Refused("full", str(error), AGAIN_LATER) from error
            self._counts.begun[start.mode] += 1
            yield streams

    async def _converse(self, start: Start, streams: dict[str, Any]) -> None:
        wire = Wire(start, self._model.codebook_size, self._codebooks)
        await self._send(message("ready", mode=start.mode, pcm=start.pcm, codebooks=start.codebooks))
        waiting: dict[str, Waiting] = {kind: asyncio.Queue(WAITING_MESSAGES) for kind in streams}
        async with asyncio.TaskGroup() as tasks:
            for kind, stream in streams.items():
                tasks.create_task((self._encode if kind == "pcm" else self._decode)(wire, stream, waiting[kind]))
            await self._read(wire, waiting)

    async def _read(self, wire: Wire, waiting: dict[str, Waiting]) -> None:
        open_kinds = set(waiting)
        while open_kinds:
            data = await self._receive()
            kind, item = (ended(data), None) if isinstance(data, str) else wire.read(data)
            if kind not in waiting:
                raise Refused("wrong_order", f"a session in mode {wire.start.mode} does not take {kind}")
            if kind not in open_kinds:
                raise Refused("wrong_order", f"{kind} came after the end of {kind}")
            await waiting[kind].put(item)
            if item is None:
                open_kinds.remove(kind)

    async def _receive(self) -> str | bytes:
        try:
            async with asyncio.timeout(self._settings.idle_seconds):
                data = await self._connection.recv()
        except TimeoutError:
            raise Refused("idle", f"nothing came for {self._settings.idle_seconds:g} seconds") from None
        self._check_size(data)
        return data

    def _check_size(self, data: str | bytes) -> None:
        if len(data) > self._settings.message_bytes:
            most = self._settings.message_bytes
            raise Refused("too_large", f"a message has at most {most} bytes, got {len(data)}", TOO_LARGE)

    async def _encode(self, wire: Wire, stream: Any, waiting: Waiting) -> None:
        frames = 0
        async for samples in _pieces(waiting, PIECE_FRAMES * self._model.frame_size):
            frames += await self._give_codes(wire, await stream.push(samples))
        frames += await self._give_codes(wire, await stream.flush())
        await self._send(message("end", of=GIVES["pcm"], frames=frames))

    async def _give_codes(self, wire: Wire, codes: npt.NDArray[Any]) -> int:
        frames = int(codes.shape[1])
        if frames:
            self._counts.frames["encode"] += frames
            await self._send(wire.codes(codes))
        return frames

    async def _decode(self, wire: Wire, stream: Any, waiting: Waiting) -> None:
        count = 0
        async for codes in _pieces(waiting, PIECE_FRAMES):
            self._counts.frames["decode"] += codes.shape[1]
            count += await self._give_pcm(wire, await stream.push(codes))
        count += await self._give_pcm(wire, await stream.flush())
        await self._send(message("end", of=GIVES["codes"], samples=count))

    async def _give_pcm(self, wire: Wire, samples: npt.NDArray[Any]) -> int:
        if len(samples):
            await self._send(wire.pcm(samples))
        return len(samples)

    async def _send(self, data: str | bytes) -> None:
        try:
            async with asyncio.timeout(self._settings.send_seconds):
                await self._connection.send(data)
        except TimeoutError:
            seconds = self._settings.send_seconds
            raise Refused("slow_reader", f"what was sent was not taken for {seconds:g} seconds") from None

    async def _refuse(self, error: Exception) -> None:
        if isinstance(error, (AudioError, CodesError)):  # of values, such as samples that are NaN
            error = Refused("bad_values", str(error))
        if not isinstance(error, Refused):
            log.error("a session has failed", exc_info=error)
            error = Refused("internal", "the server has failed; its log says how", INTERNAL)
        self._counts.refused[error.kind] += 1
        log.info("%s: %s: %s", self._connection.remote_address, error.kind, error)
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(ERROR_SECONDS):
                await self._connection.send(error.text)
        await self._connection.close(error.close, error.kind)


async def _pieces(waiting: Waiting, longest: int) -> AsyncIterator[npt.NDArray[Any]]:
    """What comes, along its last axis in pieces of at most `longest`, until the client has sent its last."""
    while (item := await waiting.get()) is not None:
        for start in range(0, item.shape[-1], longest):
            yield item[..., start : start + longest]


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """The exception to tell of: one that says what the client did, if there is one."""
    leaves = list(_leaves(group))
    return next((error for error in leaves if isinstance(error, Refused)), leaves[0])


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
