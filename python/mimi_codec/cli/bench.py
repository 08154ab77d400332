"""`mimi bench`: how fast the codec is on this machine."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, build_info
from .._arrays import Float32Array
from ..audio import read_audio
from ..hub import demo_directory
from ..model import Mimi
from ..synthetic import write_synthetic
from ._common import add_model_options, load_model, positive, say
from .demo import CLIP

WARM_UP_FRAMES = 5


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = verbs.add_parser(
        "bench",
        help="time the codec on this machine",
        description="Time encoding and decoding of a clip and of a stream. Without --model, on a model of full size "
        "with random weights, which is written to a temporary directory once.",
    )
    parser.add_argument("-k", "--codebooks", type=positive, default=8, metavar="K", help="(default: 8)")
    parser.add_argument("--seconds", type=positive, default=10, metavar="S", help="length of the clip (default: 10)")
    parser.add_argument("--frames", type=positive, default=125, metavar="N", help="frames streamed (default: 125)")
    parser.add_argument("--repeats", type=positive, default=3, metavar="N", help="runs of the clip; the best counts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_model_options(parser, default=None, default_text="synthetic, of the size of kyutai/mimi")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print; the exit code."""
    name = args.model or str(synthetic_model())
    began = time.perf_counter()
    model = load_model(args, name, args.revision)
    loading = time.perf_counter() - began
    clip = _speech(model.sample_rate, args.seconds)
    stream = _speech(model.sample_rate, (args.frames + WARM_UP_FRAMES) / model.frame_rate)
    facts: dict[str, Any] = {
        "version": __version__,
        "build": build_info(),
        "model": "synthetic" if args.model is None else model.name,
        "dtype": model.dtype,
        "simd": model.simd,
        "threads": model.threads,
        "cpus": os.cpu_count(),
        "codebooks": args.codebooks,
        "weight_bytes": model.weight_bytes,
        "load_seconds": loading,
        **_clip_times(model, clip, args.codebooks, args.repeats),
        **_stream_times(model, stream, args.codebooks),
    }
    frame_ms = 1000 / model.frame_rate
    both = facts["encode_frame_ms"]["median"] + facts["decode_frame_ms"]["median"]
    facts["sessions_per_core"] = frame_ms / (both * model.threads)
    facts["peak_memory_bytes"] = peak_memory()
    print(json.dumps(facts, indent=2) if args.json else _table(facts, frame_ms, len(clip) / model.sample_rate))
    return 0


def synthetic_model() -> Path:
    """The directory of a full-size model with random weights, written on the first call."""
    user = getpass.getuser()
    path = Path(tempfile.gettempdir()) / f"mimi-codec-{user}" / f"synthetic-{__version__}"
    if path.is_dir():
        return path
    path.parent.mkdir(mode=0o700, exist_ok=True)
    say(f"writing a synthetic model to {path}")
    unfinished = Path(tempfile.mkdtemp(dir=path.parent))
    try:
        write_synthetic(unfinished)
        unfinished.rename(path)
    except OSError:
        if not path.is_dir():  # otherwise another process was quicker
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return path


def _speech(sample_rate: int, seconds: float) -> Float32Array:
    """The packaged clip, repeated. At another rate its pitch is wrong, which does not change the time taken."""
    clip = read_audio(demo_directory() / CLIP, 24000)
    return np.resize(clip, round(seconds * sample_rate))


def _best(repeats: int, call: Callable[[], object]) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def _clip_times(model: Mimi, pcm: Float32Array, codebooks: int, repeats: int) -> dict[str, float]:
    seconds = len(pcm) / model.sample_rate
    codes = model.encode(pcm, codebooks)
    return {
        "encode_times_real_time": seconds / _best(repeats, lambda: model.encode(pcm, codebooks)),
        "decode_times_real_time": seconds / _best(repeats, lambda: model.decode(codes)),
    }


def _stream_times(model: Mimi, pcm: Float32Array, codebooks: int) -> dict[str, dict[str, float]]:
    encoder, decoder = model.encoder_stream(num_codebooks=codebooks), model.decoder_stream()
    times: dict[str, list[float]] = {"encode_frame_ms": [], "decode_frame_ms": []}
    for start in range(0, len(pcm), model.frame_size):
        began = time.perf_counter()
        codes = encoder.push(pcm[start : start + model.frame_size])
        encoded = time.perf_counter()
        decoder.push(codes)
        decoded = time.perf_counter()
        times["encode_frame_ms"].append(1000 * (encoded - began))
        times["decode_frame_ms"].append(1000 * (decoded - encoded))
    return {
        name: {"median": float(np.median(all_)), "percentile_99": float(np.percentile(all_, 99))}
        for name, all_ in ((name, taken[WARM_UP_FRAMES:]) for name, taken in times.items())
    }


def peak_memory() -> int | None:
    """The most memory this process has held, in bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _table(facts: dict[str, Any], frame_ms: float, seconds: float) -> str:
    peak = facts["peak_memory_bytes"]
    threads = f"{facts['threads']} thread{'s' if facts['threads'] > 1 else ''} of {facts['cpus']}"
    rows = [
        ("model", f"{facts['model']}, {facts['codebooks']} codebooks, {facts['dtype']}"),
        ("machine", f"{facts['simd']}, {threads}"),
        ("load", f"{facts['load_seconds']:.2f} s, {facts['weight_bytes'] / 1e6:.0f} MB of weights"),
        ("encode", f"{seconds:g} s of audio at {facts['encode_times_real_time']:.1f} times real time"),
        ("decode", f"{seconds:g} s of audio at {facts['decode_times_real_time']:.1f} times real time"),
    ]
    for name in ("encode", "decode"):
        times = facts[f"{name}_frame_ms"]
        text = f"{times['median']:.1f} ms a frame of {frame_ms:g} ms (99th percentile {times['percentile_99']:.1f})"
        rows.append((f"stream {name}", text))
    rows.append(("sessions per core", f"{facts['sessions_per_core']:.1f}, each encoding and decoding"))
    rows.append(("peak memory", "unknown" if peak is None else f"{peak / 1e6:.0f} MB"))
    return "\n".join(f"{name:18} {text}" for name, text in rows)
