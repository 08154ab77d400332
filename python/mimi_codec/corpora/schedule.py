"""What is to be done next: the clips of one shard after the other, of those that nobody else has."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import commit, shards
from .claims import Claim
from .formats import Format
from .items import Item
from .opened import OpenShard
from .plan import Plan
from .shards import ShardFacts

POLL = 0.2  # seconds between two looks at what other processes have


class Schedule:
    """The shards of a rank. Any number of threads may take clips from it."""

    def __init__(
        self, root: Path, plan: Plan, form: Format, items: Mapping[int, Sequence[Item]], *, retry: bool
    ) -> None:
        """`items` are the clips of each shard. `retry` makes shards again that have failures."""
        self.root, self.plan, self.form = root, plan, form
        self.kept: list[ShardFacts] = []
        """Shards that were there before."""
        self.by_others = 0
        """Shards that other processes made in the meantime."""
        self.unfinished = 0
        """Shards that were not begun, or not ended."""
        self._items = items
        self._retry = retry
        self._lock = threading.Lock()
        self._open: list[OpenShard] = []
        self._current: list[tuple[OpenShard, Item]] = []
        self._todo: list[int] = []
        self._sweep()
        clips = size = 0
        for number in sorted(items):
            target = self._target(number)
            facts = form.head(target).shard if target.exists() else None
            if facts is None:
                clips, size = clips + len(items[number]), size + sum(item.size for item in items[number])
            elif retry and facts.failures:
                clips += facts.failed
            else:
                self.kept.append(facts)
                continue
            self._todo.append(number)
        self.planned = clips, size
        """Clips that are to be done and their bytes, before other processes do some of them."""
        self._todo.reverse()
        self.unfinished = len(self._todo)
        self._others: list[int] = []
        """Shards that another process has a claim to."""

    def take(self, stop: threading.Event) -> tuple[OpenShard, Item] | None:
        """The next clip; None when there are no more. Waits for what other processes have."""
        while not stop.is_set():
            with self._lock:
                while not self._current and self._todo:
                    self._begin(self._todo.pop())
                if self._current:
                    return self._current.pop()
                if not self._others:
                    return None
                self._todo, self._others = self._others[::-1], []
            stop.wait(POLL)
        return None

    def _sweep(self) -> None:
        """Take away what processes that were killed have left of shards that are there."""
        for hidden in sorted((self.root / shards.DATA).glob(".shard-*")):
            end = hidden.name.find(self.form.suffix) + len(self.form.suffix)
            target = hidden.with_name(hidden.name[1:end])
            if target.exists() and (claim := Claim.take(target)) is not None:
                self._clean(target, claim)
                claim.release()

    def _clean(self, target: Path, claim: Claim) -> None:
        """Nothing where there are no locks: what looks left over may be what another process writes."""
        for left in commit.unfinished(target) if claim.sole else ():
            left.unlink(missing_ok=True)

    def _begin(self, number: int) -> None:
        """Open a shard, if it is not another's."""
        target = self._target(number)
        claim = Claim.take(target)
        if claim is None:
            self._others.append(number)
            return
        try:
            again, items = target.exists(), self._items[number]
            if again:
                failed = {row.id for row in self.form.read(target) if row.error is not None} if self._retry else ()
                items = [item for item in items if item.id in failed]
                if not items:
                    self.by_others += 1
                    self.unfinished -= 1
                    claim.release()
                    return
            self._clean(target, claim)
            shard = OpenShard(number, target, claim, self.plan, items)
        except BaseException:
            claim.release()
            raise
        self._open.append(shard)
        if again:
            shard.keep(row for row in self.form.read(target) if row.error is None)
        self._current = [(shard, item) for item in reversed(shard.items)]

    def commit(self, shard: OpenShard) -> ShardFacts | None:
        """Make the file of a shard whose clips are all done; None if another process has made it."""
        facts = shard.commit(self.form, self.root, again=self._retry and shard.target.exists())
        with self._lock:
            self._open.remove(shard)
            self.unfinished -= 1
            self.by_others += facts is None
        return facts

    def close(self) -> None:
        """Give up what is not finished."""
        for shard in self._open:
            shard.close()
        self._open = []

    def _target(self, number: int) -> Path:
        return shards.path_of(self.root, number, self.plan.shards, self.form.suffix)
