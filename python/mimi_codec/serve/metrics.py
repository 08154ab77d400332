"""What a server has done, in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counts:
    """Counts of one server."""

    def __init__(self) -> None:
        self.active: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.frames: Counter[str] = Counter()

    def text(self, pool: Mapping[str, float]) -> str:
        """All of them, with the numbers of the pool."""
        lines = [
            *_metric("sessions", "gauge", "sessions that are open", "mode", self.active),
            *_metric("sessions_total", "counter", "sessions that have begun", "mode", self.begun),
            *_metric("errors_total", "counter", "sessions that ended with an error", "error", self.refused),
            *_metric("frames_total", "counter", "frames that were encoded and decoded", "direction", self.frames),
        ]
        for name, value in pool.items():
            lines += _metric(f"pool_{name}", "gauge", f"{name} of the pool of sessions", "", {"": value})
        return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, what: str, label: str, values: Mapping[str, float]) -> Iterable[str]:
    yield f"# HELP mimi_{name} {what}"
    yield f"# TYPE mimi_{name} {kind}"
    for key, value in sorted(values.items()):
        labels = f'{{{label}="{key}"}}' if label else ""
        yield f"mimi_{name}{labels} {value:g}"
