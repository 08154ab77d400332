"""What came of the files: a line for people, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .._found import Inputs, counted

SHOWN_KINDS = 4


@dataclass
class Report:
    """What came of the files of one command."""

    command: str
    done: str
    """What a file that succeeded is: "encoded"."""
    inputs: Inputs
    planned: int
    files: list[dict[str, Any]] = field(default_factory=list)
    kept: list[dict[str, str]] = field(default_factory=list)
    """Files that were there already."""
    failed: list[dict[str, str]] = field(default_factory=list)
    seconds_taken: float = 0.0
    interrupted: bool = False

    @property
    def num_failed(self) -> int:
        """Files that failed, and directories that could not be searched."""
        return len(self.failed) + len(self.inputs.unreadable)

    @property
    def left(self) -> int:
        """Files that were not begun, or not ended, when the command was interrupted."""
        return self.planned - len(self.files) - len(self.kept) - len(self.failed)

    @property
    def seconds_of_audio(self) -> float:
        """Of the files that succeeded."""
        return float(sum(entry["seconds"] for entry in self.files))

    @property
    def times_real_time(self) -> float:
        """Speed over everything: reading, computing, writing."""
        return self.seconds_of_audio / self.seconds_taken if self.seconds_taken else 0.0

    def as_json(self) -> str:
        """The report for programs."""
        facts = {
            "command": self.command,
            "files": self.files,
            "kept": self.kept,
            "failed": self.inputs.unreadable + self.failed,
            "passed_over": self.inputs.passed_over,
            "hidden": self.inputs.hidden,
            "interrupted": self.interrupted,
            "left": self.left,
            "seconds_of_audio": round(self.seconds_of_audio, 6),
            "seconds_taken": round(self.seconds_taken, 6),
            "times_real_time": round(self.times_real_time, 3),
        }
        return json.dumps(facts, indent=2)

    def __str__(self) -> str:
        parts = [f"{self.done} {counted(len(self.files), 'file')}"]
        if self.files:
            parts[0] += f": {self.seconds_of_audio:.1f} s of audio in {self.seconds_taken:.1f} s"
            parts[0] += f" ({self.times_real_time:.1f} times real time)"
        if self.kept:
            parts.append(f"{len(self.kept)} kept (they were there; -f overwrites)")
        if self.num_failed:
            parts.append(f"{self.num_failed} failed")
        done = Counter(what for entry in self.files for what in entry.get("done", ()))
        parts += [f"{what} ({counted(count, 'file')})" for what, count in done.most_common(SHOWN_KINDS)]
        left_over = [entry["left_over"] for entry in self.files if entry.get("left_over")]
        if left_over:
            what = f"{counted(sum(left_over), 'sample')} left over at the end of {counted(len(left_over), 'file')}"
            parts.append(f"{what}, less than a frame (--padding moshi fills it up)")
        warned = sum(bool(entry.get("warnings")) for entry in self.files)
        if warned:
            parts.append(f"{counted(warned, 'file')} with warnings")
        passed_over = self.inputs.passed_over_text()
        if passed_over:
            parts.append(passed_over)
        return "; ".join(parts)

    def how_to_go_on(self, force: bool) -> str:
        """What to do after an interruption."""
        same = "the same command without -f" if force else "the same command again"
        return f"interrupted with {counted(self.left, 'file')} left; {same} does the rest"
