"""What sessions ask for, and the row of a stream that each of them has."""

from __future__ import annotations

import asyncio
import concurrent.futures
import enum
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from .._arrays import AnyArray
from .._options import Padding

EMPTY = np.zeros(0, np.float32)

# of a task that awaits, or of a thread that waits
Future: TypeAlias = asyncio.Future[Any] | concurrent.futures.Future[Any]


class Kind(enum.Enum):
    """What a session can ask for."""

    PUSH = enum.auto()
    FLUSH = enum.auto()
    RESET = enum.auto()


@dataclass(eq=False, slots=True)
class Request:
    """One call of a session, in the order of its calls."""

    kind: Kind
    future: Future
    data: AnyArray = field(default_factory=lambda: EMPTY)  # samples (n,), or frames (K, m) or (D, m)
    size: int = 0  # frames that it adds to what waits
    padding: Padding = "transformers"
    taken: int = 0  # positions of the last axis that are done
    results: list[AnyArray] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    @property
    def begun(self) -> bool:
        """Whether a part of it is done, so that the rest must be."""
        return self.taken > 0


@dataclass(eq=False, slots=True)
class Row:
    """A session's place in a stream. Only the worker thread touches it, but for `asked`."""

    index: int
    queue: deque[Request] = field(default_factory=deque)
    held: AnyArray = field(default_factory=lambda: EMPTY)  # samples that wait for their frame to be whole
    frames: int = 0  # frames that went through since the clip began
    flushed: bool = False
    broken: BaseException | None = None  # what half a push failed with
    closed: bool = False
    asked: int = 0  # frames of all pushes: written by the callers
    answered: int = 0  # frames of those that are over: written by the worker

    def clear(self) -> None:
        """Be as a new row; what waits stays."""
        self.held, self.frames, self.flushed, self.broken = EMPTY, 0, False, None
