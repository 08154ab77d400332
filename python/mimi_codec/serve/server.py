"""The server: HTTP and WebSockets on one port, and an end that waits for its clients."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from .. import __version__
from ..aio import SessionPool
from ..config import bits_per_code
from ..errors import ConfigError
from ..token_codec import TokenCodec
from .access import has_token, is_own_page
from .answers import answer, as_json, file_of_page, refusal
from .frames import MOST_CODEBOOKS
from .metrics import CONTENT_TYPE, Counts
from .session import Session
from .settings import Settings
from .wire import PROTOCOL, SAMPLES, message, modes_of

__all__ = ["Server"]

SOCKET = "/v1"
SPARE_CONNECTIONS = 16  # beyond those that can have a slot: they learn that all slots are taken
MESSAGES_READ_AHEAD = 2
CLOSE_SECONDS = 5.0  # for the closing handshake
REFUSED_SIZE = 4  # times the longest message: up to this a client is told by a message, beyond it by the close code

log = logging.getLogger(__name__)
connections_log = logging.getLogger(f"{__package__}.connections")  # what anyone on the network can fill


class Server:
    """Sessions of one model over WebSockets, with a page, health and metrics. Used with `async with`.

    Args:
        model: a codec with codes. One with a single half has sessions of that direction.
        settings: where to listen, and the limits.

    Raises:
        ConfigError: the model has fewer codebooks than `settings` asks for.

    Example:
        >>> import asyncio
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.serve import Server, Settings
        >>> async def main():
        ...     async with Server(Mimi.demo(), Settings(port=0)) as server:
        ...         return server.url
        >>> asyncio.run(main()).startswith("http://127.0.0.1:")
        True
    """

    def __init__(self, model: TokenCodec, settings: Settings) -> None:
        most = min(model.num_codebooks, MOST_CODEBOOKS)
        self._codebooks = most if settings.codebooks is None else settings.codebooks
        if not 1 <= self._codebooks <= most:
            raise ConfigError(f"codebooks must be between 1 and {most} for {model.name}, got {settings.codebooks}")
        self._model, self._settings, self._counts = model, settings, Counts()
        self._stack = AsyncExitStack()
        self._closing = False

    async def __aenter__(self) -> Self:
        settings = self._settings
        async with AsyncExitStack() as stack:
            given = self._codebooks if self._model.has_encoder else None
            pool = SessionPool(self._model, settings.slots, num_codebooks=given)
            self._pool = await stack.enter_async_context(pool)
            self._sockets: WebSocketServer = await serve(
                self._serve,
                settings.host,
                settings.port,
                process_request=self._request,
                compression=None,  # codes do not get shorter, and a short message cannot become a long one
                max_size=REFUSED_SIZE * settings.message_bytes,
                max_queue=MESSAGES_READ_AHEAD,
                ping_interval=None,  # an answer waits behind what its client has sent; silence ends a session anyway
                close_timeout=CLOSE_SECONDS,
                server_header=None,
                logger=connections_log,
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._stack:
            await self._end()

    @property
    def url(self) -> str:
        """Where the page is, without the token."""
        host, port = self._sockets.sockets[0].getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    @property
    def sessions(self) -> int:
        """Sessions that are open."""
        return self._counts.active.total()

    @property
    def errors(self) -> Counter[str]:
        """Sessions that ended with an error, by its kind."""
        return self._counts.refused.copy()

    async def _end(self) -> None:
        """Let nobody in any more, tell the clients, wait for them, and close those that have not ended."""
        self._closing = True
        left = set(self._sockets.connections)
        seconds = self._settings.closing_seconds
        try:
            if left:
                notice = message("closing", seconds=seconds)
                async with asyncio.timeout(seconds):
                    await asyncio.gather(*(_told(each, notice) for each in left))
                    await asyncio.gather(*(each.wait_closed() for each in left))
        except TimeoutError:
            log.info("%d clients had not ended after %g seconds", len(self._sockets.connections), seconds)
        finally:
            self._sockets.close()
            await self._sockets.wait_closed()

    async def _serve(self, connection: ServerConnection) -> None:
        session = Session(connection, self._pool, self._model, self._codebooks, self._settings, self._counts)
        await session.run(self._hello())

    def _hello(self) -> str:
        model, settings = self._model, self._settings
        return message(
            "hello",
            protocol=PROTOCOL,
            package=__version__,
            model=model.name,
            revision=model.revision,
            sample_rate=model.sample_rate,
            frame_rate=model.frame_rate,
            frame_size=model.frame_size,
            codebooks=self._codebooks,
            codebook_size=model.codebook_size,
            bits_per_code=bits_per_code(model.codebook_size),
            modes=modes_of(model),
            pcm=list(SAMPLES),
            limits={
                "message_bytes": settings.message_bytes,
                "start_seconds": settings.start_seconds,
                "idle_seconds": settings.idle_seconds,
                "send_seconds": settings.send_seconds,
            },
        )

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to a request, or None to open a WebSocket."""
        headers: dict[str, str] = {}
        for name, value in request.headers.raw_items():
            if name.title() in headers:
                value = f"{headers[name.title()]}, {value}"
            headers[name.title()] = value
        if not is_own_page(self._settings, headers):
            return refusal(HTTPStatus.FORBIDDEN, "requests from pages of other sites are refused")
        method = getattr(request, "method", "GET")  # older releases of websockets refuse others by themselves
        if method not in ("GET", "HEAD"):
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{method[:20]} is not for this server", Allow="GET, HEAD")
        found = self._answer(request.path, headers)
        if found is not None and method == "HEAD":
            found.body = b""
        return found

    def _answer(self, target: str, headers: dict[str, str]) -> Response | None:
        path = urlsplit(target).path
        page = file_of_page(path)
        if page is not None:
            return page
        if path == "/health":
            return self._health()
        routes: dict[str, Callable[[], Response | None]] = {"/metrics": self._metrics, SOCKET: self._room}
        if path not in routes:
            return refusal(HTTPStatus.NOT_FOUND, f"there is no {path[:80]}")
        if not has_token(self._settings, target, headers):
            why = "a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN"
            return refusal(HTTPStatus.UNAUTHORIZED, why, **{"WWW-Authenticate": "Bearer"})
        return routes[path]()

    def _room(self) -> Response | None:
        if self._closing:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the server is closing")
        if len(self._sockets.connections) >= 2 * self._settings.slots + SPARE_CONNECTIONS:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, "there are too many connections")
        return None

    def _health(self) -> Response:
        state = "closing" if self._closing else "failed" if self._pool.closed else "ok"
        status = HTTPStatus.OK if state == "ok" else HTTPStatus.SERVICE_UNAVAILABLE
        return as_json(
            {"status": state, "package": __version__, "model": self._model.name, "slots": self._settings.slots}, status
        )

    def _metrics(self) -> Response:
        return answer(HTTPStatus.OK, self._counts.text(asdict(self._pool.stats())).encode(), CONTENT_TYPE)


async def _told(connection: ServerConnection, text: str) -> None:
    """Send a client a message if it takes it."""
    try:
        await connection.send(text)
    except Exception:
        log.debug("a client went before it could be told", exc_info=True)
