"""Everything that is to be known about a CUDA device, in one run that ends inside nine minutes.

    python benches/gpu.py                        # with the installed package
    python benches/gpu.py --wheel mimi_codec.whl # with one that is carried along; it needs NumPy alone

Each part runs in a process of its own with what is left of the time. One that cannot be done is skipped with the
reason: checkers of the toolkit, moshi, Transformers and PyTorch with CUDA are used where they are. Prints Markdown, and
writes it and JSON. `--tiny` takes a tiny model, for trying the script on the driver for tests.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import gpu_report

HERE = Path(__file__).resolve().parent
MINUTES = 8.5
LONGEST = 90.0  # seconds of one part

# Name, and seconds that must be left for it to begin. What matters most comes first.
PARTS = {
    "machine": 5,
    "first_use": 10,
    "parity": 15,
    "memcheck": 20,
    "racecheck": 20,
    "driver": 5,
    "steps": 15,
    "steps_without_graphs": 15,
    "sessions": 15,
    "clips": 10,
    "moshi": 20,
    "transformers": 20,
    "kernels": 20,
}
CHECKERS = {"memcheck": ["--tool", "memcheck", "--leak-check", "no"], "racecheck": ["--tool", "racecheck"]}
WITHOUT_GRAPHS = {"MIMI_CODEC_CUDA_GRAPHS": "0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("bench-results"), help="(default: bench-results)")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--wheel", type=Path, help="take the package from this file, which need not be installed")
    parser.add_argument("--weights", type=Path, help="a directory with synthetic weights; made if it is empty")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="when to end (default: %(default)s)")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--tiny", action="store_true", help="a tiny model and few rows")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    args.output.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        if args.wheel:
            zipfile.ZipFile(args.wheel).extractall(scratch / "package")
            os.environ["PYTHONPATH"] = os.pathsep.join([str(scratch / "package"), os.environ.get("PYTHONPATH", "")])
        os.environ.setdefault("MIMI_CODEC_CACHE", str(scratch / "cache"))
        weights = args.weights or scratch / "weights"
        for name in args.parts:
            began = time.monotonic()
            results[name] = run(name, args, weights, end - began)
            results[name]["took_seconds"] = round(time.monotonic() - began, 1)
            print(f"{name}: {gpu_report.brief(results[name])}", file=sys.stderr, flush=True)
            # After each part: what is there stays there if the machine goes.
            (args.output / "gpu.json").write_text(json.dumps(results, indent=2) + "\n")
            (args.output / "gpu.md").write_text(gpu_report.markdown(results))
    print(gpu_report.markdown(results))


def run(name: str, args: argparse.Namespace, weights: Path, left: float) -> dict[str, Any]:
    """What a part found, or why it was skipped or has failed."""
    if left < PARTS[name]:
        return {"skipped": f"{max(left, 0):.0f} s are left, and it needs {PARTS[name]}"}
    command = [sys.executable, str(HERE / "gpu_parts.py"), name, args.device, str(weights), str(int(args.tiny))]
    environment = dict(WITHOUT_GRAPHS) if name == "steps_without_graphs" else {}
    if name in CHECKERS:
        checker = tool("compute-sanitizer")
        if checker is None:
            return {"skipped": "the toolkit's compute-sanitizer is not here"}
        command = [checker, *CHECKERS[name], "--error-exitcode", "99", "--print-limit", "20", *command]
    elif name == "kernels" and (profiler := tool("ncu")) is not None:
        command = [profiler, *gpu_report.NCU, *command]
        environment = WITHOUT_GRAPHS | {"MIMI_BENCH_PROFILER": "ncu"}
    limit = min(left - 3, LONGEST)
    environment = os.environ | environment | {"MIMI_BENCH_SECONDS": str(limit)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)
    try:
        said, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with what a checker has started
        process.communicate()
        return {"failed": f"not done after {limit:.0f} s"}
    return outcome(process.returncode, said, errors)


def tool(name: str) -> str | None:
    """A program of CUDA's toolkit."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    folders = [os.environ.get("PATH", ""), *(f"{home}/bin" for home in homes if home)]
    return shutil.which(name, path=os.pathsep.join(folders))


def outcome(exit_code: int, output: str, errors: str) -> dict[str, Any]:
    """The last line that is JSON; with what a checker or a profiler has printed around it."""
    lines = output.splitlines()
    found: dict[str, Any] = next((json.loads(line) for line in reversed(lines) if line.startswith('{"')), {})
    said = [line for line in lines if line.startswith("=========")]
    if said:
        found["checker"] = said[-20:]
    kernels = gpu_report.of_ncu(lines)
    if kernels:
        found["kernels"] = kernels
    if exit_code:
        found["failed"] = f"exit code {exit_code}: " + " | ".join((errors or output).strip().splitlines()[-5:])
    return found or {"failed": "it has said nothing"}


if __name__ == "__main__":
    main()
