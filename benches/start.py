"""From the start of a process to its first codes, and what ten processes share: safetensors files and a packed file.

    python benches/start.py MODEL [--runs 15] [--processes 10] [--dtype float32]

Each run starts one process of each kind in turn, so that what else the machine does meets all of them. A process
imports NumPy, and but for the first kind loads the model and encodes a frame; what counts is the time from its start to
its end. The least time is that of a quiet moment. Shared pages are what Linux says in /proc/PID/smaps_rollup, while all
processes are alive and have encoded and decoded.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mimi_codec import build_info, load

NUMPY = "import numpy"
FIRST_CODES = """
import sys, numpy, mimi_codec
model = mimi_codec.load(sys.argv[1], dtype=sys.argv[2])
codes = model.encode(numpy.zeros(model.frame_size, numpy.float32))
"""
STAY = (
    FIRST_CODES
    + """
model.decode(codes)
print("ready", flush=True)
sys.stdin.readline()
print(open("/proc/self/smaps_rollup").read(), flush=True)
sys.stdin.readline()
"""
)
SHOWN = ("Rss", "Pss", "Shared_Clean", "Private_Dirty")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="directory or file of tensors")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--dtype", default="float32")
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, {build_info()['simd']}")
    with tempfile.TemporaryDirectory() as directory:
        packed = Path(directory) / "packed"
        load(args.model, dtype=args.dtype).save(packed, packed=True)
        kinds = {
            "NumPy alone": [NUMPY],
            "safetensors": [FIRST_CODES, args.model, args.dtype],
            "packed": [FIRST_CODES, str(packed), args.dtype],
        }
        start(kinds, args.runs)
        if Path("/proc/self/smaps_rollup").exists():
            share({name: [STAY, *words[1:]] for name, words in kinds.items() if len(words) > 1}, args.processes)


def start(kinds: dict[str, list[str]], runs: int) -> None:
    """Times of processes that end when they have what they want."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for _ in range(runs):
        for name, words in kinds.items():
            before, began = used_by_children(), time.perf_counter()
            subprocess.run([sys.executable, "-c", *words], check=True)
            taken[name].append((time.perf_counter() - began, used_by_children() - before))
    print(f"{runs} runs each, seconds: least and median; of processors the same")
    for name, times in taken.items():
        wall, used = zip(*times, strict=True)
        print(
            f"  {name:12} {min(wall):.3f} {statistics.median(wall):.3f}   {min(used):.3f} {statistics.median(used):.3f}"
        )


def used_by_children() -> float:
    """Seconds of processors that processes which have ended used, by themselves and in the system."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def share(kinds: dict[str, list[str]], count: int) -> None:
    """What so many processes hold at once."""
    print(f"{count} processes at once, MB each (mean): {', '.join(SHOWN)}")
    for name, words in kinds.items():
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        children = [subprocess.Popen([sys.executable, "-c", *words], text=True, **pipes) for _ in range(count)]
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        rollups = [ask(child) for child in children]
        for child in children:
            child.communicate("\n")
        means = [statistics.fmean(rollup[field] for rollup in rollups) / 1024 for field in SHOWN]
        print(f"  {name:12} " + " ".join(f"{mean:7.1f}" for mean in means))


def ask(child: subprocess.Popen[str]) -> dict[str, int]:
    """What a child that has coded says of its memory, in kB."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("\n")
    child.stdin.flush()
    rollup = {}
    for line in iter(child.stdout.readline, "\n"):
        field, _, rest = line.partition(":")
        if rest.strip().endswith("kB"):
            rollup[field] = int(rest.split()[0])
    return rollup


if __name__ == "__main__":
    main()
