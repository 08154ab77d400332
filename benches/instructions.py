"""Instructions of one frame of a stream, counted by valgrind: a figure that does not depend on the machine's load.

    python benches/instructions.py [--model DIRECTORY]

Needs `cargo` and `valgrind`. The stream's windows are full. Valgrind has no AVX-512, so the kernels are those for AVX2.
Prints a Markdown table for encoding and decoding with each type of weights, and the functions that take the most.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DTYPES = ("float32", "bfloat16", "int8")
SHOWN = 6  # functions of each count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model's directory (default: the embedded one)")
    args = parser.parse_args()
    program = build()
    print("| millions of instructions | " + " | ".join(DTYPES) + " |\n|---|---|---|---|")
    details = []
    for work in ("encode", "decode"):
        counts = []
        for dtype in DTYPES:
            total, functions = count(program, work, dtype, args.model)
            counts.append(f"{total / 1e6:.1f}")
            details += [f"{work} {dtype}: {share:5.1%} {name}" for name, share in functions]
        print(f"| {work} a frame | " + " | ".join(counts) + " |")
    print("\n" + "\n".join(details))


def build() -> Path:
    """The path of the program that runs a frame."""
    command = ["cargo", "bench", "-p", "mimi-codec", "--bench", "frame", "--no-run", "--message-format", "json"]
    # Names that say which kernel a generic function is made for; in a place of their own, as all is compiled anew.
    flags = {"RUSTFLAGS": "-C symbol-mangling-version=v0", "CARGO_TARGET_DIR": str(ROOT / "target" / "instructions")}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **flags}, check=True, stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    messages = [json.loads(line) for line in lines]
    return Path(next(found for message in messages if (found := message.get("executable"))))


def count(program: Path, work: str, dtype: str, model: Path | None) -> tuple[int, list[tuple[str, float]]]:
    """The instructions of a frame, and the functions that take the greatest shares of them."""
    environment = {**os.environ, "MIMI_BENCH_DTYPE": dtype}
    if model:
        environment["MIMI_BENCH_MODEL"] = str(model.resolve())
    with tempfile.TemporaryDirectory() as directory:
        stream, profile = Path(directory, "stream"), Path(directory, "profile")
        command = [str(program), work, str(stream)]
        subprocess.run(command, env=environment, check=True)  # at full speed, until the windows are full
        callgrind = ["--tool=callgrind", f"--callgrind-out-file={profile}", "--toggle-collect=*counted*"]
        subprocess.run(["valgrind", "--quiet", *callgrind, *command], env=environment, check=True)
        annotate = ["callgrind_annotate", "--auto=no", "--threshold=100", str(profile)]
        report = subprocess.run(annotate, check=True, stdout=subprocess.PIPE, text=True).stdout
    total, functions = 0, Counter[str]()
    for digits, name in re.findall(r"^ *([\d,]+) \([^)]*\) +(.*)$", report, re.MULTILINE):
        instructions = int(digits.replace(",", ""))
        if name.startswith("PROGRAM TOTALS"):
            total = instructions
        else:  # a function has an entry for each file that was inlined into it
            functions[name.split(" [")[0].split(":", 1)[-1]] += instructions
    return total, [(name, instructions / total) for name, instructions in functions.most_common(SHOWN)]


if __name__ == "__main__":
    main()
