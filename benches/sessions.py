"""How long full-duplex frames take through `mimi serve`, on one core and on two, beside moshi's own batching.

    pip install '.[serve]' && python benches/sessions.py
    python benches/sessions.py --weights DIRECTORY --cores 1 2 --seconds 60 --engines ours moshi

The server and its clients are processes of their own and talk through sockets; `session_clients.py` says what is timed.
The server is bound to the cores, the clients to those that are left, or to all where none is. Sessions are added until
frames no longer come in time. "others" is what the rest of the machine took meanwhile, in cores. Weights are random and
of full size. moshi (`session_moshi.py`) takes part where it is installed, with the layouts that `compare.py` writes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mimi_codec.synthetic import write_synthetic
from workers import processor

HERE = Path(__file__).resolve().parent
CORES = sorted(os.sched_getaffinity(0))
TICKS = os.sysconf("SC_CLK_TCK")

HEAD = "| engine | cores | sessions | frames | late | codes p50 | p50 | p99 | p99.9 | most | server | others |"


def command(engine: str, weights: Path, sessions: int, cores: int) -> list[str]:
    """What serves."""
    if engine == "moshi":
        start = [str(HERE / "session_moshi.py"), str(weights)]
    else:
        dtype = engine.partition(" ")[2] or "float32"
        model = str(weights / "transformers")
        start = ["-m", "mimi_codec", "serve", model, "--port", "0", "-k", "8", "--dtype", dtype]
    return [sys.executable, *start, "--slots", str(sessions), "--threads", str(cores)]


@contextmanager
def serving(words: list[str]) -> Iterator[tuple[int, str]]:
    """A server: its process, and the address for clients."""
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"serving at (http://\S+/)", line):
                yield process.pid, found[1].replace("http", "ws") + "v1"
                break
        else:
            raise RuntimeError("the server did not start:\n" + "".join(said))
    finally:
        process.terminate()
        process.stderr.close()
        process.wait()


def bound(words: list[str], cores: set[int], priority: int | None) -> list[str]:
    """A command on some cores, before all other work if it has a priority."""
    first = [] if priority is None else ["chrt", "-f", str(priority)]
    return [*first, "taskset", "-c", ",".join(map(str, sorted(cores))), *words]


def machine() -> float:
    """Seconds that the processors have worked, or were taken away by the host."""
    user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + sum(rest)) / TICKS


def work_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(engine: str, sessions: int, cores: int, weights: Path, args: argparse.Namespace) -> dict[str, float]:
    """One row of the table."""
    mine = set(CORES[:cores])
    left = set(CORES) - mine or set(CORES)
    server_words = bound(command(engine, weights, sessions, cores), mine, 10 if args.realtime else None)
    with serving(server_words) as (pid, url):
        words = [sys.executable, str(HERE / "session_clients.py"), url, "--sessions", str(sessions)]
        words += ["--seconds", str(args.seconds), "--warm", str(args.warm), *["--together"] * args.together]
        before, began = (machine(), work_of(pid)), time.monotonic()
        client_words = bound(words, left, 20 if args.realtime else None)
        clients = subprocess.run(client_words, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(clients.stdout)
        lasted = time.monotonic() - began
        server = work_of(pid) - before[1]
        found["server"] = server / lasted
        found["others"] = max(0.0, machine() - before[0] - server - found["processor"]) / lasted
    return found


def quietest(engine: str, sessions: int, cores: int, weights: Path, args: argparse.Namespace) -> dict[str, float]:
    """The first try beside which little else ran, or of all of them the one beside which least did."""
    tries: list[dict[str, float]] = []
    while len(tries) < args.tries and (not tries or tries[-1]["others"] > args.quiet):
        wait_until_quiet(args.quiet, args.patience)
        tries.append(measure(engine, sessions, cores, weights, args))
    return min(tries, key=lambda row: row["others"])


def wait_until_quiet(cores: float, patience: float) -> None:
    """Return when the machine has done little for three seconds, or patience is at its end."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before = machine()
        time.sleep(3)
        if machine() - before < 3 * cores:
            return


def write_both_layouts(weights: Path) -> None:
    from compare import write_weights  # it needs PyTorch and Transformers

    write_weights(weights)


def table(weights: Path, args: argparse.Namespace) -> None:
    print(f"{processor()}, {len(CORES)} cores, load {os.getloadavg()[0]:.2f}; milliseconds\n")
    print(HEAD)
    print("|" + "---|" * HEAD.count(" | ") + "---|")
    for cores in args.cores:
        for engine in args.engines:
            for sessions in args.sessions:
                row = quietest(engine, sessions, cores, weights, args)
                times = " | ".join(f"{row[name]:.1f}" for name in ("coded_p50", "p50", "p99", "p999", "most"))
                print(
                    f"| {engine} | {cores} | {sessions} | {row['frames']} | {row['late']} | {times} | "
                    f"{row['server']:.2f} | {row['others']:.2f} |",
                    flush=True,
                )
                if row["late"] > row["frames"] / 100:
                    break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="a directory with the weights; made if it is empty")
    parser.add_argument("--engines", nargs="+", help="ours, 'ours int8', 'ours bfloat16', moshi (default: those here)")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sessions", type=int, nargs="+", default=list(range(1, 33)))
    parser.add_argument("--seconds", type=float, default=60, help="that are measured of each row")
    parser.add_argument("--warm", type=float, default=10, help="seconds before, in which windows fill")
    parser.add_argument("--tries", type=int, default=1, help="of a row, while others take more than --quiet")
    parser.add_argument("--quiet", type=float, default=0.1, help="cores that others may take beside a row")
    parser.add_argument("--patience", type=float, default=0, help="seconds to wait for such a moment, before each try")
    parser.add_argument("--realtime", action="store_true", help="run before all other work (SCHED_FIFO, by root)")
    parser.add_argument("--together", action="store_true", help="all clients send at the same moment")
    args = parser.parse_args()
    args.engines = args.engines or ["ours"] + ["moshi"] * (importlib.util.find_spec("moshi") is not None)
    with tempfile.TemporaryDirectory() as directory:
        weights = args.weights or Path(directory)
        if "moshi" in args.engines:
            write_both_layouts(weights)
        elif not (weights / "transformers").exists():
            write_synthetic(weights / "transformers")
        table(weights, args)


if __name__ == "__main__":
    main()
