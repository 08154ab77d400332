"""What a model, a token file or a sound file is, as names and values."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from .. import build_info
from .._options import PARTS
from ..audio import AUDIO_SUFFIXES, audio_info
from ..errors import LoadError
from ..model import Mimi
from ..token_codec import TokenCodec
from ..token_files import KYUTAI, SUFFIXES, Tokens, read_tokens
from ..token_files.arrays import INTEGERS
from ..token_files.formats import FORMAT, READ_SUFFIXES
from ..token_files.latents import FORMAT as LATENTS_FORMAT
from ..token_files.latents import LATENT_SUFFIXES, Latents, holds_latents, read_latents
from .options import load_codec

SAFETENSORS = ".safetensors"
PEEKED_BYTES = 1 << 20  # of a safetensors header; one that is longer is that of a model
PACKED = "mimi_packed"  # the entry of the metadata of a packed or compact file
MODEL_FILES = ("config.json", "model.safetensors", "model.safetensors.index.json")

Facts = dict[str, Any]


def is_model_directory(path: Path) -> bool:
    """Whether a directory is a model, and not a collection of files."""
    return path.is_dir() and any((path / name).is_file() for name in MODEL_FILES)


def of_file(args: argparse.Namespace, path: Path) -> Facts:
    """What a file is. Errors are those of reading it."""
    suffix = path.suffix.lower()
    if _packed_parts(path) is not None:
        return of_model(args, str(path))
    if suffix in READ_SUFFIXES and (suffix != SAFETENSORS or _holds_tokens(path)):
        return of_tokens(path)
    if suffix == SAFETENSORS:
        return of_model(args, str(path))
    return {"kind": "audio", "path": str(path), **audio_info(path)}


def known_suffixes() -> list[str]:
    """The suffixes of files that are picked from directories."""
    return [*SUFFIXES, *(suffix for suffix in AUDIO_SUFFIXES if suffix not in SUFFIXES)]


def _holds_tokens(path: Path) -> bool:
    """Whether a safetensors file holds codes or latents, from its header: weights are not integers."""
    header = _header(path)
    if FORMAT.encode() in header or LATENTS_FORMAT.encode() in header:
        return True
    try:
        entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        return bool(entries) and all(entry["dtype"] in INTEGERS for entry in entries.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False  # loading it as a model says what is wrong


def _header(path: Path) -> bytes:
    """The header of a safetensors file; nothing of one that is longer than those of tokens are."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return file.read(size) if size <= PEEKED_BYTES else b""


def _packed_parts(path: Path) -> Any:
    """The halves in a packed or compact file; None for other files. Loading it says what is wrong with it."""
    header = _header(path) if path.is_file() else b""
    if PACKED.encode() not in header:
        return None
    try:
        checksum_and_text = json.loads(header)["__metadata__"][PACKED]
        return json.loads(checksum_and_text.partition(" ")[2])["parts"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def of_tokens(path: Path) -> Facts:
    """What a token file holds, or a file of latents."""
    if path.suffix.lower() in LATENT_SUFFIXES and holds_latents(path.read_bytes()):
        return {"kind": "latents", "path": str(path), **latent_facts(read_latents(path))}
    try:
        return {"kind": "tokens", "path": str(path), **token_facts(read_tokens(path))}
    except LoadError as error:
        try:
            tokens = read_tokens(path, codec=KYUTAI)
        except (ValueError, OSError):
            raise error from None
    named = (
        "model",
        "revision",
        "codec",
        "seconds",
        "samples",
        "frame_rate",
        "sample_rate",
        "codebook_size",
        "bits_per_second",
    )
    facts = token_facts(tokens)
    return {"kind": "bare codes", "path": str(path), **{key: facts[key] for key in facts if key not in named}}


def token_facts(tokens: Tokens) -> Facts:
    """What a token file says of itself."""
    return {
        "model": tokens.model,
        "revision": tokens.revision,
        "codec": tokens.kind,
        "seconds": tokens.seconds,
        "samples": tokens.num_samples,
        "frames": tokens.num_frames,
        "codebooks": tokens.num_codebooks,
        "codebook_size": tokens.codebook_size,
        "sample_rate": tokens.sample_rate,
        "frame_rate": tokens.frame_rate,
        "bits_per_second": tokens.bits_per_second,
    }


def latent_facts(latents: Latents) -> Facts:
    """What a file of latents says of itself."""
    return {
        "model": latents.model,
        "revision": latents.revision,
        "seconds": latents.seconds,
        "samples": latents.num_samples,
        "frames": latents.num_frames,
        "latent_dim": latents.latent_dim,
        "sample_rate": latents.sample_rate,
        "frame_rate": latents.frame_rate,
    }


def sizes(content: Tokens | Latents) -> Facts:
    """How much a frame of a file holds."""
    if isinstance(content, Tokens):
        return {"codebooks": content.num_codebooks}
    return {"latent_dim": content.latent_dim}


def use_of_codes(tokens: Tokens) -> Facts:
    """How often the codes of each codebook are used."""
    rows = [_use_of_row(row) for row in tokens.codes]
    return {"entropy_bits_per_second": sum(row["entropy_bits"] for row in rows) * tokens.frame_rate, "rows": rows}


def _use_of_row(row: np.ndarray[Any, np.dtype[np.int64]]) -> Facts:
    codes, counts = np.unique(row, return_counts=True)
    shares = counts / max(1, row.size)
    top = int(counts.argmax()) if counts.size else None
    return {
        "codes_used": int(codes.size),
        "entropy_bits": max(0.0, float(-(shares * np.log2(shares)).sum())),
        "most_frequent": None if top is None else int(codes[top]),
        "most_frequent_share": 0.0 if top is None else float(shares[top]),
    }


def of_model(args: argparse.Namespace, name: str) -> Facts:
    """What a model is; it is loaded for that."""
    parts = _packed_parts(Path(name))
    model = load_codec(args, name, args.revision, **({"parts": parts} if parts in PARTS else {}))
    if isinstance(model, TokenCodec):
        codes = {
            "codebooks": model.num_codebooks,
            "semantic_codebooks": model.num_semantic_codebooks,
            "codebook_size": model.codebook_size,
            "bits_per_second": model.bits_per_second(),
        }
        config = model.config.to_dict() if isinstance(model, Mimi) else model.config
        latents = {"latent_dim": model.latent_dim}
    else:
        codes = {}
        latents = {"latent_dim": model.latent_dim, "decoder_latent_dim": model.decoder_latent_dim}
        config = model.config
    return {
        "kind": "model",
        "codec": model.kind,
        "model": model.name,
        "revision": model.revision,
        "layout": model.layout,
        "module": model.module,
        "parts": model.parts,
        "sample_rate": model.sample_rate,
        "frame_rate": model.frame_rate,
        "frame_size": model.frame_size,
        "delay": model.delay,
        **codes,
        **latents,
        "weight_bytes": model.weight_bytes,
        "dtype": model.dtype,
        "device": model.device,
        "simd": model.simd,
        "threads": model.threads,
        "build": build_info(),
        "config": config,
    }
