"""This package and the references of the codecs of Qwen and VibeVoice, each behind the same few calls.

Clips are float32 `(L,)`, codes int64 `(K, T)`, latents float32 `(D, T)`. `facts` says what a codec is.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

CONTEXT = 25  # frames that the references of Qwen decode before a chunk


class Ours:
    """This package."""

    def __init__(self, weights: Path, threads: int, dtype: str) -> None:
        import mimi_codec

        self.codec = codec = mimi_codec.load(weights, threads=threads, dtype=dtype)
        self.facts = {
            "version": mimi_codec.__version__,
            "frame_size": codec.frame_size,
            "sample_rate": codec.sample_rate,
            "weight_bytes": codec.weight_bytes,
            "width": codec.num_codebooks if hasattr(codec, "decode") else codec.decoder_latent_dim,
            "entries": getattr(codec, "codebook_size", 0),
        }

    def decode(self, frames: np.ndarray) -> np.ndarray:
        return self.codec.decode(frames)

    def restart(self) -> None:
        self.decoder = self.codec.decoder_stream()

    def decode_before(self, frames: np.ndarray) -> None:
        self.decoder.push(frames)

    def decode_frame(self, frame: np.ndarray) -> np.ndarray:
        return self.decoder.push(frame)


class OursLatents(Ours):
    """This package, a codec of latents with both directions."""

    def encode(self, pcm: np.ndarray) -> np.ndarray:
        return self.codec.encode_latents(pcm)

    def decode(self, frames: np.ndarray) -> np.ndarray:
        return self.codec.decode_latents(frames)

    def restart(self) -> None:
        super().restart()
        self.encoder = self.codec.encoder_stream()

    def encode_frame(self, pcm: np.ndarray) -> np.ndarray:
        return self.encoder.push(pcm)


class Reference:
    """A model on PyTorch."""

    package = "transformers"

    def __init__(self, weights: Path, threads: int, dtype: str) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        import torch
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity_error()
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.torch = torch
        self.model = self.build(weights).eval()
        read_into(self.model, weights)
        forget_peak()
        self.facts: dict[str, Any] = {
            "version": importlib.metadata.version(self.package),
            "weight_bytes": sum(value.numel() * value.element_size() for value in self.model.state_dict().values()),
            **self.sizes(),
        }

    def build(self, weights: Path) -> Any:
        """The model, without its weights: `from_pretrained` leaves the buffers that no file has as memory was."""
        raise NotImplementedError

    def sizes(self) -> dict[str, int]:
        raise NotImplementedError

    def tensor(self, array: np.ndarray) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(array))[None]


class Code2Wav(Reference):
    """Transformers' Code2Wav. It has no stream: a frame is decoded behind those before it, and their audio dropped."""

    def build(self, weights: Path) -> Any:
        from transformers.models.qwen3_omni_moe import modeling_qwen3_omni_moe as module

        return module.Qwen3OmniMoeCode2Wav(module.Qwen3OmniMoeCode2WavConfig(**fields(weights)))

    def sizes(self) -> dict[str, int]:
        config = self.model.config
        return {"frame_size": 1920, "width": config.num_quantizers, "entries": config.codebook_size}

    def decode(self, frames: np.ndarray) -> np.ndarray:
        return self.chunks(self.tensor(frames)).numpy().ravel()

    def chunks(self, codes: Any) -> Any:
        return self.model.chunked_decode(codes, chunk_size=300, left_context_size=CONTEXT)

    def restart(self) -> None:
        self.before: Any = None

    def decode_before(self, frames: np.ndarray) -> None:
        self.before = self.tensor(frames[:, -CONTEXT:])

    def decode_frame(self, frame: np.ndarray) -> Any:
        codes = self.torch.cat([self.before, self.tensor(frame)], dim=-1)
        self.before = codes[..., -CONTEXT:]
        return self.model(codes)[..., CONTEXT * self.facts["frame_size"] :]


class Qwen3Tts(Code2Wav):
    """The decoder of the package `qwen-tts`."""

    package = "qwen-tts"

    def build(self, weights: Path) -> Any:
        from qwen_tts.core.tokenizer_12hz import modeling_qwen3_tts_tokenizer_v2 as module

        config = module.Qwen3TTSTokenizerV2Config(**fields(weights))
        return module.Qwen3TTSTokenizerV2Decoder._from_config(config.decoder_config)

    def chunks(self, codes: Any) -> Any:
        return self.model.chunked_decode(codes, 300, CONTEXT)


class VibeVoice(Reference):
    """Transformers' acoustic tokenizer, without noise, and its own padding cache in streams."""

    def build(self, weights: Path) -> Any:
        from transformers import VibeVoiceAcousticTokenizerConfig, VibeVoiceAcousticTokenizerModel

        return VibeVoiceAcousticTokenizerModel(VibeVoiceAcousticTokenizerConfig(**fields(weights)))

    def sizes(self) -> dict[str, int]:
        config = self.model.config
        return {"frame_size": int(np.prod(config.downsampling_ratios)), "width": config.hidden_size, "entries": 0}

    def encode(self, pcm: np.ndarray) -> np.ndarray:
        return self.model.encode(self.tensor(pcm)[None], sample=False).latents[0].T.numpy()

    def decode(self, frames: np.ndarray) -> np.ndarray:
        return self.model.decode(self.tensor(frames.T)).audio.numpy().ravel()

    def restart(self) -> None:
        self.encoder_cache: Any = None
        self.decoder_cache: Any = None

    def encode_frame(self, pcm: np.ndarray) -> Any:
        cache = self.encoder_cache
        output = self.model.encode(self.tensor(pcm)[None], padding_cache=cache, use_cache=True, sample=False)
        self.encoder_cache = output.padding_cache
        return output.latents

    def decode_before(self, frames: np.ndarray) -> None:
        self.decode_frame(frames[:, -CONTEXT:])

    def decode_frame(self, frame: np.ndarray) -> Any:
        output = self.model.decode(self.tensor(frame.T), padding_cache=self.decoder_cache, use_cache=True)
        self.decoder_cache = output.padding_cache
        return output.audio


def fields(weights: Path) -> dict[str, Any]:
    """The fields of a configuration."""
    found = json.loads((weights / "config.json").read_text())
    return {name: value for name, value in found.items() if name not in ("model_type", "architectures")}


def read_into(model: Any, weights: Path) -> None:
    """Read the weights tensor by tensor, so that they are in memory once, whatever stands before their names."""
    from safetensors import safe_open

    left = model.state_dict()
    first = next(iter(left))
    files = [safe_open(file, "pt") for file in weights.glob("*.safetensors")]
    places = {name: file for file in files for name in file.keys()}  # noqa: SIM118 - it is not a mapping
    (found,) = (name for name in places if name == first or name.endswith(f".{first}"))
    prefix = found.removesuffix(first)
    for name, tensor in left.items():
        tensor.copy_(places[prefix + name].get_tensor(prefix + name))


def forget_peak() -> None:
    """Count the memory that a reference holds from here on: what loading takes is not held against it."""
    Path("/proc/self/clear_refs").write_text("5")


FAMILY: dict[str, dict[str, type[Any]]] = {
    "ours": {"code2wav": Ours, "qwen3-tts": Ours, "vibevoice": OursLatents},
    "reference": {"code2wav": Code2Wav, "qwen3-tts": Qwen3Tts, "vibevoice": VibeVoice},
}
