"""The parts of `gpu.py` that run this package, each a process that prints its result as a line of JSON."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BEGAN = time.perf_counter()
DEADLINE = BEGAN + 0.85 * float(os.environ.get("MIMI_BENCH_SECONDS", "150"))
FRAME_MS = 80.0
ROWS = (1, 8, 32, 128, 512)
CODEBOOKS = 8

Result = dict[str, Any]


class Work:
    """What a part is given: where it runs, and a model with random weights."""

    def __init__(self, device: str, weights: Path, tiny: bool) -> None:
        self.device, self.tiny = device, tiny
        self._directory = weights / ("tiny" if tiny else "full")

    def load(self, device: str | None = None, **options: Any) -> Any:
        from mimi_codec import Mimi, MimiConfig
        from mimi_codec.synthetic import write_synthetic

        if not self._directory.exists():
            tiny = MimiConfig(hidden_size=64, num_filters=4, num_hidden_layers=1, upsample_groups=64)
            write_synthetic(self._directory, tiny if self.tiny else None)
        options = {"num_codebooks": CODEBOOKS, **options}
        return Mimi.from_pretrained(self._directory, device=device or self.device, **options)

    @property
    def rows(self) -> tuple[int, ...]:
        return ROWS[:2] if self.tiny else ROWS


def machine(work: Work) -> Result:
    import mimi_codec
    from mimi_codec._devices import cuda_devices

    found: Result = {"build": mimi_codec.build_info(), "python": platform.python_version(), "cpus": os.cpu_count()}
    found["devices"] = cuda_devices()
    try:
        fields = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,persistence_mode"
        asked = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv"]
        found["nvidia_smi"] = subprocess.run(asked, capture_output=True, text=True, timeout=30).stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired) as error:
        found["nvidia_smi"] = [str(error)]
    found["installed"] = [name for name in ("torch", "transformers", "moshi") if importlib.util.find_spec(name)]
    return found


def first_use(work: Work) -> Result:
    """A process without compiled kernels, and one that finds them: the load, and the first step of a stream."""
    import shutil
    import tempfile

    script = (
        "import sys, time; import numpy as np; from mimi_codec import Mimi; began = time.perf_counter(); "
        "mimi = Mimi.demo(device=sys.argv[1]); loaded = time.perf_counter(); "
        "mimi.encoder_stream().push(np.zeros(1920, np.float32)); print(loaded - began, time.perf_counter() - loaded)"
    )
    # The driver has a cache of its own, for PTX; machine code for a device does not go through it.
    cache = tempfile.mkdtemp()
    found: Result = {}
    for name in ("cold", "warm", "warm_again"):
        environment = os.environ | {"MIMI_CODEC_CACHE": cache}
        command = [sys.executable, "-c", script, work.device]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        load, step = map(float, done.stdout.split())
        found[name] = {"process_s": time.perf_counter() - began, "load_s": load, "first_step_s": step}
    shutil.rmtree(cache)
    return found


def parity(work: Work) -> Result:
    """The same clips and streams on the CPU and on the device: what is not the same, bit for bit."""
    import mimi_codec

    found: Result = {"cpu": mimi_codec.build_info()["simd"]}
    pcm = speech(0.2 if work.tiny else 6.0)
    models = {"demo": lambda device, dtype: mimi_codec.Mimi.demo(device=device, dtype=dtype)}
    models["synthetic"] = lambda device, dtype: work.load(device, dtype=dtype)
    for name, load in models.items():
        for dtype in ("float32", "bfloat16", "int8"):
            here, there = load("cpu", dtype), load(work.device, dtype)
            codes = here.encode(pcm, CODEBOOKS)
            pairs = {
                "codes": (codes, there.encode(pcm, CODEBOOKS)),
                "latents": (here.encode_latents(pcm), there.encode_latents(pcm)),
                "audio": (here.decode(codes), there.decode(codes)),
                "stream_codes": (codes, streamed(there, pcm)),
            }
            # The last frame of a clip is filled up in another way than that of a stream.
            pairs["stream_codes"] = tuple(values[:, : codes.shape[1] - 1] for values in pairs["stream_codes"])
            found[f"{name}, {dtype}"] = {what: difference(*pair) for what, pair in pairs.items()}
    return found


def streamed(model: Any, pcm: np.ndarray) -> np.ndarray:
    stream = model.encoder_stream(num_codebooks=CODEBOOKS)
    whole = len(pcm) // model.frame_size * model.frame_size
    frames = [stream.push(pcm[at : at + model.frame_size]) for at in range(0, whole, model.frame_size)]
    return np.concatenate([*frames, stream.flush()], axis=-1)


def difference(here: np.ndarray, there: np.ndarray) -> Result:
    if here.shape != there.shape:
        return {"shapes": f"{here.shape} and {there.shape}"}
    apart = float(np.abs(here.astype(np.float64) - there).max(initial=0))
    scale = float(np.abs(here).max(initial=0)) or 1.0
    return {"values": here.size, "not_equal": int((here != there).sum()), "largest": apart / scale}


def checked(work: Work) -> Result:
    """For a checker of the toolkit: every kind of call, on the embedded model."""
    from mimi_codec import Mimi

    mimi = Mimi.demo(device=work.device)
    pcm = speech(0.2)
    mimi.decode(mimi.encode(pcm))
    mimi.decode_latents(mimi.encode_latents(pcm))
    for rows in (1, 3):
        encoder, decoder = mimi.encoder_stream(rows), mimi.decoder_stream(rows)
        for _ in range(4):
            codes = encoder.push(np.tile(pcm[: mimi.frame_size], (rows, 1, 1)), active=np.arange(rows) != 1)
            decoder.push(np.maximum(codes, 0))
    return {"asked": mimi._core.device_counts}


def steps(work: Work) -> Result:
    """Milliseconds of a push of one frame of each row: NumPy in, NumPy out."""
    model = work.load()
    found: Result = {"graphs": os.environ.get("MIMI_CODEC_CUDA_GRAPHS") != "0"}
    for number, rows in enumerate(work.rows):
        left = (DEADLINE - time.perf_counter()) / (len(work.rows) - number)
        if left < 1:
            found[f"{rows} rows"] = {"skipped": "no time is left"}
            continue
        pushes = both_ways(model, rows)
        before, began = model._core.device_counts, time.perf_counter()
        found[f"{rows} rows"] = {way: times(push, min(left / 3, 4.0)) for way, push in pushes.items()}
        found[f"{rows} rows"]["seconds"] = time.perf_counter() - began
        after = model._core.device_counts
        found[f"{rows} rows"]["asked"] = {name: after[name] - before[name] for name in after}
    return found


def both_ways(model: Any, rows: int) -> dict[str, Callable[[], Any]]:
    pcm = np.tile(speech(1.0)[: model.frame_size], (rows, 1, 1))
    codes = np.random.default_rng(1).integers(0, model.codebook_size, (rows, CODEBOOKS, 1))
    encoder, decoder = model.encoder_stream(rows, CODEBOOKS), model.decoder_stream(rows)
    return {"encode": lambda: encoder.push(pcm), "decode": lambda: decoder.push(codes)}


def times(call: Callable[[], Any], seconds: float, least: int = 5, most: int = 400) -> Result:
    """Medians; the first calls, which record, are not counted."""
    for _ in range(3):
        call()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < least or (time.perf_counter() < end and len(taken) < most):
        began = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - began))
    taken.sort()
    last = taken[min(len(taken) - 1, int(0.99 * len(taken)))]
    return {"median_ms": statistics.median(taken), "percentile_99_ms": last, "steps": len(taken)}


def sessions(work: Work) -> Result:
    """How many sessions are encoded and decoded within the 80 ms that a frame lasts, as rows of one stream each way."""
    from mimi_codec import OutOfMemoryError

    model = work.load()
    tried: dict[int, Any] = {}
    most, too_many, rows = 0, 0, 2 if work.tiny else 512
    while rows > most and rows not in tried and time.perf_counter() < DEADLINE and not (work.tiny and rows > 8):
        try:
            pushes = both_ways(model, rows)
            tried[rows] = sum(times(push, 1.5)["percentile_99_ms"] for push in pushes.values())
        except OutOfMemoryError:
            tried[rows] = "out of memory"
        if tried[rows] != "out of memory" and tried[rows] <= FRAME_MS:
            most = rows
        else:
            too_many = rows
        rows = (most + too_many) // 2 // 32 * 32 if too_many else 2 * rows
    return {"in_80_ms": most, "tried_ms": tried}


def clips(work: Work) -> Result:
    model = work.load()
    seconds = 0.3 if work.tiny else 60.0
    pcm = speech(seconds)
    codes = model.encode(pcm, CODEBOOKS)
    found: Result = {"seconds": seconds}
    for way, call in {"encode": lambda: model.encode(pcm, CODEBOOKS), "decode": lambda: model.decode(codes)}.items():
        taken = times(call, 5.0, least=3)["median_ms"]
        found[way] = {"median_ms": taken, "times_real_time": 1000 * seconds / taken}
    return found


def kernels(work: Work) -> Result:
    """Steps for a profiler: `ncu` where it is here, else that of PyTorch, which sees all kernels of the process."""
    model = work.load()
    rows = (1, 8) if work.tiny else (1, 128)
    streams = {count: both_ways(model, count) for count in rows}
    if "MIMI_BENCH_PROFILER" in os.environ:  # each launch takes it long, so one step of each has to do
        for pushes in streams.values():
            for push in pushes.values():
                push()
        return {"by": os.environ["MIMI_BENCH_PROFILER"]}
    try:
        import torch
    except ImportError:
        return {"skipped": "neither ncu nor PyTorch is here"}
    if not torch.cuda.is_available():
        return {"skipped": "ncu is not here, and this PyTorch has no CUDA"}
    found: Result = {"by": "torch.profiler", "weight_bytes": model.weight_bytes}
    torch.zeros(1, device="cuda")
    for count, pushes in streams.items():
        for way, push in pushes.items():
            times(push, 0.0, least=1)
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
                for _ in range(10):
                    push()
            events = [event for event in profile.key_averages() if event.self_device_time_total > 0]
            events.sort(key=lambda event: -event.self_device_time_total)
            found[f"{way}, {count} rows"] = {
                event.key: {"us_a_step": event.self_device_time_total / 10, "launches_a_step": event.count / 10}
                for event in events[:12]
            }
    return found


def speech(seconds: float) -> np.ndarray:
    """The speech that comes with the package, over and over."""
    from mimi_codec import read_audio
    from mimi_codec.demo_files import demo_clip

    return np.resize(read_audio(demo_clip(), 24_000), int(seconds * 24_000))


def main(name: str, device: str, weights: str, tiny: str) -> None:
    import gpu_driver
    import gpu_peers

    parts: dict[str, Callable[[Work], Result]] = {
        "machine": machine,
        "first_use": first_use,
        "parity": parity,
        "memcheck": checked,
        "racecheck": checked,
        "driver": lambda work: gpu_driver.measured(),
        "steps": steps,
        "steps_without_graphs": steps,
        "sessions": sessions,
        "clips": clips,
        "moshi": lambda work: gpu_peers.moshi(work, DEADLINE),
        "transformers": lambda work: gpu_peers.transformers(work, DEADLINE),
        "kernels": kernels,
    }
    print(json.dumps(parts[name](Work(device, Path(weights), tiny == "1"))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
