"""A shard that is being made: its clips, what is there of them, and its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from . import commit
from .claims import Claim
from .formats import Format
from .formats.base import Head
from .items import Item
from .plan import Plan
from .rows import Row
from .shards import ShardFacts
from .spool import Spool, SpoolMap, Written

Places = list[tuple[int, tuple[int, ...]]]


class OpenShard:
    """A shard on its way. Any number of threads may add rows."""

    def __init__(self, number: int, target: Path, claim: Claim, plan: Plan, items: Sequence[Item]) -> None:
        """`items` are the clips that are to be made."""
        self.number, self.target = number, target
        self.items = sorted(items, key=lambda item: (-item.size, item.id))  # the longest first
        self.spool = Spool(target.parent, plan.what)
        self._claim, self._plan = claim, plan
        self._lock = threading.Lock()
        self._closed = False
        self._left = len(self.items)
        self._rows: list[tuple[Row, Places]] = []

    def keep(self, rows: Iterator[Row]) -> None:
        """Rows that are there already, from a shard that is to be replaced."""
        for row in rows:
            if row.frames is None:
                places = None
            else:
                written = Written(self.spool)
                frames = row.frames if self._plan.content == "codes" else row.frames.T
                written.add(frames)
                written.end()
                places = written.places
            self._rows.append((replace(row, frames=None), places or []))

    def add(self, rows: Sequence[tuple[Row, Places]]) -> bool:
        """What came of a clip. Whether it was the last one."""
        with self._lock:
            self._rows += rows
            self._left -= 1
            return self._left == 0

    def commit(self, form: Format, root: Path, *, again: bool) -> ShardFacts | None:
        """Make the shard's file; None if another process was faster. `again` replaces what is there."""
        self._rows.sort(key=lambda pair: (pair[0].id, pair[0].channel or 0))
        rows = SpooledRows(self._rows, self.spool.map())
        facts = ShardFacts.of(self.number, rows.without_frames)
        head = Head(self._plan, facts)
        make = commit.replace if again else commit.create
        try:
            make(self.target, lambda file: form.write(file, rows, head, root))
        except FileExistsError:
            return None
        finally:
            self.close()
        return facts

    @property
    def failures(self) -> list[Row]:
        """The rows without frames so far."""
        return [row for row, _ in self._rows if row.error is not None]

    def close(self) -> None:
        """Give it up, or be done with it."""
        if not self._closed:
            self._closed = True
            self.spool.close()
            self._claim.release()


class SpooledRows:
    """The rows of a shard whose frames lie in its spool."""

    def __init__(self, rows: list[tuple[Row, Places]], frames: SpoolMap) -> None:
        self._rows, self._frames = rows, frames

    @property
    def without_frames(self) -> list[Row]:
        """All rows, which are small."""
        return [row for row, _ in self._rows]

    def __iter__(self) -> Iterator[Row]:
        """One after the other, with its frames."""
        for row, places in self._rows:
            yield row if row.error is not None else replace(row, frames=self._frames.frames(places))
