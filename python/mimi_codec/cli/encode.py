"""`mimi encode`: sound files to token files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Float32Array, Int64Array, to_pcm
from .._options import PADDINGS, Padding
from ..audio import AUDIO_SUFFIXES, read_audio
from ..errors import AudioError
from ..model import Mimi
from ..token_files import SUFFIXES, FileFormat, Tokens, format_by_suffix, write_tokens
from ._common import (
    DEFAULT_MODEL,
    PIPE,
    RAW_FORMATS,
    Job,
    Progress,
    UsageError,
    add_file_options,
    add_model_options,
    load_model,
    plan,
    positive,
    run_jobs,
    writing,
)

BLOCK_SECONDS = 5


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = verbs.add_parser(
        "encode",
        help="sound files to token files",
        description="Turn sound into codes. Directories are searched and mirrored. Files are read as mono at the "
        "model's rate; what must be resampled, and what is not PCM WAV, needs the extra [audio].",
    )
    parser.add_argument("inputs", nargs="+", metavar="IN", help=f"sound files, directories, or {PIPE} for a pipe")
    parser.add_argument("-o", "--output", metavar="OUT", help=f"token file, directory, or {PIPE}")
    parser.add_argument("-k", "--codebooks", type=positive, metavar="K", help="codebooks (default: all of the model)")
    parser.add_argument(
        "--format", choices=[suffix[1:] for suffix in SUFFIXES], help=f"of files in a directory and of {PIPE}"
    )
    parser.add_argument(
        "--raw", choices=list(RAW_FORMATS), help=f"{PIPE} is mono samples at the model's rate, not a file"
    )
    parser.add_argument("--padding", choices=PADDINGS, default=PADDINGS[0], help="rule for the last, partial frame")
    add_file_options(parser)
    add_model_options(parser, default=DEFAULT_MODEL, default_text=DEFAULT_MODEL)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Encode all inputs; the exit code."""
    if args.raw and PIPE not in args.inputs:
        raise UsageError(f"--raw is for the input {PIPE}")
    file_format: FileFormat = args.format or "safetensors"
    jobs = plan(args.inputs, args.output, AUDIO_SUFFIXES, f".{file_format}")
    for job in jobs:
        if job.target is not None:
            _check_suffix(job.target, args.format)
    model = load_model(args, args.model, args.revision, parts="encoder", num_codebooks=args.codebooks)

    def work(job: Job, progress: Progress) -> dict[str, Any]:
        pcm = _read(job.source, model.sample_rate, args.raw)
        progress.clip(len(pcm) / model.sample_rate)
        codes = _encode(model, pcm, args.padding, progress)
        tokens = Tokens.of(model, codes, len(pcm))
        with writing(job.target) as file:
            write_tokens(file, tokens, file_format if job.target is None else format_by_suffix(job.target))
        return {"seconds": tokens.seconds, "frames": tokens.num_frames, "codebooks": tokens.num_codebooks}

    return run_jobs("encode", jobs, work, args)


def _check_suffix(target: Path, wanted: str | None) -> None:
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES or (wanted is not None and suffix != f".{wanted}"):
        expected = f".{wanted}" if wanted else " or ".join(SUFFIXES)
        raise UsageError(f"a token file ends in {expected}, got {target}")


def _read(source: Path | None, sample_rate: int, raw: str | None) -> Float32Array:
    if source is not None:
        return read_audio(source, sample_rate)
    if raw is None:
        return read_audio(sys.stdin.buffer, sample_rate)
    data, dtype = sys.stdin.buffer.read(), np.dtype(RAW_FORMATS[raw])
    if len(data) % dtype.itemsize:
        raise AudioError(f"{raw} takes {dtype.itemsize} bytes a sample, got {len(data)} bytes")
    return to_pcm(np.frombuffer(data, dtype))


def _encode(model: Mimi, pcm: Float32Array, padding: Padding, progress: Progress) -> Int64Array:
    """The codes of a clip; through a stream in blocks where there is progress to show."""
    if not progress.by_clip:
        return model.encode(pcm, padding=padding)
    if padding == "moshi":
        pcm = np.pad(pcm, (0, -len(pcm) % model.frame_size))
    stream, block = model.encoder_stream(), BLOCK_SECONDS * model.sample_rate
    codes = []
    for start in range(0, len(pcm), block):
        part = pcm[start : start + block]
        codes.append(stream.push(part))
        progress.advance(len(part) / model.sample_rate)
    return np.concatenate([*codes, stream.flush()], axis=1)
