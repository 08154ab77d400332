"""Shards: which clip is in which, which rank makes which, and where they lie."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .._text import shown
from ..errors import LoadError
from .rows import Row

DATA = "data"


def shard_of(name: str, shards: int) -> int:
    """The shard of an id."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % shards


def path_of(root: Path, shard: int, shards: int, suffix: str) -> Path:
    """Where a shard lies."""
    return root / DATA / f"shard-{shard:05d}-of-{shards:05d}{suffix}"


@dataclass
class ShardFacts:
    """What a shard says of its clips as a whole."""

    shard: int
    clips: int = 0
    samples: int = 0
    """Of all clips, at the codec's rate; a channel that is kept separate counts for itself."""
    frames: int = 0
    warned: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    """How many clips failed, by kind."""

    @classmethod
    def of(cls, shard: int, rows: Iterable[Row]) -> ShardFacts:
        """What the rows of a shard are together."""
        facts, failures, ids = cls(shard), Counter[str](), set()
        for row in rows:
            ids.add(row.id)
            facts.samples += row.num_samples
            facts.frames += row.num_frames
            facts.warned += row.warning is not None
            if row.error is not None:
                failures[kind_of(row.error)] += 1
        facts.clips, facts.failures = len(ids), dict(sorted(failures.items()))
        return facts

    @classmethod
    def of_dict(cls, found: Any) -> ShardFacts:
        """What `as_dict` gave."""
        try:
            return cls(**found)
        except TypeError as error:
            raise LoadError(f"not a shard's description: {shown(found)}") from error

    def as_dict(self) -> dict[str, Any]:
        """For the shard's file."""
        return asdict(self)

    @property
    def failed(self) -> int:
        """Clips without frames."""
        return sum(self.failures.values())


def kind_of(error: str) -> str:
    """The kind of a failure: what stands before the first colon of a row's error."""
    return error.partition(":")[0]
