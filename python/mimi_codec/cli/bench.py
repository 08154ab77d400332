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
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import __version__, build_info
from .._arrays import Float32Array
from ..audio import read_audio
from ..demo_files import demo_clip
from ..errors import OutOfMemoryError
from ..synthetic import write_synthetic
from .console import say, show
from .measured import Measured
from .options import Verbs, add_command, add_model_options, load_codec, positive

FrameTimes: TypeAlias = npt.NDArray[np.float64]

SESSION_FRAMES = 20  # timed for each number of sessions
MOST_SESSIONS = {"cpu": 64, "cuda": 4096, "metal": 64}  # tried
WARM_FRAMES = 25  # pushed at once before anything is timed


EXAMPLES = """\
  mimi bench
  mimi bench --threads 2 --dtype bfloat16
  mimi bench --sessions
  mimi bench --device cuda --sessions
  mimi bench --model demo --seconds 60 --json"""


def add_parser(verbs: Verbs) -> None:
    """Describe the command."""
    parser = add_command(
        verbs,
        "bench",
        "time the codec on this machine",
        "Time how long encoding and decoding take, for a clip and for a stream. Without --model, a model of full size "
        "with random weights is used, which is written to a temporary directory once.",
        EXAMPLES,
    )
    parser.add_argument(
        "-k", "--codebooks", type=positive, metavar="K", help="codebooks (default: 8; all of a decoder alone)"
    )
    parser.add_argument("--seconds", type=positive, default=10, metavar="S", help="length of the clip (default: 10)")
    parser.add_argument("--frames", type=positive, default=125, metavar="N", help="frames of the stream (default: 125)")
    parser.add_argument(
        "--repeats", type=positive, default=3, metavar="N", help="runs of the clip; the best one counts"
    )
    parser.add_argument(
        "--sessions",
        action="store_true",
        help="find how many sessions of one stream run in real time, in all directions at once (a minute or two)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_model_options(parser, default=None, default_text="synthetic, of the size of kyutai/mimi")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print; the exit code."""
    name = args.model or str(synthetic_model())
    began = time.perf_counter()
    model = load_codec(args, name, args.revision)
    loading = time.perf_counter() - began
    codec = Measured(model, args.codebooks)
    clip = _speech(model.sample_rate, args.seconds)
    stream = _speech(model.sample_rate, args.frames / model.frame_rate)
    facts: dict[str, Any] = {
        "version": __version__,
        "build": build_info(),
        "model": "synthetic" if args.model is None else model.name,
        "codec": model.kind,
        "dtype": model.dtype,
        "device": model.device,
        "simd": model.simd,
        "threads": model.threads,
        "cpus": os.cpu_count(),
        **codec.frames_of,
        "weight_bytes": model.weight_bytes,
        "load_seconds": loading,
        **_clip_times(codec, clip, args.repeats),
        **_stream_times(codec, stream),
    }
    frame_ms = 1000 / model.frame_rate
    whole = sum(facts[f"{direction}_frame_ms"]["median"] for direction in codec.directions)
    if model.device == "cpu":
        facts["sessions_per_core"] = frame_ms / (whole * model.threads)
    facts["peak_memory_bytes"] = peak_memory()
    if args.sessions:
        facts["sessions_ms"] = _sessions(codec)
        facts["sessions_in_time"] = max((n for n, ms in facts["sessions_ms"].items() if ms <= frame_ms), default=0)
    show(
        json.dumps(facts, indent=2)
        if args.json
        else _table(facts, codec.directions, frame_ms, len(clip) / model.sample_rate)
    )
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
    clip = read_audio(demo_clip(), 24000)
    return np.resize(clip, round(seconds * sample_rate))


def _best(repeats: int, call: Callable[[], object]) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def _clip_times(codec: Measured, pcm: Float32Array, repeats: int) -> dict[str, float]:
    seconds = len(pcm) / codec.model.sample_rate
    works: dict[str, Callable[[], object]] = {"encode": lambda: codec.encode(pcm)}
    if "decode" in codec.directions:
        frames = codec.frames_for(pcm)
        works["decode"] = lambda: codec.decode(frames)
    return {f"{name}_times_real_time": seconds / _best(repeats, works[name]) for name in codec.directions}


def _stream_times(codec: Measured, pcm: Float32Array) -> dict[str, dict[str, float]]:
    times = _frame_times(codec, pcm, 1)
    return {
        f"{name}_frame_ms": {"median": float(np.median(taken)), "percentile_99": float(np.percentile(taken, 99))}
        for name, taken in times.items()
    }


def _sessions(codec: Measured) -> dict[int, float]:
    """For numbers of sessions: the longest that a frame of each took in all directions, in ms.

    The numbers double as long as that is less than the frame lasts; then they close in on the greatest that is.
    """
    model = codec.model
    frame_ms = 1000 / model.frame_rate
    pcm = _speech(model.sample_rate, SESSION_FRAMES / model.frame_rate)
    longest: dict[int, float] = {}
    most, too_many, count = 0, 0, 1
    while 0 < count <= MOST_SESSIONS[model.device.split(":")[0]] and count not in longest:
        try:
            longest[count] = float(np.sum(list(_frame_times(codec, pcm, count).values()), axis=0).max())
            in_time = longest[count] <= frame_ms
        except OutOfMemoryError:
            in_time = False
        if in_time:
            most = count
        else:
            too_many = count
        count = (most + too_many) // 2 if too_many else 2 * count
    return longest


def _frame_times(codec: Measured, pcm: Float32Array, sessions: int) -> dict[str, FrameTimes]:
    """Milliseconds of each frame in each direction, of streams that have seen all they can remember."""
    size, streams = codec.model.frame_size, codec.streams(sessions)
    for _ in range(0, codec.window, WARM_FRAMES):
        streams.push(np.resize(pcm, (sessions, 1, WARM_FRAMES * size)))
    starts = range(0, len(pcm) - size + 1, size)
    taken = [streams.push(np.tile(pcm[start : start + size], (sessions, 1, 1))) for start in starts]
    return {name: np.array([frame[name] for frame in taken]) for name in codec.directions}


def peak_memory() -> int | None:
    """The most memory this process has held, in bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _table(facts: dict[str, Any], directions: list[str], frame_ms: float, seconds: float) -> str:
    peak = facts["peak_memory_bytes"]
    threads = f"{facts['threads']} thread{'s' if facts['threads'] > 1 else ''} of {facts['cpus']}"
    gives = f"{facts['codebooks']} codebooks" if "codebooks" in facts else f"latents of {facts['latent_dim']}"
    doing = " and ".join(f"{name[:-1]}ing" for name in directions)
    rows = [
        ("model", f"{facts['model']} ({facts['codec']}), {gives}, {facts['dtype']}"),
        ("machine", f"{facts['simd']}, {threads}" if facts["device"] == "cpu" else facts["device"]),
        ("load", f"{facts['load_seconds']:.2f} s, {facts['weight_bytes'] / 1e6:.0f} MB of weights"),
    ]
    for name in directions:
        rows.append((name, f"{seconds:g} s of audio at {facts[f'{name}_times_real_time']:.1f} times real time"))
    for name in directions:
        times = facts[f"{name}_frame_ms"]
        text = f"{times['median']:.1f} ms per frame of {frame_ms:g} ms (99th percentile {times['percentile_99']:.1f})"
        rows.append((f"stream {name}", text))
    if "sessions_per_core" in facts:
        rows.append(("sessions per core", f"{facts['sessions_per_core']:.1f}, each {doing}"))
    if "sessions_ms" in facts:
        tried = ", ".join(f"{count} in {ms:.0f} ms" for count, ms in sorted(facts["sessions_ms"].items()))
        rows.append(("sessions in time", f"{facts['sessions_in_time']} of one stream (at most: {tried})"))
    rows.append(("peak memory", "unknown" if peak is None else f"{peak / 1e6:.0f} MB"))
    return "\n".join(f"{name:18} {text}" for name, text in rows)
