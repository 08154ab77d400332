"""`mimi info`: what a model, a token file or a sound file is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .. import build_info
from ..audio import audio_info
from ..token_files import SUFFIXES, read_tokens
from ..token_files.formats import FORMAT
from ._common import DEFAULT_MODEL, add_model_options, load_model

HEADER_BYTES = 1 << 16  # in which the metadata of a token file lie


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = verbs.add_parser(
        "info",
        help="describe a model, a token file or a sound file",
        description="Describe a model (directory, file, hub name or 'demo'), a token file or a sound file.",
    )
    parser.add_argument("target", nargs="?", metavar="WHAT", help="model, token file or sound file (default: --model)")
    parser.add_argument("--json", action="store_true", help="print JSON, with the whole configuration of a model")
    add_model_options(parser, default=DEFAULT_MODEL, default_text=DEFAULT_MODEL)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the description; the exit code."""
    target = args.target or args.model
    path = Path(target)
    if path.is_file() and _holds_tokens(path):
        facts = _token_facts(path)
    elif path.is_file() and path.suffix.lower() != ".safetensors":
        facts = {"kind": "audio", "path": target, **audio_info(path)}
    else:
        facts = _model_facts(args, target)
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        facts.pop("config", None)
        width = max(map(len, facts))
        for key, value in facts.items():
            print(f"{key.replace('_', ' '):{width}}  {_text(value)}")
    return 0


def _holds_tokens(path: Path) -> bool:
    if path.suffix.lower() != ".safetensors":
        return path.suffix.lower() in SUFFIXES
    with open(path, "rb") as file:
        return FORMAT.encode() in file.read(HEADER_BYTES)


def _token_facts(path: Path) -> dict[str, Any]:
    tokens = read_tokens(path)
    return {
        "kind": "tokens",
        "path": str(path),
        "model": tokens.model,
        "revision": tokens.revision,
        "seconds": tokens.seconds,
        "samples": tokens.num_samples,
        "frames": tokens.num_frames,
        "codebooks": tokens.num_codebooks,
        "codebook_size": tokens.codebook_size,
        "sample_rate": tokens.sample_rate,
        "frame_rate": tokens.frame_rate,
        "bits_per_second": tokens.bits_per_second,
    }


def _model_facts(args: argparse.Namespace, name: str) -> dict[str, Any]:
    model = load_model(args, name, args.revision)
    return {
        "kind": "model",
        "model": model.name,
        "revision": model.revision,
        "layout": model.layout,
        "sample_rate": model.sample_rate,
        "frame_rate": model.frame_rate,
        "frame_size": model.frame_size,
        "codebooks": model.num_codebooks,
        "semantic_codebooks": model.num_semantic_codebooks,
        "codebook_size": model.codebook_size,
        "bits_per_second": model.bits_per_second(),
        "latent_dim": model.latent_dim,
        "weight_bytes": model.weight_bytes,
        "dtype": model.dtype,
        "device": model.device,
        "simd": model.simd,
        "threads": model.threads,
        "build": build_info(),
        "config": model.config.to_dict(),
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else str(value)
