"""The work: threads that read clips, threads that encode them, and shards that end when their last clip does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias, cast

import numpy as np

from .._arrays import Float32Array
from .._options import Padding
from ..codec import Codec
from ..errors import StoppedError
from . import failures
from .channel import Channel, Closed
from .coding import BLOCK_FRAMES, Coder, even
from .items import Item
from .opened import OpenShard, Places
from .progress import Tally
from .rows import Content, Row
from .schedule import Schedule
from .shards import ShardFacts
from .sources import path_of, reading, shown_path
from .spool import Written

AHEAD = 8  # blocks of sound that are read before they are encoded, of five seconds each
TICK = 0.1  # seconds between two looks at the work
SHOWN = 10  # clips that failed, in a summary


@dataclass
class Clip:
    """A clip on its way from the thread that reads it to the one that encodes it."""

    shard: OpenShard
    item: Item
    sha256: str | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    given_up: bool = False
    """Nobody wants the rest of it."""


Passage: TypeAlias = Channel[Clip | Float32Array | None]


@dataclass
class Outcome:
    """What came of the shards."""

    committed: list[ShardFacts] = field(default_factory=list)
    failed: list[Row] = field(default_factory=list)
    """Some of the clips that failed: the first ones by their ids."""


class Engine:
    """One run over a schedule."""

    def __init__(self, schedule: Schedule, codec: Codec, content: Content, tally: Tally, jobs: int) -> None:
        self.outcome = Outcome()
        self._schedule, self._codec, self._content, self._tally = schedule, codec, content, tally
        self._plan = schedule.plan
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._channels = [Passage(AHEAD) for _ in range(jobs)]

    def run(self, tick: Callable[[], bool]) -> bool:
        """Do all of it. `tick` is called now and then, and says whether to stop. Whether all was done.

        Raises:
            OSError: a shard cannot be written. Those that are there are whole, and the others can be made later.
        """
        # Not `Thread.join`: a Ctrl-C in it makes Python 3.11 take the thread for ended.
        ended: list[threading.Event] = []
        try:
            for channel in self._channels:
                for work in (self._read, self._encode):
                    over = threading.Event()
                    arguments = (work, channel, over)
                    threading.Thread(target=self._guarded, args=arguments, name="mimi-corpora", daemon=True).start()
                    ended.append(over)
            for over in ended:
                while not over.wait(TICK):
                    if tick():
                        self._end()
            tick()
        finally:
            self._end()
            for over in ended:
                over.wait()
            self._schedule.close()
        if self._error is not None:
            raise self._error
        return self._schedule.unfinished == 0

    def _end(self) -> None:
        self._stop.set()
        for channel in self._channels:
            channel.close()

    def _guarded(self, work: Callable[[Passage], None], channel: Passage, over: threading.Event) -> None:
        try:
            work(channel)
        except (Closed, StoppedError):
            pass
        except BaseException as error:
            with self._lock:
                self._error = self._error or error
            self._end()
        finally:
            over.set()

    def _read(self, channel: Passage) -> None:
        """A clip, its blocks and None, as often as there are clips; then None."""
        while (taken := self._schedule.take(self._stop)) is not None:
            clip = Clip(*taken)
            channel.put(clip)
            for block in self._blocks(clip):
                channel.put(block)
            channel.put(None)
        channel.put(None)

    def _blocks(self, clip: Clip) -> Iterator[Float32Array]:
        """The sound of a clip, in blocks that end where frames do."""
        plan, source = self._plan, clip.item.source
        try:
            with reading(source, clip.item.id, plan.sample_rate, plan.channels, strict=plan.strict) as sound:
                clip.sha256 = sound.sha256
                for block in even(sound.blocks, BLOCK_FRAMES * plan.frame_size):
                    yield block
                    if clip.given_up:
                        return
                clip.warnings = sound.warnings()
        except Exception as error:
            clip.error = failures.of_reading(error)

    def _encode(self, channel: Passage) -> None:
        coder = Coder(self._codec, self._content, cast(Padding, self._plan.padding))
        while isinstance(clip := channel.get(), Clip):
            rows = self._rows(coder, clip, channel)
            self._tally.clip(clip.item.size, failed=rows[0][0].error is not None)
            if clip.shard.add(rows):
                self._commit(clip.shard)

    def _rows(self, coder: Coder, clip: Clip, channel: Passage) -> list[tuple[Row, Places]]:
        """Encode a clip: a row for it, or one for each of its channels, and where its frames lie."""
        written: list[Written] = []
        samples = 0
        error: str | None = None
        while isinstance(block := channel.get(), np.ndarray):
            if error is not None:
                continue
            pcm = np.atleast_2d(block)
            try:
                if not written:
                    coder.begin(len(pcm))
                frames = coder.push(pcm, self._stop)
            except StoppedError:
                raise
            except Exception as found:
                error, clip.given_up = failures.of_coding(found), True
                continue
            written = written or [Written(clip.shard.spool) for _ in pcm]
            for part, row in zip(written, frames, strict=True):
                part.add(row)
            samples += pcm.shape[1]
            self._tally.sound(pcm.size / self._plan.sample_rate)
        error = clip.error or error
        if error is None and not samples:
            error = failures.EMPTY
        if error is None:
            try:
                frames = coder.end()
            except Exception as found:
                error = failures.of_coding(found)
        path = path_of(clip.item.source)
        known = Row(clip.item.id, None if path is None else shown_path(path), clip.sha256)
        if error is not None:
            return [(replace(known, error=error), [])]
        rows: list[tuple[Row, Places]] = []
        separate = self._plan.channels == "separate"
        warning = "; ".join(clip.warnings) or None
        for number, (part, row) in enumerate(zip(written, frames, strict=True), 1):
            part.add(row)
            part.end()
            channel_number = number if separate else None
            whole = replace(known, channel=channel_number, num_frames=part.frames, num_samples=samples, warning=warning)
            rows.append((whole, part.places))
        return rows

    def _commit(self, shard: OpenShard) -> None:
        facts = self._schedule.commit(shard)
        if facts is not None:
            with self._lock:
                self.outcome.committed.append(facts)
                failed = self.outcome.failed + shard.failures
                self.outcome.failed = sorted(failed, key=lambda row: row.id)[:SHOWN]
