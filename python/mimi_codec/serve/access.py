"""Who is let in: those with the token, and no page of another site that a browser happens to show."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from .settings import Settings, is_loopback

BEARER = "bearer "


def has_token(settings: Settings, path: str, headers: Mapping[str, str]) -> bool:
    """Whether a request has the token, in `Authorization: Bearer TOKEN` or, as browsers must, in `?token=TOKEN`."""
    if settings.token is None:
        return True
    given = parse_qs(urlsplit(path).query).get("token", [])
    header = headers.get("Authorization", "")
    if header[: len(BEARER)].lower() == BEARER:
        given.append(header[len(BEARER) :].strip())
    wanted = settings.token.encode()
    return any(hmac.compare_digest(shown.encode("utf-8", "replace"), wanted) for shown in given)


def is_own_page(settings: Settings, headers: Mapping[str, str]) -> bool:
    """Whether a request comes from no browser, or from a page of this server.

    A page of any site can open a WebSocket to this machine, and a name of any site can lead here. Browsers say which
    page asks (Origin) and by which name (Host).
    """
    host, origin = headers.get("Host", ""), headers.get("Origin")
    if settings.token is None and not is_loopback(urlsplit(f"//{host}").hostname or ""):
        return False
    return origin is None or urlsplit(origin).netloc == host
