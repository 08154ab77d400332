"""What is shown while the work goes on: a bar on a terminal, and a line now and then in a log."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

from .console import about, is_terminal, say

ONE_CLIP = "{l_bar}{bar}| {n_fmt} of {total_fmt} s{postfix}"
LOG_SECONDS = 10.0  # between two lines where there is no terminal


class Cancelled(Exception):
    """The work was stopped between two blocks of a clip."""


class Progress:
    """The state of all files, told as they go on. Any number of threads may report."""

    def __init__(self, files: int, *, quiet: bool) -> None:
        self.stop = threading.Event()
        self._files, self._quiet = files, quiet
        self._lock = threading.Lock()
        self._began = self._told = time.perf_counter()
        self._done, self._seconds = 0, 0.0
        self._bar = None if quiet or not is_terminal(errors=True) else _bar(files)

    def begin(self, name: str) -> Clip:
        """A file is next."""
        with self._lock:
            if self._bar is not None and self._files > 1:
                self._bar.set_postfix_str(self._words(name), refresh=False)
        return Clip(self, name)

    def advance(self, name: str, seconds: float) -> None:
        """That much more audio of a file is done. Raises `Cancelled` if no more is to be done."""
        with self._lock:
            self._seconds += seconds
            if self._bar is None:
                self._log(name)
            else:
                if self._files == 1:
                    self._bar.update(seconds)
                    self._bar.n = round(self._seconds, 1)  # sums of rounded steps would not end at the total
                self._bar.set_postfix_str(self._words(name))
        if self.stop.is_set():
            raise Cancelled

    def clip_length(self, seconds: float) -> None:
        """The length of the only file is known."""
        with self._lock:
            if self._bar is not None and self._files == 1:
                self._bar.total = round(seconds, 1)

    def file_done(self) -> None:
        """A file is done, or has failed."""
        with self._lock:
            self._done += 1
            if self._bar is not None and self._files > 1:
                self._bar.update(1)

    def say(self, message: str) -> None:
        """A message that does not tear the bar."""
        with self._lock:
            if self._bar is None:
                say(message)
            else:
                self._bar.clear()
                say(message)
                self._bar.refresh()

    def _words(self, name: str) -> str:
        taken = time.perf_counter() - self._began
        speed = f"{self._seconds:.0f} s of audio, {self._seconds / max(taken, 1e-9):.1f}x real time"
        return f"{speed}, {name[-40:]}" if self._files > 1 else speed

    def _log(self, name: str) -> None:
        now = time.perf_counter()
        if self._quiet or now - self._told < LOG_SECONDS:
            return
        self._told = now
        files = f"{self._done} of {self._files} files done, " if self._files > 1 else ""
        say(f"mimi: {files}{self._words(name)}")

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class Clip:
    """The progress of one file."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name

    def length(self, seconds: float) -> None:
        """How long it is."""
        self._progress.clip_length(seconds)

    def advance(self, seconds: float) -> None:
        """That much more of it is done. Raises `Cancelled` if no more is to be done."""
        self._progress.advance(self._name, seconds)

    def say(self, message: str) -> None:
        """A message about it."""
        self._progress.say(f"mimi: {about(self._name, message)}")


def _bar(files: int) -> Any:
    """A bar over the files, or over the seconds of the only one; None without tqdm."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    # The delay keeps short work silent. Names may be longer than the terminal is wide.
    options: dict[str, Any] = {"total": files, "unit": " files"} if files > 1 else {"bar_format": ONE_CLIP}
    return tqdm(delay=0.5, dynamic_ncols=True, **options)
