"""What came of a run, and how far a corpus is."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import _found
from ..errors import ConfigError
from . import plan as plans
from .formats import format_of
from .progress import duration
from .rows import Row
from .shards import ShardFacts, path_of

SHOWN = 10


@dataclass(frozen=True)
class Summary:
    """What came of a run over the shards of its rank.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.corpora import tokenize
        >>> summary = tokenize([("hum", np.zeros(48_000, np.float32))], "out", Mimi.demo(), file_format="webdataset")
        >>> summary.clips, summary.failures, summary.complete
        (1, {}, True)
    """

    clips: int
    """Clips in the shards that are there now, with those that failed."""
    shards: int
    """Shards that this run made."""
    shards_kept: int
    """Shards that were there before."""
    shards_by_others: int
    """Shards that other processes made in the meantime."""
    shards_left: int
    """Shards that were not begun, or not ended."""
    failures: dict[str, int]
    """How many clips failed, by kind, in shards that were there before too."""
    examples: dict[str, str]
    """Some clips that failed in this run, and why."""
    warned: int
    """Clips of which a part may be missing."""
    seconds_of_audio: float
    """Sound that this run encoded; a channel that is kept separate counts for itself."""
    seconds_taken: float
    """By the clock."""
    cpu_seconds: float
    """Of all threads of the process."""
    interrupted: bool
    """Whether it was stopped."""
    notes: tuple[str, ...]
    """What was passed over in directories."""

    @property
    def complete(self) -> bool:
        """Whether all shards are there."""
        return self.shards_left == 0

    @property
    def failed(self) -> int:
        """Clips that failed."""
        return sum(self.failures.values())

    @property
    def times_real_time(self) -> float:
        """Sound per time, over everything: reading, encoding, writing."""
        return self.seconds_of_audio / self.seconds_taken if self.seconds_taken else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON.

        Returns:
            All fields, `complete` and `times_real_time`.
        """
        return {**asdict(self), "complete": self.complete, "times_real_time": round(self.times_real_time, 3)}

    def __str__(self) -> str:
        parts = [f"made {_found.counted(self.shards, 'shard')}"]
        if self.shards:
            parts[0] += f": {self.seconds_of_audio / 3600:.2f} h of audio in {duration(self.seconds_taken)}"
            parts[0] += f" ({self.times_real_time:.1f} times real time, {duration(self.cpu_seconds)} of processors)"
        parts += [f"{self.shards_kept} were there"] if self.shards_kept else []
        parts += [f"{self.shards_by_others} made by other processes"] if self.shards_by_others else []
        parts += [f"{self.shards_left} left"] if self.shards_left else []
        parts.append(_found.counted(self.clips, "clip"))
        parts += failed_text(self.failures)
        parts += [f"{self.warned} with warnings"] if self.warned else []
        return "; ".join([*parts, *self.notes])


@dataclass(frozen=True)
class Status:
    """How far a corpus is, by its plan and the shards that are there.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.corpora import status, tokenize
        >>> summary = tokenize([("hum", np.zeros(48_000, np.float32))], "out", Mimi.demo(), file_format="webdataset")
        >>> status("out").complete
        True
    """

    plan: dict[str, Any]
    """What `plan.json` says."""
    shards: int
    """Shards that are there."""
    shards_left: list[int]
    """Numbers of those that are not."""
    clips: int
    """Clips in the shards that are there, with those that failed."""
    total: int
    """Clips of the corpus."""
    failures: dict[str, int]
    """How many clips failed, by kind."""
    warned: int
    """Clips of which a part may be missing."""
    seconds_of_audio: float
    """In the shards that are there."""

    @property
    def complete(self) -> bool:
        """Whether all shards are there."""
        return not self.shards_left

    def as_dict(self) -> dict[str, Any]:
        """For JSON.

        Returns:
            All fields, and `complete`.
        """
        return {**asdict(self), "complete": self.complete}

    def __str__(self) -> str:
        expected = self.shards + len(self.shards_left)
        parts = [f"{self.shards} of {_found.counted(expected, 'shard')} are there"]
        parts.append(f"{self.clips} of {_found.counted(self.total, 'clip')}")
        parts.append(f"{self.seconds_of_audio / 3600:.2f} h of audio")
        parts += failed_text(self.failures)
        parts += [f"{self.warned} with warnings"] if self.warned else []
        if self.shards_left:
            shown = ", ".join(map(str, self.shards_left[:SHOWN]))
            parts.append(f"not there: {shown}{', ...' if len(self.shards_left) > SHOWN else ''}")
        return "; ".join(parts)


def summed(made: list[ShardFacts], kept: list[ShardFacts], failed: list[Row], **known: Any) -> Summary:
    """What came of a run, by the shards that it made and those that were there."""
    failures = Counter[str]()
    for facts in (*made, *kept):
        failures.update(facts.failures)
    return Summary(
        clips=sum(facts.clips for facts in (*made, *kept)),
        shards=len(made),
        shards_kept=len(kept),
        failures=dict(sorted(failures.items())),
        examples={row.id: row.error or "" for row in failed},
        warned=sum(facts.warned for facts in (*made, *kept)),
        **known,
    )


def failed_text(failures: dict[str, int]) -> list[str]:
    """How many clips failed, and of what."""
    if not failures:
        return []
    kinds = ", ".join(f"{count} {kind}" for kind, count in failures.items())
    return [f"{sum(failures.values())} failed ({kinds})"]


def status(out: str | Path) -> Status:
    """How far a corpus is: only the plan and the shards are read.

    Args:
        out: the directory of `tokenize`.

    Returns:
        The shards and clips that are there, those that are not, and the failures.

    Raises:
        ConfigError: a package is missing that reads the shards, or they were made on Ray.
        LoadError: there is no plan, or a file is not a shard.

    Example:
        >>> import numpy as np
        >>> from mimi_codec import Mimi
        >>> from mimi_codec.corpora import status, tokenize
        >>> summary = tokenize([("hum", np.zeros(48_000, np.float32))], "out", Mimi.demo(), file_format="webdataset")
        >>> status("out").clips
        1
    """
    root = Path(out)
    plan = plans.read(root)
    if plan.format == plans.BY_RAY:
        raise ConfigError(
            f"{out} was made on Ray, which has no shards: the same call of mimi_codec.ray.tokenize goes on"
        )
    form = format_of(plan.format)
    there: list[ShardFacts] = []
    left: list[int] = []
    for number, clips in enumerate(plan.clips_in_shards):
        path = path_of(root, number, plan.shards, form.suffix)
        if path.exists():
            there.append(form.head(path).shard)
        elif clips:
            left.append(number)
    failures = Counter[str]()
    for facts in there:
        failures.update(facts.failures)
    return Status(
        plan=plan.as_dict(),
        shards=len(there),
        shards_left=left,
        clips=sum(facts.clips for facts in there),
        total=plan.clips,
        failures=dict(sorted(failures.items())),
        warned=sum(facts.warned for facts in there),
        seconds_of_audio=sum(facts.samples for facts in there) / plan.sample_rate,
    )
