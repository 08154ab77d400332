"""ONNX Runtime as a peer of `compare.py`, on an export of Transformers' Mimi with the same weights.

Whole clips of any number of frames. Streams are not exported: their caches are objects of Python, which Transformers
makes and changes itself. The export adds no samples at the end of a convolution, so clips are filled up to whole ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FRAME = 1920


class OnnxRuntime:
    """ONNX Runtime."""

    package = "onnxruntime"

    @staticmethod
    def prepare(weights: Path, codebooks: int) -> None:
        """Writes both models where they are not there yet."""
        if not model(weights, codebooks, "decode").exists():
            export(weights, codebooks)

    def __init__(self, weights: Path, codebooks: int, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # what it could not fold is said of every session
        paths = {work: model(weights, codebooks, work) for work in ("encode", "decode")}
        self.sessions = {work: onnxruntime.InferenceSession(path, options) for work, path in paths.items()}

    def run(self, work: str, values: np.ndarray) -> np.ndarray:
        session = self.sessions[work]
        return session.run(None, {session.get_inputs()[0].name: values})[0][0]

    def encode(self, pcm: np.ndarray) -> np.ndarray:
        return self.run("encode", np.pad(pcm, (0, -len(pcm) % FRAME))[None, None])

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self.run("decode", codes[None])[0]


def model(weights: Path, codebooks: int, work: str) -> Path:
    return weights / "onnx" / f"{work}-{codebooks}.onnx"


def export(weights: Path, codebooks: int) -> None:
    import torch
    from transformers import MimiModel
    from transformers.models.mimi import modeling_mimi

    class Whole(torch.nn.Module):
        def __init__(self, mimi: Any, work: str) -> None:
            super().__init__()
            self.mimi, self.work = mimi, work

        def forward(self, values: Any) -> Any:
            if self.work == "encode":
                return self.mimi.encode(values, num_quantizers=codebooks, return_dict=False)[0]
            return self.mimi.decode(values, return_dict=False)[0]

    mimi = MimiModel.from_pretrained(weights / "transformers", attn_implementation="eager").eval()
    # Sizes that are tensors, and padding that is computed from them, depend on data for the exporter.
    modeling_mimi.MimiConv1d._get_extra_padding_for_conv1d = lambda *_: 0
    for layer in mimi.modules():
        if isinstance(layer, modeling_mimi.MimiConv1d):
            for name in ("stride", "kernel_size", "padding_total"):
                setattr(layer, name, int(layer._buffers.pop(name)))
    (weights / "onnx").mkdir(exist_ok=True)
    frames = torch.export.Dim("frames", min=2, max=10_000)
    examples = {
        "encode": (torch.zeros(1, 1, 50 * FRAME), FRAME * frames),
        "decode": (torch.zeros(1, codebooks, 50, dtype=torch.int64), frames),
    }
    for work, (example, length) in examples.items():
        with torch.inference_mode(False), torch.no_grad():
            path, shapes = model(weights, codebooks, work), ({2: length},)
            whole = Whole(mimi, work)
            torch.onnx.export(
                whole, (example,), path, dynamo=True, dynamic_shapes=shapes, optimize=False, verbose=False
            )
