"""Corpora: the rate by jobs and by ranks, what `tokenize` costs beyond `encode`, and the memory of many clips.

    pip install '.[corpora]' && python benches/corpora.py [--model DIRECTORY]

Full-size random weights, unless a model is named. Wall time says little on a machine with other work, so processor
time stands beside it. Rounds are interleaved: each way once, then each again; the medians are printed.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import mimi_codec
from mimi_codec import corpora
from mimi_codec.corpora import tokenize
from mimi_codec.synthetic import write_synthetic

RATE = 24000
Timed = tuple[float, float]


def noise(seconds: float, seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).clip(-1, 1).astype(np.float32)


def clips(root: Path, count: int, seconds: float) -> Path:
    root.mkdir()
    for number in range(count):
        mimi_codec.write_wav(root / f"{number}.wav", noise(seconds, number), RATE)
    return root


def timed(work: Callable[[], object]) -> Timed:
    """Seconds by the clock, and of the processors, also those of processes that it started."""

    def processor() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    wall, before = time.perf_counter(), processor()
    work()
    return time.perf_counter() - wall, processor() - before


def interleaved(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, Timed]:
    found: dict[str, list[Timed]] = {name: [] for name in ways}
    for work in ways.values():
        work()  # memory, threads, files
    for _ in range(rounds):
        for name, work in ways.items():
            found[name].append(timed(work))
    return {
        name: (statistics.median(wall for wall, _ in times), statistics.median(cpu for _, cpu in times))
        for name, times in found.items()
    }


def ranks(world: int, root: Path, out: Path, weights: Path, file_format: str) -> None:
    """`mimi tokenize` as so many processes at once, which load the model each for itself."""
    words = [
        "tokenize",
        root,
        "-o",
        out,
        "--model",
        weights,
        "-k",
        8,
        "--shards",
        4,
        "--format",
        file_format,
        "--quiet",
    ]
    command = [sys.executable, "-m", "mimi_codec", *map(str, words), "--threads", "1", "--world", str(world), "--rank"]
    processes = [subprocess.Popen([*command, str(rank)]) for rank in range(world)]
    assert [process.wait() for process in processes] == [0] * world
    assert corpora.status(out).complete


def rates(codec: mimi_codec.TokenCodec, weights: Path, place: Path, args: argparse.Namespace) -> None:
    """Clips of ten seconds: `encode` alone, then `tokenize` with each number of jobs and of ranks."""
    root = clips(place / "clips", args.clips, args.seconds)
    sounds = [mimi_codec.read_audio(path, RATE) for path in sorted(root.iterdir())]
    outputs = iter(range(10**6))

    def run(jobs: int) -> object:
        out = place / f"out{next(outputs)}"
        summary = tokenize(root, out, codec, num_codebooks=8, shards=4, jobs=jobs, file_format=args.format)
        assert summary.complete
        assert not summary.failures
        return summary

    ways: dict[str, Callable[[], object]] = {
        "encode": lambda: [codec.encode(sound, num_codebooks=8) for sound in sounds]
    }
    for jobs in args.jobs:
        ways[f"tokenize, jobs={jobs}"] = lambda jobs=jobs: run(jobs)  # type: ignore[misc]
    for world in args.ranks:
        ways[f"mimi tokenize, world={world}"] = lambda world=world: ranks(  # type: ignore[misc]
            world, root, place / f"out{next(outputs)}", weights, args.format
        )
    found = interleaved(ways, args.rounds)
    audio = args.clips * args.seconds
    alone = found["encode"]
    print(f"\n{args.clips} clips of {args.seconds:g} s, 8 codebooks, medians of {args.rounds} rounds\n")
    print("| | wall s | times real time | CPU s | CPU s beyond encode |")
    print("|---|---|---|---|---|")
    for name, (wall, processor) in found.items():
        beyond = f"{100 * (processor / alone[1] - 1):+.1f} %"
        print(f"| {name} | {wall:.2f} | {audio / wall:.1f} | {processor:.2f} | {beyond} |")


def memory(place: Path, count: int) -> None:
    """Short clips with the embedded model, as many threads and shards as one would take."""
    model = mimi_codec.Mimi.demo(parts="encoder")
    print(f"\n{count} clips of 0.5 s, embedded model, 2 jobs, 64 shards\n")
    root = place / "many"
    root.mkdir()
    mimi_codec.write_wav(root / "0.wav", noise(0.5, 0), RATE)
    for number in range(1, count):
        (root / f"{number}.wav").hardlink_to(root / "0.wav")
    seen: list[tuple[int, float]] = []

    def tell(progress: object) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        seen.append((progress.clips, pages * resource.getpagesize() / 1e6))  # type: ignore[attr-defined]

    summary = tokenize(root, place / "many-out", model, num_codebooks=8, shards=64, jobs=2, progress=tell)
    print("| clips done | resident MB, the most until then since the mark before |")
    print("|---|---|")
    marks = [count * part // 10 for part in range(1, 11)]
    for low, high in zip([0, *marks[:-1]], marks, strict=True):
        between = [size for done, size in seen if low <= done <= high]
        print(f"| {high} | {max(between, default=float('nan')):.1f} |")
    print(f"\n{summary}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="directory or file of weights (default: full-size random ones)")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--ranks", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--format", default="parquet")
    parser.add_argument("--many", type=int, default=10_000, help="short clips for the memory; 0 for none")
    args = parser.parse_args()
    print(mimi_codec.build_info())
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        weights = Path(args.model or write_synthetic(place / "weights"))
        codec = mimi_codec.load(weights, parts="encoder", num_codebooks=8, threads=1)
        assert isinstance(codec, mimi_codec.TokenCodec)
        rates(codec, weights, place, args)
        if args.many:
            memory(place, args.many)


if __name__ == "__main__":
    main()
