"""The codecs of Qwen and VibeVoice with one set of random weights, as Transformers has them and here."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import VibeVoiceAcousticTokenizerEncoderModel, VibeVoiceAcousticTokenizerModel
from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeCode2WavConfig
from transformers.models.qwen3_omni_moe.modeling_qwen3_omni_moe import Qwen3OmniMoeCode2Wav

import mimi_codec
from mimi_codec.synthetic import write_synthetic_family

DELAY = 555  # samples that Code2Wav is late by, with the released rates


@dataclass(frozen=True)
class Pair:
    """One set of weights, in Transformers and here."""

    directory: Path
    theirs: Any
    ours: Any


def code2wav(directory: Path, changes: dict | None = None, **options) -> Pair:
    write_synthetic_family(directory, "code2wav", changes, **options)
    ours = mimi_codec.load(directory)
    fields = {key: value for key, value in ours.config.items() if key not in ("model_type", "architectures")}
    config = Qwen3OmniMoeCode2WavConfig(**fields)
    with torch.device("meta"):  # no time for weights that are replaced
        theirs = Qwen3OmniMoeCode2Wav._from_config(config)
    theirs = theirs.to_empty(device="cpu").eval()
    theirs.load_state_dict(load_file(directory / "model.safetensors"))
    # what is not in the file, and was not made either
    theirs.code_offset.copy_(torch.arange(config.num_quantizers).view(1, -1, 1) * config.codebook_size)
    rotary = theirs.pre_transformer.rotary_emb
    for name, buffer in type(rotary)(config).named_buffers():
        rotary.get_buffer(name).copy_(buffer)
    return Pair(directory, theirs, ours)


def vibevoice(directory: Path, changes: dict | None = None, **options) -> Pair:
    write_synthetic_family(directory, "vibevoice", changes, **options)
    return Pair(directory, _read(VibeVoiceAcousticTokenizerModel, directory), mimi_codec.load(directory))


def vibevoice_encoder(directory: Path, changes: dict | None = None, **options) -> Pair:
    write_synthetic_family(directory, "vibevoice-encoder", changes, **options)
    return Pair(directory, _read(VibeVoiceAcousticTokenizerEncoderModel, directory), mimi_codec.load(directory))


def _read(model, directory: Path):
    theirs, found = model.from_pretrained(directory, output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    return theirs.eval()


# What Transformers computes


@torch.no_grad()
def decode(theirs: Qwen3OmniMoeCode2Wav, codes: np.ndarray, **chunks) -> np.ndarray:
    """Codes (K, T) or (B, K, T) to samples (L,) or (B, 1, L); with the size of chunks, by `chunked_decode`."""
    rows = torch.from_numpy(codes if codes.ndim == 3 else codes[None])
    audio = theirs.chunked_decode(rows, **chunks) if chunks else theirs(rows)
    return (audio if codes.ndim == 3 else audio[0, 0]).numpy()


@torch.no_grad()
def encode_latents(theirs, pcm: np.ndarray) -> np.ndarray:
    """Samples (L,) or (B, 1, L) to latents (D, T) or (B, D, T)."""
    rows = torch.from_numpy(pcm if pcm.ndim == 3 else pcm[None, None])
    given = theirs.encode(rows, sample=False) if hasattr(theirs, "encode") else theirs(rows)
    latents = given.latents.mT.contiguous().numpy()
    return latents if pcm.ndim == 3 else latents[0]


@torch.no_grad()
def decode_latents(theirs: VibeVoiceAcousticTokenizerModel, latents: np.ndarray) -> np.ndarray:
    """Latents (D, T) or (B, D, T) to samples (L,) or (B, 1, L)."""
    rows = torch.from_numpy(latents if latents.ndim == 3 else latents[None])
    audio = theirs.decode(rows.mT.contiguous()).audio.numpy()
    return audio if latents.ndim == 3 else audio[0, 0]


# Inputs


def random_codes(codec: mimi_codec.TokenCodec, frames: int, rows: int | None = None, seed: int = 0) -> np.ndarray:
    shape = (codec.num_codebooks, frames)
    rng = np.random.default_rng([seed, frames])
    return rng.integers(0, codec.codebook_size, shape if rows is None else (rows, *shape))


def random_latents(codec: mimi_codec.LatentCodec, frames: int, rows: int | None = None, seed: int = 0) -> np.ndarray:
    shape = (codec.decoder_latent_dim, frames)
    rng = np.random.default_rng([seed, frames])
    return rng.standard_normal(shape if rows is None else (rows, *shape), np.float32)


def code2wav_delay(rates: list[int]) -> int:
    """Samples that the trimmed starts of transposed convolutions of such rates add up to."""
    return sum(math.prod(rates[index:]) for index in range(len(rates)))
