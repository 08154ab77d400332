"""The worker thread of a pool: takes what sessions ask for, and runs the ticks.

Sessions and the worker share only a queue that may be written anywhere, also where the garbage collector runs.
"""

from __future__ import annotations

import asyncio
import math
import os
import queue
import threading
import time
from collections import defaultdict, deque
from typing import Any, TypeAlias

from ..errors import PoolClosed, PoolFull, SessionFull
from ._lane import Lane
from ._work import Future, Kind, Request, Row
from .stats import PoolStats

RECENT = 1024  # ticks whose times are kept

Outcome: TypeAlias = tuple[Future, Any, BaseException | None]
Command: TypeAlias = tuple[Lane, Row, "Request | None"] | None  # None for the request opens or closes the row


class Engine:
    """Lanes, their ticks, and the thread that runs them."""

    def __init__(self, max_wait: float, max_pending: int, frame_seconds: float) -> None:
        self.lanes: dict[str, Lane] = {}
        self.closed = False
        self._max_wait, self._max_pending, self._frame_seconds = max_wait, max_pending, frame_seconds
        self._inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._ended = False
        self._fault: BaseException | None = None  # what the thread died of
        self._process = os.getpid()
        self._outcomes: list[Outcome] = []
        self._times: deque[float] = deque(maxlen=RECENT)
        self._ticks = self._calls = self._rows = self._missed = 0
        self._thread = threading.Thread(target=self._run, name="mimi-session-pool", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def open(self, lane: Lane) -> Row:
        """A row for a session, at once."""
        self._check_open()
        try:
            row = Row(lane.free.popleft())
        except IndexError:
            raise PoolFull(f"all {lane.slots} slots are in use") from None
        self._inbox.put((lane, row, None))
        return row

    def close_row(self, lane: Lane, row: Row) -> None:
        """The end of a session; also called by the garbage collector."""
        if not row.closed:
            row.closed = True
            self._inbox.put((lane, row, None))
            lane.free.append(row.index)

    def ask(self, lane: Lane, row: Row, request: Request) -> None:
        """Queue a request of a session."""
        self._check_open()
        waiting = row.asked - row.answered
        if request.kind is Kind.PUSH and waiting and waiting + request.size > self._max_pending:
            raise SessionFull(
                f"expected at most {self._max_pending} frames to wait in a session, got {request.size} more than the "
                f"{waiting} that wait"
            )
        row.asked += request.size
        self._inbox.put((lane, row, request))
        if self._ended:  # the worker left between the check and now
            self._leave()

    def stop(self) -> None:
        """End the thread after the tick it is in; what waits fails with `PoolClosed`."""
        self.closed = True
        self._inbox.put(None)

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def stats(self) -> PoolStats:
        """A snapshot."""
        times = sorted(self._times.copy())
        encoder, decoder = self.lanes.get("encoder"), self.lanes.get("decoder")
        return PoolStats(
            ticks=self._ticks,
            tick_p50_ms=1000 * _quantile(times, 0.5),
            tick_p99_ms=1000 * _quantile(times, 0.99),
            batch_mean=self._rows / self._calls if self._calls else 0.0,
            missed_deadlines=self._missed,
            encoder_slots_used=encoder.slots - len(encoder.free) if encoder else 0,
            decoder_slots_used=decoder.slots - len(decoder.free) if decoder else 0,
            slots=max((lane.slots for lane in self.lanes.values()), default=0),
            pending=sum(len(row.queue) for lane in self.lanes.values() for row in list(lane.rows.values())),
        )

    def answer(self, row: Row, request: Request, result: Any, error: BaseException | None) -> None:
        """Note a result for the loop that waits for it."""
        if request.kind is Kind.PUSH and error is None:
            allowed = self._frame_seconds * max(1, request.size)
            self._missed += time.monotonic() - request.since > allowed
        self._outcomes.append((request.future, result, error))

    def _check_open(self) -> None:
        if self._fault is not None:
            raise PoolClosed(f"the pool's thread has failed: {self._fault!r}") from self._fault
        if self.closed:
            raise PoolClosed("the pool is closed")
        if os.getpid() != self._process:
            raise PoolClosed("the pool belongs to the process that made it, and its thread is not in this one")

    def _run(self) -> None:
        try:
            while self._take():
                self._tick()
        except BaseException as error:
            self._fault = error
            raise
        finally:
            self.closed = self._ended = True
            self._leave()

    def _take(self) -> bool:
        """Wait for work, and for what comes within `max_wait` of it; False when it is time to stop."""
        left = self._waiting() > 0  # of pushes too long for one tick
        deadline = 0.0
        while True:
            try:
                if left:
                    command = self._inbox.get_nowait()
                elif deadline:
                    command = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
                else:
                    command = self._inbox.get()
            except queue.Empty:
                return True
            if command is None:
                return False
            self._handle(*command)
            if not deadline and self._waiting():
                deadline = time.monotonic() + self._max_wait
            if deadline and self._all_there():
                left = True

    def _handle(self, lane: Lane, row: Row, request: Request | None) -> None:
        if request is None and (row.closed or lane.rows.get(row.index) is row):
            lane.close(row)
        elif request is None:
            lane.open(row)
        elif row.closed:
            row.queue.append(request)
            lane.close(row)
        else:
            row.queue.append(request)
        self._deliver()

    def _waiting(self) -> int:
        return sum(lane.waiting for lane in self.lanes.values())

    def _all_there(self) -> bool:
        """Whether no session of a direction that has work is missing."""
        return all(lane.waiting in (0, len(lane.rows)) for lane in self.lanes.values())

    def _tick(self) -> None:
        began = time.perf_counter()
        computed = False
        for lane in self.lanes.values():
            if not lane.waiting:
                continue
            lane.tick()
            # counted first, so that who has a result sees its tick
            self._calls += len(lane.calls)
            self._rows += sum(lane.calls)
            self._ticks += bool(lane.calls) and not computed
            computed |= bool(lane.calls)
            lane.calls.clear()
            self._deliver()
        if computed:
            self._times.append(time.perf_counter() - began)

    def _leave(self) -> None:
        """Fail all that waits."""
        error = PoolClosed("the pool was closed" if self._fault is None else "the pool's thread has failed")
        error.__cause__ = self._fault
        try:
            while True:
                command = self._inbox.get_nowait()
                if command is not None and command[2] is not None:
                    self._outcomes.append((command[2].future, None, error))
        except queue.Empty:
            pass
        for lane in self.lanes.values():
            for row in list(lane.rows.values()):
                lane.fail(row, error)
        self._deliver()

    def _deliver(self) -> None:
        """Hand results to the loops and threads that wait for them; a loop that is gone has nobody who waits."""
        outcomes, self._outcomes = self._outcomes, []
        loops: dict[asyncio.AbstractEventLoop, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            if isinstance(outcome[0], asyncio.Future):
                loops[outcome[0].get_loop()].append(outcome)
            else:
                _settle([outcome])
        for loop, those in loops.items():
            try:
                loop.call_soon_threadsafe(_settle, those)
            except RuntimeError:
                continue


def _settle(outcomes: list[Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _quantile(times: list[float], share: float) -> float:
    return times[math.ceil(share * len(times)) - 1] if times else 0.0
