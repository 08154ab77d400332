"""The implementations that are compared, each behind the same few calls.

A peer is made in a process of its own, so that its threads and its memory are its own. Clips are float32 `(L,)`, codes
int64 `(K, T)`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from peer_onnx import OnnxRuntime


class Peer(Protocol):
    """What each implementation is asked to do. A stream's call is missing where it has no such stream."""

    package: ClassVar[str]

    def __init__(self, weights: Path, codebooks: int, threads: int) -> None: ...
    def encode(self, pcm: np.ndarray) -> np.ndarray: ...
    def decode(self, codes: np.ndarray) -> np.ndarray: ...
    def restart(self) -> None: ...
    def encode_frame(self, pcm: np.ndarray) -> np.ndarray: ...


class Ours:
    """This package."""

    package = "mimi-codec"
    dtype = "float32"

    def __init__(self, weights: Path, codebooks: int, threads: int) -> None:
        from mimi_codec import Mimi

        source = weights / "transformers"
        self.mimi = Mimi.from_pretrained(source, num_codebooks=codebooks, threads=threads, dtype=self.dtype)
        self.restart()

    def encode(self, pcm: np.ndarray) -> np.ndarray:
        return self.mimi.encode(pcm)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self.mimi.decode(codes)

    def restart(self) -> None:
        self.encoder, self.decoder = self.mimi.encoder_stream(), self.mimi.decoder_stream()

    def encode_frame(self, pcm: np.ndarray) -> np.ndarray:
        return self.encoder.push(pcm)

    def decode_frame(self, codes: np.ndarray) -> np.ndarray:
        return self.decoder.push(codes)


class OursBfloat16(Ours):
    """This package, weights in bfloat16."""

    dtype = "bfloat16"


class OursInt8(Ours):
    """This package, weights in int8."""

    dtype = "int8"


class RustyMimi:
    """Kyutai's Rust implementation."""

    package = "rustymimi"

    def __init__(self, weights: Path, codebooks: int, threads: int) -> None:
        os.environ["RAYON_NUM_THREADS"] = str(threads)
        import rustymimi

        self.tokenizer = rustymimi.Tokenizer(str(weights / "kyutai" / "model.safetensors"), num_codebooks=codebooks)

    def encode(self, pcm: np.ndarray) -> np.ndarray:
        # Positions count through all calls of an object: this one lasts for 5.5 minutes in all, then fails.
        return self.tokenizer.encode(pcm[None, None])[0].astype(np.int64)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self.tokenizer.decode(codes[None].astype(np.uint32))[0, 0]

    def restart(self) -> None:
        self.tokenizer.reset()

    def encode_frame(self, pcm: np.ndarray) -> np.ndarray:
        return self.tokenizer.encode_step(pcm[None, None])[0].astype(np.int64)

    def decode_frame(self, codes: np.ndarray) -> np.ndarray:
        return self.tokenizer.decode_step(codes[None].astype(np.uint32))[0, 0]


class Transformers:
    """`MimiModel` of Transformers, on PyTorch."""

    package = "transformers"

    def __init__(self, weights: Path, codebooks: int, threads: int) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        import torch
        from transformers import MimiModel
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(threads)
        self.torch, self.codebooks = torch, codebooks
        self.model = MimiModel.from_pretrained(weights / "transformers").eval()
        self.restart()

    def encode(self, pcm: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode():
            output = self.model.encode(self.torch.from_numpy(pcm)[None, None], num_quantizers=self.codebooks)
        return output.audio_codes[0].numpy()

    def decode(self, codes: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode():
            return self.model.decode(self.torch.from_numpy(codes)[None]).audio_values[0, 0].numpy()

    def restart(self) -> None:
        self.caches: dict[str, Any] = {}

    def encode_frame(self, pcm: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode():
            output = self.model.encode(
                self.torch.from_numpy(pcm)[None, None],
                num_quantizers=self.codebooks,
                use_streaming=True,
                **self.caches,
            )
        names = ("padding_cache", "encoder_cache", "encoder_past_key_values")  # the last was renamed in 5.24
        self.caches = {name: output[name] for name in names if name in output}
        return output.audio_codes[0].numpy()


class Moshi:
    """Kyutai's PyTorch package."""

    package = "moshi"

    def __init__(self, weights: Path, codebooks: int, threads: int) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        os.environ["NO_TORCH_COMPILE"] = "1"
        import torch
        from moshi.models import loaders

        torch.set_num_threads(threads)
        self.torch = torch
        self.mimi = loaders.get_mimi(weights / "kyutai" / "model.safetensors", device="cpu", num_codebooks=codebooks)
        self.mimi.eval()
        self.streaming = contextlib.ExitStack()

    def encode(self, pcm: np.ndarray) -> np.ndarray:
        self.streaming.close()
        with self.torch.inference_mode():
            return self.mimi.encode(self.torch.from_numpy(pcm)[None, None])[0].numpy()

    def decode(self, codes: np.ndarray) -> np.ndarray:
        self.streaming.close()
        with self.torch.inference_mode():
            return self.mimi.decode(self.torch.from_numpy(codes)[None])[0, 0].numpy()

    def restart(self) -> None:
        self.streaming.close()
        self.streaming.enter_context(self.mimi.streaming(1))

    def encode_frame(self, pcm: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode():
            return self.mimi.encode(self.torch.from_numpy(pcm)[None, None])[0].numpy()

    def decode_frame(self, codes: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode():
            return self.mimi.decode(self.torch.from_numpy(codes)[None])[0, 0].numpy()


class XnMoshi:
    """The crate xn-moshi, by the program of `xn_moshi/`, which answers as `compare.py` does."""

    FOLDER = Path(__file__).resolve().parent / "xn_moshi"

    @classmethod
    def program(cls) -> Path:
        target = Path(os.environ.get("MIMI_XN_MOSHI_TARGET", cls.FOLDER / "target"))
        return target / "release" / "xn-moshi-worker"

    @classmethod
    def version(cls) -> str | None:
        """Of the crate, where the program is built."""
        packages = tomllib.loads((cls.FOLDER / "Cargo.lock").read_text())["package"]
        versions = {package["name"]: package["version"] for package in packages}
        return versions["xn-moshi"] if cls.program().exists() else None

    @classmethod
    def command(cls, weights: Path, sound: Path, codebooks: int, threads: int) -> list[object]:
        """What the program is started with."""
        return [weights / "kyutai" / "model.safetensors", sound, codebooks, threads]


PEERS: dict[str, type[Any]] = {
    "ours": Ours,
    "ours bfloat16": OursBfloat16,
    "ours int8": OursInt8,
    "xn-moshi": XnMoshi,
    "rustymimi": RustyMimi,
    "transformers": Transformers,
    "moshi": Moshi,
    "onnxruntime": OnnxRuntime,
}


def installed() -> dict[str, str]:
    """The peers that are here, with their versions."""
    found = {}
    for name, peer in PEERS.items():
        if hasattr(peer, "version"):
            if version := peer.version():
                found[name] = version
            continue
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(peer.package)
    return found
