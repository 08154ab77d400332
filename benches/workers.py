"""Processes of their own for the implementations that are compared: a line of JSON is asked, and a line answered."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TextIO


class Worker:
    """A process that answers, and how long it took to its first answer: a script of Python, or another program."""

    def __init__(
        self, command: Sequence[object], environment: dict[str, str] | None = None, program: object = sys.executable
    ) -> None:
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [str(program), *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.first = self.read()
        self.start = time.perf_counter() - began

    def read(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, **task: Any) -> dict[str, Any]:
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def answer(message: dict[str, Any]) -> None:
    print(json.dumps(message), file=answers(), flush=True)


@cache
def answers() -> TextIO:
    """The standard output, for answers alone: from the first call on, the standard error has what packages print."""
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return own


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def most_memory() -> float:
    """The most memory that this process ever held, in MB. (`getrusage` would count the process it was forked from.)"""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
