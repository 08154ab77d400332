"""What is shown of a corpus while it is worked on: a line that changes on a terminal, lines now and then in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from ..corpora import Progress
from .console import is_terminal, say
from .progress import LOG_SECONDS

LINE = "{percentage:3.0f}%|{bar}| {desc}"


class Shown:
    """Progress for people."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._told = time.perf_counter()
        self._bar: Any = None
        if not quiet and is_terminal(errors=True):
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self._bar = tqdm(total=1, bar_format=LINE, dynamic_ncols=True, delay=0.5)

    def tell(self, progress: Progress) -> None:
        """How far it is now."""
        if self._bar is not None:
            self._bar.total, self._bar.n = max(1, progress.total), progress.clips
            self._bar.set_description_str(str(progress))
            return
        now = time.perf_counter()
        if not self._quiet and now - self._told >= LOG_SECONDS:
            self._told = now
            say(f"mimi: {progress}")

    def __enter__(self) -> Shown:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
