"""Every installed implementation of Mimi on the same weights, side by side in one run.

    pip install '.[bench]' && python benches/compare.py

xn-moshi takes part where its program is built (`benches/xn_moshi/src/main.rs` says how), in its folder or in that which
MIMI_XN_MOSHI_TARGET names.

Each implementation runs in a process of its own with the same number of threads. The work is interleaved, a round of
all after a round of all, so that a machine whose speed drifts is as unkind to each. Prints a Markdown table of medians,
of how many times as much as ours they are, and of how many codes are Transformers'; writes it, the figures and a plot.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from peers import PEERS, installed
from workers import Worker, answer, most_memory, processor, timed

RATE, FRAME = 24000, 1920
FRAMES_A_ROUND = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("bench-results"), help="(default: bench-results)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--codebooks", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 60], help="lengths of the clips")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), help="only these (default: all installed)")
    parser.add_argument("--weights", type=Path, help="a directory with the synthetic weights; made if it is empty")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args)
        return
    args.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        args.weights = args.weights or Path(temporary)
        write_weights(args.weights)
        args.sound = Path(temporary) / "sound.f32"
        clip(max(args.seconds)).astype("<f4").tofile(args.sound)
        results = compare(args)
    (args.output / "compare.json").write_text(json.dumps(results, indent=2))
    table = markdown(results)
    (args.output / "compare.md").write_text(table)
    print(table)
    plot(results, args.output / "compare.png")


def write_weights(directory: Path) -> None:
    """A full-size model with well-scaled random weights, in both layouts."""
    if (directory / "kyutai" / "model.safetensors").exists():
        return
    from transformers import MimiConfig

    import synthetic

    model = synthetic.build(MimiConfig())
    for spelling in ("transformers", "kyutai"):
        synthetic.write(model, directory / spelling, spelling=spelling)


def clip(seconds: float) -> np.ndarray:
    """The speech that comes with the package, over and over."""
    from mimi_codec import read_audio
    from mimi_codec.demo_files import demo_clip

    return np.resize(read_audio(demo_clip(), RATE), int(seconds * RATE))


# The process of one implementation


def work(args: argparse.Namespace) -> None:
    """Loads, codes one frame, then answers a line of JSON for each line of JSON."""
    peer = PEERS[args.worker](args.weights, args.codebooks, args.threads)
    if hasattr(peer, "encode_frame"):
        peer.restart()
        peer.encode_frame(np.zeros(FRAME, np.float32))
    else:
        peer.encode(np.zeros(2 * FRAME, np.float32))
    answer({})
    pcm = clip(max(args.seconds))
    for line in sys.stdin:
        task = json.loads(line)
        answer(TASKS[task["do"]](peer, pcm, task))


def encode(peer: Any, pcm: np.ndarray, task: dict[str, Any]) -> dict[str, Any]:
    seconds, codes = timed(lambda: peer.encode(pcm[: task["seconds"] * RATE]))
    return {"times": [seconds], "codes": codes.tolist() if task["codes"] else None}


def decode(peer: Any, pcm: np.ndarray, task: dict[str, Any]) -> dict[str, Any]:
    codes = np.resize(np.array(task["codes"]), (len(task["codes"]), task["seconds"] * RATE // FRAME))
    return {"times": [timed(lambda: peer.decode(codes))[0]]}


def encode_frames(peer: Any, pcm: np.ndarray, task: dict[str, Any]) -> dict[str, Any]:
    if not hasattr(peer, "encode_frame"):
        return {"times": []}
    peer.restart()
    frames = pcm[: FRAMES_A_ROUND * FRAME].reshape(-1, FRAME)
    return {"times": [timed(lambda frame=frame: peer.encode_frame(frame.copy()))[0] for frame in frames][5:]}


def decode_frames(peer: Any, pcm: np.ndarray, task: dict[str, Any]) -> dict[str, Any]:
    if not hasattr(peer, "decode_frame"):
        return {"times": []}
    peer.restart()
    codes = np.array(task["codes"])[:, :FRAMES_A_ROUND]
    frames = [np.ascontiguousarray(codes[:, t : t + 1]) for t in range(codes.shape[1])]
    return {"times": [timed(lambda frame=frame: peer.decode_frame(frame))[0] for frame in frames][5:]}


def memory(peer: Any, pcm: np.ndarray, task: dict[str, Any]) -> dict[str, Any]:
    return {"times": [most_memory()]}


TASKS = {
    "encode": encode,
    "decode": decode,
    "encode frame": encode_frames,
    "decode frame": decode_frames,
    "memory": memory,
}


# The process that compares


def start(name: str, args: argparse.Namespace) -> Worker:
    peer = PEERS[name]
    if hasattr(peer, "program"):
        given = peer.command(args.weights, args.sound, args.codebooks, args.threads)
        return Worker(given, {"RAYON_NUM_THREADS": str(args.threads)}, peer.program())
    own = ["--weights", args.weights, "--threads", args.threads, "--codebooks", args.codebooks, "--worker", name]
    return Worker([__file__, *own, "--seconds", *args.seconds])


def compare(args: argparse.Namespace) -> dict[str, Any]:
    versions = installed()
    names = [name for name in versions if not args.peers or name in args.peers]
    for name in names:
        if hasattr(PEERS[name], "prepare"):
            PEERS[name].prepare(args.weights, args.codebooks)
    times: dict[str, dict[str, list[float]]] = {}
    codes: dict[str, list[list[int]]] = {}

    def note(work: str, name: str, values: list[float]) -> None:
        times.setdefault(work, {}).setdefault(name, []).extend(values)

    for _ in range(args.rounds):
        workers = {}
        for name in names:  # one process starts at a time
            workers[name] = start(name, args)
            note("start to first codes (s)", name, [workers[name].start])
        for name, worker in workers.items():
            if name not in codes:
                codes[name] = worker.ask(do="encode", seconds=args.seconds[0], codes=True)["codes"]
            worker.ask(do="encode", seconds=1, codes=False)
        given = codes[names[0]]
        for seconds in args.seconds:
            for name, worker in workers.items():
                taken = worker.ask(do="encode", seconds=seconds, codes=False)["times"]
                note(f"encode {seconds} s (ms)", name, [1e3 * value for value in taken])
            for name, worker in workers.items():
                taken = worker.ask(do="decode", seconds=seconds, codes=given)["times"]
                note(f"decode {seconds} s (ms)", name, [1e3 * value for value in taken])
        for work in ("encode frame", "decode frame"):
            for name, worker in workers.items():
                taken = worker.ask(do=work, codes=given)["times"]
                note(f"{work} (ms)", name, [1e3 * value for value in taken])
        for name, worker in workers.items():
            note("peak memory (MB)", name, worker.ask(do="memory")["times"])
            worker.close()
    reference = "transformers" if "transformers" in codes else names[0]
    agree = {name: float(np.mean(np.array(codes[name]) == np.array(codes[reference]))) for name in names}
    return {
        "machine": {"processor": processor(), "python": platform.python_version(), "blas": product_rate()},
        "threads": args.threads,
        "codebooks": args.codebooks,
        "versions": {name: versions[name] for name in names},
        "medians": {
            work: {name: statistics.median(values) for name, values in by_name.items() if values}
            for work, by_name in times.items()
        },
        "times": times,
        "codes_equal_to": reference,
        "codes_equal": agree,
    }


def product_rate() -> float:
    """GFLOP/s of NumPy's float32 product on all its threads: what this machine is."""
    a = np.ones((1024, 1024), np.float32)
    return 2 * 1024**3 / min(timed(lambda: a @ a)[0] for _ in range(10)) / 1e9


def markdown(results: dict[str, Any]) -> str:
    names = list(results["versions"])
    machine = results["machine"]
    lines = [
        f"{machine['processor']}, {results['threads']} thread(s), {results['codebooks']} codebooks; medians, and in",
        "brackets how many times as much as ours.",
        "",
        "| | " + " | ".join(f"{name} {results['versions'][name]}" for name in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for work, medians in results["medians"].items():
        ours = medians[names[0]]
        cells = []
        for name in names:
            value = medians.get(name)
            cells.append(
                "-" if value is None else f"{value:.3g}" + (f" ({value / ours:.2f})" if name != names[0] else "")
            )
        lines.append(f"| {work} | " + " | ".join(cells) + " |")
    agree = [f"{results['codes_equal'][name]:.2%}" for name in names]
    lines.append(f"| codes equal to {results['codes_equal_to']}' | " + " | ".join(agree) + " |")
    return "\n".join(lines) + "\n"


def plot(results: dict[str, Any], path: Path) -> None:
    """Bars of every median, relative to ours; nothing where matplotlib is not installed."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        return
    names, works = list(results["versions"]), list(results["medians"])
    figure, axes = plt.subplots(figsize=(10, 0.9 * len(works) + 1.5), layout="constrained")
    height = 0.8 / len(names)
    for i, name in enumerate(names):
        ratios = [results["medians"][work].get(name, np.nan) / results["medians"][work][names[0]] for work in works]
        positions = np.arange(len(works)) + i * height
        bars = axes.barh(positions, ratios, height, label=f"{name} {results['versions'][name]}")
        axes.bar_label(bars, ["" if np.isnan(ratio) else f"{ratio:.1f}" for ratio in ratios], padding=2, fontsize=8)
    axes.set_yticks(np.arange(len(works)) + 0.4 - height / 2, works)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("times as much as mimi-codec (time or memory; less is better)")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
