"""What a format of shards does."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal

from ...errors import LoadError
from ..plan import Plan, of_dict
from ..rows import Row, ShardRows
from ..shards import ShardFacts

FormatName = Literal["parquet", "webdataset", "files"]


@dataclass(frozen=True)
class Head:
    """What every shard carries besides its rows."""

    plan: Plan
    shard: ShardFacts

    def as_dict(self) -> dict[str, Any]:
        """For a file."""
        return {"plan": self.plan.as_dict(), "shard": self.shard.as_dict()}

    @classmethod
    def of_dict(cls, found: Any, path: Path) -> Head:
        """What `as_dict` gave."""
        if not isinstance(found, dict) or not {"plan", "shard"} <= set(found):
            raise LoadError(f"{path} is not a shard of tokens: its description is missing")
        return cls(of_dict(found["plan"], str(path)), ShardFacts.of_dict(found["shard"]))


class Format(ABC):
    """A format of shards."""

    suffix: ClassVar[str]

    @abstractmethod
    def write(self, file: BinaryIO, rows: ShardRows, head: Head, root: Path) -> None:
        """Write a shard. `root` is the directory of the run, for what does not go into the shard's file."""

    @abstractmethod
    def read(self, path: Path) -> Iterator[Row]:
        """The rows of a shard, in the order of their ids. Raises `LoadError` for what is not a shard."""

    @abstractmethod
    def head(self, path: Path) -> Head:
        """What a shard says of itself. Raises `LoadError` for what is not a shard."""


def text(value: Any) -> str:
    """JSON that is the same for the same value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
