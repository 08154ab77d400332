"""What a server is told: where it listens, who may use it, and what one client may take."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from ..errors import ConfigError

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Where a server listens, and its limits.

    Raises:
        ConfigError: a value outside its range, or an address that others reach, without a token.

    Example:
        >>> from mimi_codec.serve import Settings
        >>> Settings(host="0.0.0.0")
        Traceback (most recent call last):
        mimi_codec.errors.ConfigError: to listen on 0.0.0.0, which others can reach, a server needs a token
    """

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8765
    """Port to listen on; 0 takes a free one."""
    slots: int = 32
    """Sessions that encode and sessions that decode at once; a duplex session is one of each."""
    codebooks: int | None = None
    """The most codebooks of a session; None means all that the model has."""
    token: str | None = None
    """What clients must show; None lets everyone in who reaches the address."""
    message_bytes: int = 1 << 18
    """Longest message."""
    start_seconds: float = 10.0
    """Time for a client's first message."""
    idle_seconds: float = 60.0
    """Time between two messages of a client."""
    send_seconds: float = 10.0
    """Time for a client to take what it is sent."""
    closing_seconds: float = 5.0
    """Time for clients to end when the server does."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise ConfigError(f"port must be between 0 and 65535, got {self.port}")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token.strip()):
            raise ConfigError("a token must have printable ASCII characters, and at least one")
        if self.token is None and not self.loopback:
            raise ConfigError(f"to listen on {self.host}, which others can reach, a server needs a token")

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches the address."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a name or an address means this machine alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
