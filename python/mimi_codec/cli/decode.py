"""`mimi decode`: token files to WAV files."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from .._arrays import Float32Array
from ..audio import checked, to_int16, write_wav
from ..errors import CodesError
from ..model import Mimi
from ..token_files import SUFFIXES, Tokens, read_tokens
from ._common import (
    PIPE,
    RAW_FORMATS,
    Job,
    Progress,
    UsageError,
    add_file_options,
    add_model_options,
    load_model,
    plan,
    run_jobs,
    writing,
)

BLOCK_SECONDS = 5
WAV = ".wav"


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = verbs.add_parser(
        "decode",
        help="token files to WAV files",
        description="Turn codes into sound, as long as the clip was before its padding. Directories are searched and "
        "mirrored. Each file is decoded by the model that it names, or by --model.",
    )
    parser.add_argument("inputs", nargs="+", metavar="IN", help=f"token files, directories, or {PIPE} for a pipe")
    parser.add_argument("-o", "--output", metavar="OUT", help=f"WAV file, directory, or {PIPE}")
    parser.add_argument("--float", action="store_true", help="write float32 samples instead of 16 bits")
    parser.add_argument("--raw", choices=list(RAW_FORMATS), help=f"write bare samples to {PIPE}, not a WAV file")
    add_file_options(parser)
    add_model_options(parser, default=None, default_text="the one the token file names")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Decode all inputs; the exit code."""
    jobs = plan(args.inputs, args.output, list(SUFFIXES), WAV)
    for job in jobs:
        if job.target is not None and job.target.suffix.lower() != WAV:
            raise UsageError(f"sound is written as {WAV}, got {job.target}")
    if args.raw and jobs[0].target is not None:
        raise UsageError(f"--raw is for the output {PIPE}")
    models: dict[tuple[str, str | None], Mimi] = {}

    def work(job: Job, progress: Progress) -> dict[str, Any]:
        tokens = read_tokens(sys.stdin.buffer if job.source is None else job.source)
        key = (args.model, args.revision) if args.model else (tokens.model, args.revision or tokens.revision)
        if key not in models:
            models[key] = load_model(args, *key, parts="decoder")
        model = models[key]
        _check_fit(tokens, model)
        progress.clip(tokens.seconds)
        pcm = _decode(model, tokens, progress)[: tokens.num_samples]
        with writing(job.target) as file:
            if args.raw:
                samples = to_int16(pcm) if args.raw == "s16le" else checked(pcm).astype(RAW_FORMATS[args.raw])
                file.write(samples.tobytes())
            else:
                write_wav(file, pcm, model.sample_rate, subtype="float32" if args.float else "int16")
        return {"seconds": tokens.seconds, "frames": tokens.num_frames, "codebooks": tokens.num_codebooks}

    return run_jobs("decode", jobs, work, args)


def _check_fit(tokens: Tokens, model: Mimi) -> None:
    """Codes of another codec would decode to noise, so they are refused."""
    expected = (model.sample_rate, model.frame_rate, model.codebook_size)
    found = (tokens.sample_rate, tokens.frame_rate, tokens.codebook_size)
    if expected != found:
        names = "(sample rate, frame rate, codebook size)"
        raise CodesError(f"the codes are not of {model.name}: expected {names} {expected}, got {found}")


def _decode(model: Mimi, tokens: Tokens, progress: Progress) -> Float32Array:
    """The audio of a clip; through a stream in blocks where there is progress to show."""
    if not progress.by_clip:
        return model.decode(tokens.codes)
    stream, block = model.decoder_stream(), max(1, round(BLOCK_SECONDS * model.frame_rate))
    pcm = [np.zeros(0, np.float32)]
    for start in range(0, tokens.num_frames, block):
        part = tokens.codes[:, start : start + block]
        pcm.append(stream.push(part))
        progress.advance(part.shape[1] / model.frame_rate)
    return np.concatenate(pcm)
