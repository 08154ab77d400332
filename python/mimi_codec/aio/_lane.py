"""One direction of a pool: a stream whose rows are sessions, and one tick of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import AnyArray, BoolArray
from .._options import PADDINGS
from ..errors import MimiError, StreamError
from ..streams import DecoderStream, EncoderStream
from ._work import Kind, Request, Row

MOST_FRAMES = 8  # of one session in one tick, so that a long push does not hold up the others

Answer = Callable[[Row, Request, Any, BaseException | None], None]


@dataclass(slots=True)
class Part:
    """What a row brings to a call: pieces of its requests, one after another."""

    row: Row
    pieces: list[tuple[Request, int, int]]

    def joined(self, before: Sequence[AnyArray] = ()) -> AnyArray:
        """The pieces as one array."""
        return np.concatenate([*before, *(request.data[..., start:end] for request, start, end in self.pieces)], -1)

    def one_by_one(self) -> Iterator[Part]:
        """A part for each piece."""
        return (Part(self.row, [piece]) for piece in self.pieces)


class Lane(ABC):
    """The rows of one stream. Made in any thread; all but `free` belongs to the worker."""

    def __init__(self, stream: EncoderStream | DecoderStream, frame_size: int, answer: Answer) -> None:
        self.slots = stream.batch_size
        self.free: deque[int] = deque(range(self.slots))
        self.rows: dict[int, Row] = {}
        self.calls: list[int] = []  # rows of each call since this was last emptied
        self._stream = stream
        self._frame_size = frame_size
        self._answer = answer

    @property
    def waiting(self) -> int:
        """Rows that wait for something."""
        return sum(bool(row.queue) for row in self.rows.values())

    def open(self, row: Row) -> None:
        """Give a free place to a session, as new."""
        self._stream.reset(self._mask([row]))
        self.rows[row.index] = row

    def close(self, row: Row) -> None:
        """Take a place back; the requests that wait fail."""
        if self.rows.get(row.index) is row:
            del self.rows[row.index]
        row.closed = True
        self.fail(row, StreamError("the session was closed"))

    def fail(self, row: Row, error: BaseException) -> None:
        """End all that waits."""
        while row.queue:
            self._over(row, None, error)

    def tick(self) -> None:
        """Do what is there: pushes first, then the ends of clips, then resets, each row's in its order."""
        rows = list(self.rows.values())
        for group in self._groups([part for row in rows if (part := self._next(row)) is not None]):
            self._push(group)
        for padding in PADDINGS:
            self._flush([row for row in rows if self._head(row, Kind.FLUSH, padding)], padding)
        self._reset([row for row in rows if self._head(row, Kind.RESET)])

    def _next(self, row: Row) -> Part | None:
        """The pushes at the head of a row's queue, as far as one tick takes them."""
        part = Part(row, [])
        room, last = self._room(row), -1
        for request in list(row.queue):
            if request.future.cancelled() and not request.begun:
                row.queue.remove(request)
                row.answered += request.size
                continue
            if request.kind is not Kind.PUSH or not (room > 0 and last in (-1, self._width(request))):
                break
            if row.broken or row.flushed:
                row.queue.remove(request)
                row.answered += request.size
                self._answer(row, request, None, _refusal(row))
                continue
            start, end = request.taken, min(request.data.shape[-1], request.taken + room)
            part.pieces.append((request, start, end))
            room, last = room - (end - start), self._width(request)
        return part if part.pieces else None

    def _head(self, row: Row, kind: Kind, padding: str | None = None) -> bool:
        """Whether this is what the row waits for now."""
        while row.queue and row.queue[0].future.cancelled() and not row.queue[0].begun:
            row.answered += row.queue.popleft().size
        return bool(row.queue) and row.queue[0].kind is kind and padding in (None, row.queue[0].padding)

    def _push(self, parts: list[Part]) -> None:
        """One call. What fails is tried again in halves, until only that part fails which is at fault."""
        try:
            results = self._call(parts)
        except MimiError as error:
            if len(parts) > 1:
                half = len(parts) // 2
                self._push(parts[:half])
                self._push(parts[half:])
            elif len(parts[0].pieces) > 1:
                for part in parts[0].one_by_one():
                    if not part.row.broken:
                        self._push([part])
            else:
                self._refused(parts[0], error)
            return
        for part, pieces in zip(parts, results, strict=True):
            for (request, _, end), result in zip(part.pieces, pieces, strict=True):
                request.results.append(result)
                request.taken = end
                if end == request.data.shape[-1]:
                    done = request.results[0] if len(request.results) == 1 else np.concatenate(request.results, -1)
                    self._over(part.row, done, None)

    def _refused(self, part: Part, error: MimiError) -> None:
        """A push that failed changed nothing, unless it was too long for one tick."""
        if part.pieces[0][0].begun:
            part.row.broken = error
        self._over(part.row, None, error)

    def _over(self, row: Row, result: Any, error: BaseException | None) -> None:
        """The first request of a row is done."""
        request = row.queue.popleft()
        row.answered += request.size
        self._answer(row, request, result, error)

    def _flush(self, rows: list[Row], padding: str) -> None:
        """The ends of clips, in one call; what fails is tried again in halves, as a push is."""
        for row in [row for row in rows if row.broken or row.flushed]:
            self._over(row, None, _refusal(row))
            rows.remove(row)
        if not rows:
            return
        try:
            results = self._end(rows, padding)
        except MimiError as error:
            if len(rows) > 1:
                half = len(rows) // 2
                self._flush(rows[:half], padding)
                self._flush(rows[half:], padding)
            else:
                rows[0].broken = error
                self._over(rows[0], None, error)
            return
        for row, result in zip(rows, results, strict=True):
            row.flushed = True
            self._over(row, result, None)

    def _reset(self, rows: list[Row]) -> None:
        if rows:
            self._stream.reset(self._mask(rows))
        for row in rows:
            row.clear()
            self._over(row, None, None)

    def _mask(self, rows: Iterable[Row]) -> BoolArray:
        mask = np.zeros(self.slots, np.bool_)
        mask[[row.index for row in rows]] = True
        return mask

    @abstractmethod
    def _room(self, row: Row) -> int:
        """Positions of the last axis that a row may bring to a tick."""

    @abstractmethod
    def _width(self, request: Request) -> int:
        """What requests must have in common to be joined."""

    @abstractmethod
    def _groups(self, parts: list[Part]) -> Iterable[list[Part]]:
        """The parts that go in one call."""

    @abstractmethod
    def _call(self, parts: list[Part]) -> list[list[AnyArray]]:
        """The results of each piece of each part; a call that fails changes nothing."""

    @abstractmethod
    def _end(self, rows: list[Row], padding: Any) -> list[AnyArray]:
        """End the clips of some rows, and give what is left of each. After a failure it can be called again."""


def _refusal(row: Row) -> StreamError:
    if row.broken:
        error = StreamError(f"an earlier push failed half way ({row.broken}): reset the session first")
        error.__cause__ = row.broken
        return error
    return StreamError("the session was flushed: reset it first")
