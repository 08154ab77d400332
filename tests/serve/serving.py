"""A server in the loop of the test, clients of it, and plain HTTP."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mimi_codec import Mimi
from mimi_codec.serve import Server, Settings, unpack_codes

WATCHDOG = 60  # seconds; a failure, not a measurement


@asynccontextmanager
async def serving(model: Mimi, **settings: Any):
    """A server on a free port, with at most a minute for what is done with it."""
    async with (
        asyncio.timeout(WATCHDOG),
        Server(model, Settings(**{"port": 0, "closing_seconds": 0.2} | settings)) as server,
    ):
        yield server


@contextmanager
def in_thread(model: Mimi, **settings: Any):
    """A server in a thread, for clients that have a loop of their own or none; its address."""
    found, end = [], []
    ready = threading.Event()

    async def main():
        async with serving(model, **settings) as server:
            stop = asyncio.Event()
            found.append(server.url)
            end.append(lambda: loop.call_soon_threadsafe(stop.set))
            loop = asyncio.get_running_loop()
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert ready.wait(60)
    try:
        yield found[0]
    finally:
        end[0]()
        thread.join()


def socket_url(server: Server) -> str:
    return server.url.replace("http", "ws") + "v1"


@asynccontextmanager
async def client(server: Server, mode: str | None, path: str = "", **options: Any):
    """A connection, with its session begun unless `mode` is None."""
    async with connect(socket_url(server) + path, max_size=None) as socket:
        assert json.loads(await socket.recv())["type"] == "hello"
        if mode is not None:
            await begin(socket, mode, **options)
        yield socket


async def begin(socket: ClientConnection, mode: str, **options: Any) -> dict[str, Any]:
    await socket.send(json.dumps({"type": "start", "mode": mode, **options}))
    ready = json.loads(await socket.recv())
    assert ready["type"] == "ready", ready
    return ready


def end(of: str) -> str:
    return json.dumps({"type": "end", "of": of})


def joined(messages: list[str | bytes], kind: str = "<i2", size: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """The samples and the codes (K, T) of all binary messages."""
    pcm = [np.frombuffer(data, kind, offset=1) for data in messages if isinstance(data, bytes) and data[0] == 1]
    codes = [unpack_codes(data, size) for data in messages if isinstance(data, bytes) and data[0] == 2]
    return np.concatenate(pcm or [np.zeros(0)]), np.concatenate(codes or [np.zeros((1, 0))], axis=1)


async def converse(socket: ClientConnection, messages: list[str | bytes]) -> list[str | bytes]:
    """Send all messages while reading; what came until the server closed."""

    async def send() -> None:
        for message in messages:
            await socket.send(message)
            await asyncio.sleep(0)

    sender = asyncio.create_task(send())
    try:
        return [message async for message in socket]
    finally:
        await sender


async def error_of(socket: ClientConnection) -> tuple[str, int]:
    """The error message that a client gets, and the code that its connection is closed with."""
    found, closed = None, None
    while closed is None:
        try:
            message = await socket.recv()
        except ConnectionClosed as error:
            closed = error
            continue
        if isinstance(message, str) and (fields := json.loads(message))["type"] == "error":
            assert fields["message"]
            found = fields["error"]
    assert found is not None, f"closed without an error message: {closed}"
    return found, closed.rcvd.code


def pieces(pcm: np.ndarray, length: int) -> list[bytes]:
    """Samples as messages of `length` samples."""
    return [b"\x01" + pcm[start : start + length].tobytes() for start in range(0, len(pcm), length)]


async def get(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """One HTTP request, by hand: the status, the headers and the body."""
    host, port = server.url.removeprefix("http://").rstrip("/").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    fields = {"Host": f"{host}:{port}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    raw = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = raw.decode().partition("\r\n\r\n")
    if not head:  # the connection was closed without an answer
        return 0, {}, ""
    first, *lines = head.split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body
