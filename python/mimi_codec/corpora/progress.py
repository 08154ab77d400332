"""How far a run is."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a run is, for whoever shows it.

    Example:
        >>> from mimi_codec.corpora import Progress
        >>> str(Progress(10, 100, 1, 7200.0, 60.0, 540.0))
        '10 of 100 clips, 2.00 h of audio, 120.0 times real time, 1 failed, 9 min left'
    """

    clips: int
    """Clips that are done, with those that failed."""
    total: int
    """Clips that this run has to do."""
    failed: int
    """Clips that failed."""
    seconds_of_audio: float
    """Sound that was encoded, also of clips that are not done yet."""
    seconds: float
    """Since the run began."""
    seconds_left: float | None
    """Until it ends, by the bytes of the clips that are left; None as long as nobody can know."""

    @property
    def times_real_time(self) -> float:
        """Sound per time."""
        return self.seconds_of_audio / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        parts = [f"{self.clips} of {self.total} clips", f"{self.seconds_of_audio / 3600:.2f} h of audio"]
        parts.append(f"{self.times_real_time:.1f} times real time")
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{duration(self.seconds_left)} left"] if self.seconds_left is not None else []
        return ", ".join(parts)


class Tally:
    """What all threads have done so far."""

    def __init__(self, clips: int, size: int) -> None:
        self._lock = threading.Lock()
        self._began = time.perf_counter()
        self._total, self._size = clips, size
        self._clips = self._failed = self._done = 0
        self._seconds = 0.0

    def sound(self, seconds: float) -> None:
        """That much more sound was encoded."""
        with self._lock:
            self._seconds += seconds

    def clip(self, size: int, *, failed: bool) -> None:
        """A clip of so many bytes is done."""
        with self._lock:
            self._clips += 1
            self._failed += failed
            self._done += size

    def now(self) -> Progress:
        """How far all of it is."""
        with self._lock:
            taken = time.perf_counter() - self._began
            share = self._done / self._size if self._size else 0.0
            left = taken * (1 - share) / share if share else None
            return Progress(self._clips, self._total, self._failed, self._seconds, taken, left)


def duration(seconds: float) -> str:
    """A time in words: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
