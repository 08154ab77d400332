"""Showing many files: those that fail are told, the others are counted together."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._found import Inputs, counted
from .._text import shortened
from ..errors import MimiError
from .console import about, say, show
from .facts import Facts
from .work import LONGEST_ERROR


class Listing:
    """The facts of files, as they are found."""

    def __init__(self, args: argparse.Namespace, inputs: Inputs, *, single: bool) -> None:
        """`single`: one file was named, whose facts are printed alone."""
        self._args, self._inputs, self._single = args, inputs, single
        self._facts: list[Facts] = []
        self._failed = list(inputs.unreadable)
        for entry in self._failed:
            say(f"mimi: {entry['input']}: {entry['error']}")

    def add(self, name: str, find: Callable[[], Facts], text: Callable[[Facts], str]) -> None:
        """The facts that `find` gives, printed as `text` says; or its error."""
        try:
            facts = find()
        except (MimiError, OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            message = shortened(reason, LONGEST_ERROR)
            self._failed.append({"input": name, "error": message})
            say(f"mimi: {about(name, message)}")
            return
        self._facts.append(facts)
        if not self._args.json:
            show(text(facts))

    def end(self) -> int:
        """Print what all files are together; the exit code."""
        totals = self._totals()
        if self._args.json:
            if self._single and self._facts:
                show(json.dumps(self._facts[0], indent=2))
            elif not self._single:
                found = {"files": self._facts, "failed": self._failed, "passed_over": self._inputs.passed_over}
                show(json.dumps({**found, "totals": totals}, indent=2))
        elif not self._single:
            show(self._totals_text(totals))
        return 1 if self._failed else 0

    def _totals(self) -> dict[str, Any]:
        kinds = Counter(facts["kind"] for facts in self._facts)
        seconds = sum(facts.get("seconds") or 0.0 for facts in self._facts)
        frames = sum(facts.get("frames", 0) for facts in self._facts)
        size = sum(Path(facts["path"]).stat().st_size for facts in self._facts if _is_file(facts))
        return {"files": len(self._facts), "kinds": kinds, "seconds": seconds, "frames": frames, "bytes": size}

    def _totals_text(self, totals: dict[str, Any]) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in totals["kinds"].items())
        parts = [f"{counted(totals['files'], 'file')}" + (f" ({kinds})" if len(totals["kinds"]) > 1 else "")]
        parts.append(f"{totals['seconds']:.2f} s" + (f", {totals['frames']} frames" if totals["frames"] else ""))
        parts.append(f"{totals['bytes']} bytes")
        parts += [f"{len(self._failed)} failed"] if self._failed else []
        passed_over = self._inputs.passed_over_text()
        parts += [passed_over] if passed_over else []
        return "total: " + "; ".join(parts)


def _is_file(facts: Facts) -> bool:
    return "path" in facts and Path(facts["path"]).is_file()
