"""Doing the files of a plan: those that are there are kept, those that fail are passed over, and all is reported."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from .._text import shortened
from ..errors import MimiError
from .console import PIPE, UsageError, about, say, show
from .output import OutputError, check_place, is_stream
from .plan import Job, Plan
from .progress import Cancelled, Clip, Progress
from .report import Report

LONGEST_ERROR = 1000  # of a message, which may quote a file

Work = Callable[[Job, Clip], dict[str, Any]]
Targets = Callable[[Path], Path]


class Terminated(KeyboardInterrupt):
    """The process was asked to end by a signal other than that of Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def exit_code(stopped: KeyboardInterrupt) -> int:
    """The exit code of a command that a signal has ended: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (stopped.number if isinstance(stopped, Terminated) else signal.SIGINT)


@contextmanager
def answering_signals() -> Iterator[None]:
    """Let SIGTERM and a lost terminal end the work as Ctrl-C does, with its report."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def answer(number: int, _: FrameType | None) -> None:
        raise Terminated(number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, answer)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


class Run:
    """The work of one command."""

    def __init__(
        self, command: str, done: str, plan: Plan, args: argparse.Namespace, sign: Targets | None = None
    ) -> None:
        """See which files are to be made. `sign` gives the file whose presence says that a target is done.

        Raises `UsageError` where options do not go together, `OutputError` where nothing can be written.
        """
        if args.json and any(job.target is None for job in plan.jobs):
            raise UsageError("--json and -o - both want the standard output")
        self._args, self._plan = args, plan
        self._report = Report(command, done, plan.inputs, len(plan.jobs))
        self._todo: list[Job] = []
        for job in plan.jobs:
            self._sort(job, sign or (lambda target: target))
        for place in {plan.root or job.target.parent for job in self._todo if job.target is not None}:
            check_place(place)
        if not args.quiet:
            for note in plan.notes:
                say(f"mimi: {note}")
            for entry in plan.inputs.unreadable:
                say(f"mimi: {entry['input']}: {entry['error']}")

    def _sort(self, job: Job, sign: Targets) -> None:
        if job.target is None or is_stream(job.target):
            self._todo.append(job)
            return
        there = sign(job.target)
        if not there.exists():
            self._todo.append(job)
        elif job.source is not None and job.source.exists() and there.samefile(job.source):
            self._fail(job, f"{job.target} is the input itself")
        elif there.is_dir():
            self._fail(job, f"cannot write {job.target}: it is a directory")
        elif self._args.force:
            self._todo.append(job)
        else:
            self._report.kept.append({"input": job.name, "output": str(job.target)})

    @property
    def todo(self) -> list[Job]:
        """The files to make."""
        return self._todo

    def do(self, work: Work) -> int:
        """Make all files, report, and return the exit code.

        `work` makes one file and returns what the report says of it, "seconds" of audio among it.
        """
        report = self._report
        began = time.perf_counter()
        stopped: KeyboardInterrupt | None = None
        with Progress(len(self._todo), quiet=self._args.quiet) as progress:
            try:
                self._all(work, progress)
            except KeyboardInterrupt as error:
                stopped = error
        report.seconds_taken = time.perf_counter() - began
        report.interrupted = stopped is not None
        if self._args.json:
            show(report.as_json())
        if not self._args.quiet and (stopped is not None or not self._args.json):
            say(f"mimi: {report}")
        if stopped is not None:
            say(f"mimi: {report.how_to_go_on(self._args.force)}")
            return exit_code(stopped)
        return 1 if report.num_failed else 0

    def _all(self, work: Work, progress: Progress) -> None:
        workers = min(getattr(self._args, "jobs", 1), len(self._todo))
        if workers <= 1:
            for job in self._todo:
                self._one(job, work, progress)
            return
        with ThreadPoolExecutor(workers) as pool:
            try:
                for future in as_completed([pool.submit(self._one, job, work, progress) for job in self._todo]):
                    future.result()
            except BaseException:
                progress.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _one(self, job: Job, work: Work, progress: Progress) -> None:
        try:
            entry = work(job, progress.begin(job.name))
        except (BrokenPipeError, UsageError, Cancelled) as error:
            if isinstance(error, Cancelled):
                return
            raise
        except MemoryError as error:
            self._fail(job, f"not enough memory: {error}" if str(error) else "not enough memory", progress)
        except (MimiError, OSError) as error:
            self._fail(job, getattr(error, "strerror", None) or str(error) or type(error).__name__, progress, error)
        except Exception as error:  # a fault of ours: the other files are still to be done, and the caller is to know
            self._fail(job, f"unexpected {type(error).__name__}: {error}", progress)
        else:
            target = PIPE if job.target is None else str(job.target)
            self._report.files.append({"input": job.name, "output": target, **entry})
            progress.file_done()

    def _fail(self, job: Job, reason: str, progress: Progress | None = None, error: Exception | None = None) -> None:
        message = shortened(reason, LONGEST_ERROR)
        entry = {"input": job.name, "error": message}
        if job.target is not None:
            entry["output"] = str(job.target)
        self._report.failed.append(entry)
        text = f"mimi: {message if isinstance(error, OutputError) else about(job.name, message)}"
        if progress is None:
            say(text)
        else:
            progress.say(text)
            progress.file_done()
