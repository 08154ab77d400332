"""What plain HTTP requests get: the page and its files, `/health`, and `/metrics`."""

from __future__ import annotations

import json
from functools import cache
from http import HTTPStatus
from importlib.resources import files

from websockets.datastructures import Headers
from websockets.http11 import Response

PAGE = {
    "/": "index.html",
    "/style.css": "style.css",
    "/page.js": "page.js",
    "/wire.js": "wire.js",
    "/pictures.js": "pictures.js",
    "/worklets.js": "worklets.js",
}
TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}

# The page takes nothing from elsewhere, and is not shown inside another one.
SAFE = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def answer(status: HTTPStatus, body: bytes, kind: str, **more: str) -> Response:
    """A response that closes its connection, as all but those for a WebSocket do."""
    fields = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close", **SAFE, **more}
    return Response(status.value, status.phrase, Headers(fields), body)


def refusal(status: HTTPStatus, why: str, **more: str) -> Response:
    """A refusal with its reason."""
    return answer(status, f"{why}\n".encode(), "text/plain; charset=utf-8", **more)


def as_json(value: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A value as JSON."""
    return answer(status, json.dumps(value).encode(), "application/json")


def file_of_page(path: str) -> Response | None:
    """A file of the page, or None if it has none of this path."""
    name = PAGE.get(path)
    if name is None:
        return None
    return answer(HTTPStatus.OK, _read(name), TYPES[name.rpartition(".")[2]])


@cache
def _read(name: str) -> bytes:
    return files(__package__).joinpath("page", name).read_bytes()
