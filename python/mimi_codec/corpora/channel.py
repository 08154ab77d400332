"""A queue of bounded length between two threads, which either may close."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The other side has gone."""


class Channel(Generic[T]):
    """Things on their way from one thread to another."""

    def __init__(self, most: int) -> None:
        self._most, self._closed = most, False
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()

    def put(self, thing: T) -> None:
        """Wait until there is room. Raises `Closed` if nobody takes it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._waiting) < self._most)
            if self._closed:
                raise Closed
            self._waiting.append(thing)
            self._changed.notify_all()

    def get(self) -> T:
        """Wait until there is something. Raises `Closed` if nothing comes any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                raise Closed
            thing = self._waiting.popleft()
            self._changed.notify_all()
            return thing

    def close(self) -> None:
        """Nothing more is put or taken."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
