"""Other implementations on the same card: moshi with its CUDA graphs, and Transformers, with random weights.

Their tensors are on the card already, and their results stay there; a step ends when the card has done it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

CODEBOOKS = 8
FRAME = 1920
CLIP_SECONDS = 60


def moshi(work: Any, deadline: float) -> dict[str, Any]:
    """`moshi`, streaming, and whole clips."""
    torch, why = with_cuda("moshi")
    if torch is None:
        return {"skipped": why}
    from moshi.models import loaders

    weights = kyutai_weights(work)
    mimi = loaders.get_mimi(weights, device=work.device, num_codebooks=CODEBOOKS)
    mimi.eval()
    found: dict[str, Any] = {"version": version("moshi"), "torch": torch.__version__}
    with torch.inference_mode():
        pcm, codes = data(torch, 1, CLIP_SECONDS * 25 // 2)
        found["clip"] = {
            "seconds": CLIP_SECONDS,
            "encode": timed(torch, lambda: mimi.encode(pcm), 5.0),
            "decode": timed(torch, lambda: mimi.decode(codes), 5.0),
        }
        for rows in work.rows[:4]:
            if time.perf_counter() > deadline:
                break
            pcm, codes = data(torch, rows, 1)
            with mimi.streaming(rows):
                encode = timed(torch, lambda pcm=pcm: mimi.encode(pcm), 4.0)
                decode = timed(torch, lambda codes=codes: mimi.decode(codes), 4.0)
            found[f"{rows} rows"] = {"encode": encode, "decode": decode}
    return found


def transformers(work: Any, deadline: float) -> dict[str, Any]:
    """`MimiModel`: whole clips, and frames of an encoder with its caches."""
    torch, why = with_cuda("transformers")
    if torch is None:
        return {"skipped": why}
    from transformers import MimiModel

    work.load("cpu")
    model = MimiModel.from_pretrained(work._directory).to(work.device).eval()
    found: dict[str, Any] = {"version": version("transformers"), "torch": torch.__version__}
    names = ("padding_cache", "encoder_cache", "encoder_past_key_values")  # the last was renamed in 5.24
    with torch.inference_mode():
        pcm, codes = data(torch, 1, CLIP_SECONDS * 25 // 2)
        found["clip"] = {
            "seconds": CLIP_SECONDS,
            "encode": timed(torch, lambda: model.encode(pcm, num_quantizers=CODEBOOKS), 5.0),
            "decode": timed(torch, lambda: model.decode(codes), 5.0),
        }
        for rows in work.rows[:3]:
            if time.perf_counter() > deadline:
                break
            frame, _ = data(torch, rows, 1)
            caches: dict[str, Any] = {}

            def step(frame: Any = frame, caches: dict[str, Any] = caches) -> None:
                output = model.encode(frame, num_quantizers=CODEBOOKS, use_streaming=True, **caches)
                caches.update({name: output[name] for name in names if name in output})

            found[f"{rows} rows"] = {"encode": timed(torch, step, 4.0)}
    return found


def with_cuda(package: str) -> tuple[Any, str]:
    """PyTorch, or why it is of no use for a peer."""
    import importlib.util

    for name in ("torch", package):
        if importlib.util.find_spec(name) is None:
            return None, f"{name} is not installed"
    import torch

    return (torch, "") if torch.cuda.is_available() else (None, "this PyTorch has no CUDA")


def version(package: str) -> str:
    import importlib.metadata

    return importlib.metadata.version(package)


def kyutai_weights(work: Any) -> Path:
    """The synthetic weights in Kyutai's own layout."""
    from safetensors.torch import save_file

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    import synthetic

    work.load("cpu")
    path: Path = work._directory / "kyutai.safetensors"
    if not path.exists():
        from transformers import MimiModel

        save_file(synthetic.kyutai_state(MimiModel.from_pretrained(work._directory)), path)
    return path


def data(torch: Any, rows: int, frames: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    pcm = (0.1 * rng.standard_normal((rows, 1, frames * FRAME))).astype(np.float32)
    codes = rng.integers(0, 2048, (rows, CODEBOOKS, frames))
    return torch.from_numpy(pcm).cuda(), torch.from_numpy(codes).cuda()


def timed(torch: Any, call: Any, seconds: float) -> dict[str, Any]:
    from gpu_parts import times

    def whole() -> None:
        call()
        torch.cuda.synchronize()

    return times(whole, seconds, least=3)
