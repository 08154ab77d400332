"""What the commands share: options, the list of files to work on, safe output files, progress, the report."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from .._options import DTYPES
from ..errors import MimiError
from ..model import Mimi

PIPE = "-"
DEMO = "demo"
DEFAULT_MODEL = "kyutai/mimi"
RAW_FORMATS = {"s16le": "<i2", "f32le": "<f4"}


class UsageError(Exception):
    """Options that do not go together."""


def say(message: str) -> None:
    """A message for the person at the terminal."""
    print(message, file=sys.stderr, flush=True)


# Options


def positive(text: str) -> int:
    """An option of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def add_model_options(parser: argparse.ArgumentParser, *, default: str | None, default_text: str) -> None:
    """Which model, and how it runs."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default=default,
        metavar="NAME",
        help=f"directory, file, hub name or {DEMO!r} (default: {default_text})",
    )
    group.add_argument("--revision", metavar="REV", help="branch, tag or commit of the hub's repository")
    group.add_argument("--offline", action="store_true", help="use only files on this machine")
    group.add_argument("--threads", type=positive, metavar="N", help="threads (default: MIMI_NUM_THREADS, or 1)")
    group.add_argument(
        "--dtype", choices=DTYPES, default=DTYPES[0], help="how weights are stored (default: %(default)s)"
    )


def load_model(args: argparse.Namespace, name: str, revision: str | None, **options: Any) -> Mimi:
    """The model called `name`, with the options of `add_model_options`."""
    options = {"threads": args.threads, "dtype": args.dtype, **options}
    if name == DEMO:
        return Mimi.demo(**options)
    return Mimi.from_pretrained(name, revision=revision, local_files_only=args.offline, **options)


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """How files are written and what is reported."""
    parser.add_argument("-f", "--force", action="store_true", help="overwrite files that exist")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON on the standard output")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar and no summary")


# Files


@dataclass(frozen=True)
class Job:
    """One file to make from another. None stands for the standard input or output."""

    source: Path | None
    target: Path | None

    @property
    def name(self) -> str:
        """The input, for messages."""
        return PIPE if self.source is None else str(self.source)


def plan(inputs: Sequence[str], output: str | None, accepted: Sequence[str], suffix: str) -> list[Job]:
    """What to make: one file, a pipe, or a directory that mirrors the inputs.

    `accepted` are the suffixes picked from directories, `suffix` is that of the files made in a directory.
    """
    if PIPE in inputs:
        if len(inputs) > 1:
            raise UsageError(f"{PIPE} stands alone: the standard input is one clip")
        return [Job(None, _single_target(PIPE if output is None else output))]
    if output is None:
        raise UsageError("-o OUT is required unless the input is the standard input")
    directories = [name for name in inputs if Path(name).is_dir()]
    into_directory = len(inputs) > 1 or directories or output.endswith(("/", os.sep)) or Path(output).is_dir()
    if not into_directory:
        return [Job(Path(inputs[0]), _single_target(output))]
    root = Path(output)
    if output == PIPE or (root.exists() and not root.is_dir()):
        raise UsageError(f"several files need a directory as output, got {output}")
    jobs = []
    for name in inputs:
        path = Path(name)
        files = _walk(path, accepted) if path.is_dir() else [path]
        base = path if path.is_dir() else path.parent
        jobs += [Job(file, (root / file.relative_to(base)).with_suffix(suffix)) for file in files]
    if not jobs:
        raise UsageError(f"no files ending in {', '.join(accepted)} in {', '.join(directories)}")
    return jobs


def _single_target(output: str) -> Path | None:
    if output == PIPE:
        if sys.stdout.isatty():
            raise UsageError("will not write binary data to a terminal; use -o FILE or a pipe")
        return None
    if Path(output).is_dir():
        raise UsageError(f"expected a file as output, got the directory {output}")
    return Path(output)


def _walk(directory: Path, accepted: Sequence[str]) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.suffix.lower() in accepted and path.is_file())


@contextmanager
def writing(target: Path | None) -> Iterator[BinaryIO]:
    """The file to write to. It appears under its name only once it is complete."""
    if target is None:
        # With PYTHONUNBUFFERED `sys.stdout.buffer` may write a part and say nothing; this file writes all or raises.
        sys.stdout.flush()
        with open(sys.stdout.fileno(), "wb", closefd=False) as file:
            yield file
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(unfinished, "wb") as file:
            yield file
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


# Progress


class Progress:
    """A bar on the standard error, if that is a terminal and tqdm is there: over the files, or over one clip."""

    def __init__(self, files: int, *, quiet: bool) -> None:
        self._by_file = files > 1
        self._bar: Any = None
        if quiet or not sys.stderr.isatty():
            return
        try:
            from tqdm import tqdm
        except ImportError:
            return
        # the delay keeps short work silent
        options = {"total": files, "unit": " files"} if self._by_file else {"unit": " s"}
        self._bar = tqdm(file=sys.stderr, delay=0.5, **options)

    @property
    def by_clip(self) -> bool:
        """Whether the bar moves within a clip, so that the work is to be done in blocks."""
        return self._bar is not None and not self._by_file

    def clip(self, seconds: float) -> None:
        """A clip of this length begins."""
        if self.by_clip:
            self._bar.total = round(seconds, 1)

    def advance(self, seconds: float) -> None:
        """That much of the clip is done."""
        if self.by_clip:
            self._bar.update(round(seconds, 1))

    def file_done(self) -> None:
        """A file is done, or has failed."""
        if self._bar is not None and self._by_file:
            self._bar.update(1)

    def say(self, message: str) -> None:
        """A message that does not tear the bar."""
        if self._bar is None:
            say(message)
        else:
            self._bar.write(message, file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


# The work itself


@dataclass
class Report:
    """What came of the files."""

    verb: str
    files: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    seconds_taken: float = 0.0

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
        totals = {
            "seconds_of_audio": round(self.seconds_of_audio, 6),
            "seconds_taken": round(self.seconds_taken, 6),
            "times_real_time": round(self.times_real_time, 3),
        }
        return json.dumps({"command": self.verb, "files": self.files, "failed": self.failed, **totals}, indent=2)

    def __str__(self) -> str:
        count = f"{len(self.files)} file{'' if len(self.files) == 1 else 's'}"
        text = f"{self.verb}d {count}: {self.seconds_of_audio:.1f} s of audio in {self.seconds_taken:.1f} s"
        text += f" ({self.times_real_time:.1f} times real time)"
        return f"{text}; {len(self.failed)} failed" if self.failed else text


Work = Callable[[Job, Progress], dict[str, Any]]


def run_jobs(verb: str, jobs: Sequence[Job], work: Work, args: argparse.Namespace) -> int:
    """Do all jobs, pass over those that fail, report, and return the exit code.

    `work` does one job and returns what the report says of it, "seconds" of audio among it.
    """
    if args.json and any(job.target is None for job in jobs):
        raise UsageError("--json and -o - both want the standard output")
    report, made = Report(verb), set[Path]()
    began = time.perf_counter()
    with Progress(len(jobs), quiet=args.quiet) as progress:
        for job in jobs:
            try:
                _check_target(job, made, args.force)
                entry = work(job, progress)
            except BrokenPipeError:
                raise
            except (MimiError, OSError, MemoryError) as error:
                message = getattr(error, "strerror", None) or str(error) or type(error).__name__
                report.failed.append({"input": job.name, "error": message})
                progress.say(f"mimi: {message}" if message.startswith(job.name) else f"mimi: {job.name}: {message}")
            else:
                target = PIPE if job.target is None else str(job.target)
                report.files.append({"input": job.name, "output": target, **entry})
            progress.file_done()
    report.seconds_taken = time.perf_counter() - began
    if args.json:
        print(report.as_json())
    elif not args.quiet:
        say(str(report))
    return 1 if report.failed else 0


def _check_target(job: Job, made: set[Path], force: bool) -> None:
    if job.target is None:
        return
    if job.target in made:
        raise FileExistsError(f"another input gives {job.target} too")
    if job.target.exists() and not force:
        raise FileExistsError(f"{job.target} exists; -f overwrites it")
    if job.source is not None and job.target.exists() and job.target.samefile(job.source):
        raise FileExistsError(f"{job.target} is the input itself")
    made.add(job.target)
