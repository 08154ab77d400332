"""The codecs of Qwen and VibeVoice: this package and their references on the same random weights, side by side.

    pip install '.[bench]' && python benches/family.py

The references are Transformers' classes, and for Qwen3-TTS the package `qwen-tts`, which needs another Transformers:
`--qwen-tts DIR:DIR` names directories where both are installed. Each implementation runs in a process of its own with
the same number of threads; the work is interleaved. A stream is timed when its window is full. Code2Wav and Qwen3-TTS
have no streams in their references: what is timed there is the frame decoded with the 25 before it, as their chunks
are, which is not exact. A step of VibeVoice's reference uses its own padding cache.

Prints medians: the time, in brackets how many times ours; seconds of audio per second; GFLOP/s of the work that the
result needs (of the full sizes); and the most memory of each process without its weights (of a reference, since it was
loaded). Only the tiny sizes (`--size tiny`) are quick. `--weights DIR` keeps the weights, 0.7 to 2.7 GB for each codec.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from family_peers import FAMILY
from mimi_codec.synthetic import write_synthetic_family
from workers import Worker, answer, answers, most_memory, processor, timed

FRAMES_A_ROUND = 5
FRAMES_BEFORE = 72  # the window of the decoders of Qwen; VibeVoice remembers less
FRAMES_CHECKED = 3
TOLERANCE = 1e-4  # of the largest value: sums in another order, through up to 60 layers
MODULES = {"code2wav": "transformers", "vibevoice": "transformers", "qwen3-tts": "qwen_tts"}
FRAMES = {"code2wav": 62, "qwen3-tts": 62, "vibevoice": 38}  # 5 s
WORKS = {
    "code2wav": ("decode", "decode frame"),
    "qwen3-tts": ("decode", "decode frame"),
    "vibevoice": ("encode", "decode", "encode frame", "decode frame"),
}
GFLOP_PER_SECOND = {"code2wav": 63.7, "qwen3-tts": 62.0, "vibevoice": 27.2}  # of audio, one way, full size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16", "int8"), default=["float32"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--weights", type=Path, help="a directory for the weights; what it has is not written again")
    parser.add_argument("--qwen-tts", metavar="DIR:DIR", default="", help="first on the path of Qwen3-TTS's reference")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args)
        return
    print(f"{processor()}, {args.threads} thread(s), {args.size} size, medians of {args.rounds} rounds\n")
    with tempfile.TemporaryDirectory() as temporary:
        for kind in args.kinds:
            weights = (args.weights or Path(temporary)) / f"{args.size}-{kind}"
            if not (weights / "config.json").exists():
                write_synthetic_family(weights, kind, size=args.size)
            print(table(kind, compare(kind, weights, args), args.size), flush=True)


# The process of one implementation


def work(args: argparse.Namespace) -> None:
    """Loads, decodes a frame, then answers a line of JSON for each line of JSON."""
    answers()
    (kind,) = args.kinds
    peer = FAMILY[args.worker][kind](args.weights, args.threads, args.dtype[0])
    peer.restart()
    frames = inputs(kind, peer.facts, FRAMES[kind])
    pcm = (0.1 * np.random.default_rng(1).standard_normal(FRAMES[kind] * peer.facts["frame_size"])).astype(np.float32)
    answer(peer.facts)
    for line in sys.stdin:
        task = json.loads(line)
        answer(TASKS[task["do"]](peer, frames, pcm))


def inputs(kind: str, facts: dict[str, Any], count: int) -> np.ndarray:
    """Codes (K, T) or latents (D, T)."""
    rng = np.random.default_rng(0)
    if kind == "vibevoice":
        return rng.standard_normal((facts["width"], count)).astype(np.float32)
    return rng.integers(facts["entries"], size=(facts["width"], count))


def check(peer: Any, frames: np.ndarray, pcm: np.ndarray) -> dict[str, Any]:
    """What a few frames give, so that nobody is timed on something else."""
    found = [peer.decode(frames[:, :FRAMES_CHECKED])]
    if hasattr(peer, "encode"):
        found.append(peer.encode(pcm[: FRAMES_CHECKED * peer.facts["frame_size"]]))
    return {"values": [array.ravel().tolist() for array in found]}


def fill(peer: Any, frames: np.ndarray, pcm: np.ndarray) -> dict[str, Any]:
    """Streams see all that they can remember."""
    peer.restart()
    peer.decode_before(np.resize(frames, (len(frames), FRAMES_BEFORE)))
    if hasattr(peer, "encode"):
        peer.encode_frame(pcm[: FRAMES_CHECKED * peer.facts["frame_size"]])
    return {}


def encode(peer: Any, frames: np.ndarray, pcm: np.ndarray) -> dict[str, Any]:
    return {"times": [timed(lambda: peer.encode(pcm))[0]]}


def decode(peer: Any, frames: np.ndarray, pcm: np.ndarray) -> dict[str, Any]:
    return {"times": [timed(lambda: peer.decode(frames))[0]]}


def encode_frames(peer: Any, frames: np.ndarray, pcm: np.ndarray) -> dict[str, Any]:
    parts = pcm[: FRAMES_A_ROUND * peer.facts["frame_size"]].reshape(FRAMES_A_ROUND, -1)
    return {"times": [timed(lambda part=part: peer.encode_frame(part))[0] for part in parts]}


def decode_frames(peer: Any, frames: np.ndarray, pcm: np.ndarray) -> dict[str, Any]:
    parts = [np.ascontiguousarray(frames[:, t : t + 1]) for t in range(FRAMES_A_ROUND)]
    return {"times": [timed(lambda part=part: peer.decode_frame(part))[0] for part in parts]}


def memory(peer: Any, frames: np.ndarray, pcm: np.ndarray) -> dict[str, Any]:
    return {"times": [most_memory() - peer.facts["weight_bytes"] / 2**20]}


TASKS = {
    "check": check,
    "fill": fill,
    "encode": encode,
    "decode": decode,
    "encode frame": encode_frames,
    "decode frame": decode_frames,
    "memory": memory,
}


# The process that compares


def compare(kind: str, weights: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds by work and implementation, memory in MB by implementation."""
    command = [__file__, "--threads", args.threads, "--kinds", kind, "--weights", weights]
    workers = {f"ours {dtype}": Worker([*command, "--dtype", dtype, "--worker", "ours"]) for dtype in args.dtype}
    path = args.qwen_tts if kind == "qwen3-tts" else ""
    if not args.only_ours and (path or importlib.util.find_spec(MODULES[kind])):
        environment = {"PYTHONPATH": path} if path else {}
        workers[MODULES[kind]] = Worker([*command, "--worker", "reference"], environment)
    try:
        agree(workers)
        for worker in workers.values():
            worker.ask(do="fill")
        times: dict[str, dict[str, list[float]]] = {name: {} for name in WORKS[kind]}
        for number in range(args.rounds + 1):
            for task, by_name in times.items():
                for name, worker in workers.items():
                    taken = worker.ask(do=task)["times"]
                    if number:  # the first round is not counted
                        by_name.setdefault(name, []).extend(taken)
        held = {name: worker.ask(do="memory")["times"][0] for name, worker in workers.items()}
        return {"facts": next(iter(workers.values())).first, "times": times, "memory": held}
    finally:
        for worker in workers.values():
            worker.close()


def agree(workers: dict[str, Worker]) -> None:
    """Those in float32 compute the same."""
    found = {name: worker.ask(do="check")["values"] for name, worker in workers.items()}
    exact = {name: values for name, values in found.items() if name not in ("ours bfloat16", "ours int8")}
    first = next(iter(exact.values()), None)
    for name, values in exact.items():
        for one, other in zip(first, values, strict=True):
            error = np.abs(np.subtract(one, other)).max() / np.abs(one).max()
            assert error < TOLERANCE, f"{name} differs by {error:.1e}"


def table(kind: str, results: dict[str, Any], size: str) -> str:
    facts, times = results["facts"], results["times"]
    names = list(results["memory"])
    titles = [f"{name} {facts['version']}" if name.startswith("ours") else name for name in names]
    lines = [f"| {kind} | {' | '.join(titles)} |", "|---" * (len(names) + 1) + "|"]
    for task, by_name in times.items():
        frames = 1 if task.endswith("frame") else FRAMES[kind]
        seconds = frames * facts["frame_size"] / facts["sample_rate"]
        medians = {name: statistics.median(taken) for name, taken in by_name.items()}
        cells = []
        for name, median in medians.items():
            ratio = "" if name == names[0] else f" ({median / medians[names[0]]:.2f})"
            rate = f", {GFLOP_PER_SECOND[kind] * seconds / median:.0f} GFLOP/s" if size == "full" else ""
            cells.append(f"{1000 * median:.1f} ms{ratio}, {seconds / median:.2f}x{rate}")
        title = task if frames == 1 else f"{task} {seconds:.2f} s"
        lines.append(f"| {title} | {' | '.join(cells)} |")
    held = [f"{results['memory'][name]:.0f} MB" for name in names]
    lines.append(f"| memory without weights | {' | '.join(held)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
