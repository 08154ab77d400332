"""`mimi tokens`: what token files hold, and one kind of them made of another."""

from __future__ import annotations

import argparse
import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._found import find
from ..errors import CodesError
from ..token_codec import TokenCodec
from ..token_files import KYUTAI, SUFFIXES, Codec, FileFormat, Tokens, format_by_suffix, read_tokens, write_tokens
from ..token_files.formats import READ_SUFFIXES
from .console import PIPE, UsageError, binary_input
from .facts import Facts, token_facts, use_of_codes
from .inputs import is_standard_input, named
from .options import (
    Verbs,
    add_command,
    add_file_options,
    add_input_options,
    add_model_options,
    load_codec,
    positive,
)
from .output import is_stream, writing
from .plan import Job, nothing_in, plan
from .progress import Clip
from .several import Listing
from .work import Run

SHOWN_FRAMES = 8

EXAMPLES = """\
  mimi tokens talk.safetensors                     what it holds, how each codebook is used
  mimi tokens talk.safetensors -o talk.mcs         packed: 11 bits per code
  mimi tokens tokens/ -o packed/ --format mcs      a directory
  mimi tokens talk.mcs --frames 100:200 -k 1 --json
  mimi tokens codes.npy -o talk.mcs                bare codes (K, T), taken for those of kyutai/mimi"""


def add_parser(verbs: Verbs) -> None:
    """Describe the command."""
    parser = add_command(
        verbs,
        "tokens",
        "show and convert token files",
        f"Show what token files ({', '.join(READ_SUFFIXES)}) hold, or with -o convert them. The content of a file says "
        "of which kind it is; the suffix of the output, or --format, says which kind to make. Directories are "
        "searched, and their folders are made again in the output. Files that are there already are kept.",
        EXAMPLES,
    )
    add_input_options(parser, "token files")
    parser.add_argument(
        "-o", "--output", metavar="OUT", help=f"token file, directory, or {PIPE}; without it the files are shown"
    )
    parser.add_argument("--format", choices=list(SUFFIXES.values()), help="kind of file to make (default: by suffix)")
    parser.add_argument("-k", "--codebooks", type=positive, metavar="K", help="only the first K codebooks")
    parser.add_argument("--frames", type=_frame_range, metavar="A:B", help="only frames A to B; either may be left out")
    add_file_options(parser, jobs=False)
    add_model_options(parser, default=None, default_text=f"{KYUTAI.model}; used only for files of bare codes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show or convert all inputs; the exit code."""
    names = named(args.inputs, args.list_file)
    if args.output is None and (args.format or args.force):
        raise UsageError("--format and --force go with -o")
    codec = _codec(args)
    if args.output is None:
        return _show(args, names, codec)
    what = plan(names, args.output, READ_SUFFIXES, f".{args.format or 'safetensors'}")
    formats = {job: _format(job, args.format) for job in what.jobs}
    single = len(what.jobs) == 1

    def work(job: Job, _: Clip) -> dict[str, Any]:
        source = binary_input() if job.source is None else job.source
        tokens = _cut(read_tokens(source, codec=codec), args, single)
        with writing(job.target) as file:
            write_tokens(file, tokens, formats[job])
        return {"seconds": tokens.seconds, "frames": tokens.num_frames, "codebooks": tokens.num_codebooks}

    return Run("tokens", "converted", what, args).do(work)


def _codec(args: argparse.Namespace) -> Codec:
    """The codec that bare codes are taken to be of."""
    if args.model in (None, KYUTAI.model):
        return KYUTAI
    model = load_codec(args, args.model, args.revision, parts="decoder")
    if not isinstance(model, TokenCodec):
        raise UsageError(f"--model {args.model}: the codec has latents and no codes")
    return Codec.of(model)


def _format(job: Job, wanted: FileFormat | None) -> FileFormat:
    if wanted is not None or job.target is None or is_stream(job.target):
        return wanted or "safetensors"
    if job.target.suffix.lower() not in SUFFIXES:
        raise UsageError(f"a token file ends in {', '.join(SUFFIXES)}, got {job.target}")
    return format_by_suffix(job.target)


def _show(args: argparse.Namespace, names: list[tuple[str, bool]], codec: Codec) -> int:
    if is_standard_input([name for name, _ in names]):
        names = [(PIPE, False)]
    found = find(names, READ_SUFFIXES)
    if not found.files and not found.unreadable:
        raise UsageError(nothing_in(found, READ_SUFFIXES))
    single = len(found.items) == 1 and not found.items[0].is_directory
    listing = Listing(args, found, single=single)
    for path in found.files:
        listing.add(str(path), partial(_describe, args, path, codec, single), _lines)
    return listing.end()


def _describe(args: argparse.Namespace, path: Path, codec: Codec, single: bool) -> Facts:
    source = binary_input() if str(path) == PIPE else path
    tokens = _cut(read_tokens(source, codec=codec), args, single)
    first = tokens.codes[:, :SHOWN_FRAMES].tolist()
    return {"kind": "tokens", "path": str(path), **token_facts(tokens), **use_of_codes(tokens), "first_codes": first}


def _lines(facts: Facts) -> str:
    lines = [
        f"{facts['path']}",
        f"  model     {facts['model']}" + (f" at {facts['revision']}" if facts["revision"] else ""),
        f"  codes     {facts['codebooks']} codebooks of {facts['codebook_size']}, {facts['frames']} frames at "
        f"{facts['frame_rate']:g} Hz, {facts['seconds']:.2f} s",
        f"  bit rate  {facts['bits_per_second']:g} bits per second, {facts['entropy_bits_per_second']:.0f} by the "
        "entropy of each codebook in this clip",
        "  codebook  used  entropy  most frequent   first codes",
    ]
    more = " ..." if facts["frames"] > SHOWN_FRAMES else ""
    for index, (row, codes) in enumerate(zip(facts["rows"], facts["first_codes"], strict=True)):
        frequent = "-" if row["most_frequent"] is None else f"{row['most_frequent']} ({row['most_frequent_share']:.0%})"
        first = " ".join(f"{code:4d}" for code in codes) + more
        lines.append(
            f"  {index:8d}  {row['codes_used']:4d}  {row['entropy_bits']:7.2f}  {frequent:14s} {first}".rstrip()
        )
    return "\n".join(lines)


def _cut(tokens: Tokens, args: argparse.Namespace, single: bool) -> Tokens:
    """The codebooks and frames that were asked for; of a single file, others are wrong usage."""
    wrong = UsageError if single else CodesError
    if args.codebooks is not None and args.codebooks > tokens.num_codebooks:
        raise wrong(f"the file has {tokens.num_codebooks} codebooks, asked for {args.codebooks}")
    start, stop = args.frames or (0, None)
    stop = tokens.num_frames if stop is None else stop
    if not 0 <= start <= stop <= tokens.num_frames:
        raise wrong(f"the file has {tokens.num_frames} frames, asked for frames {start} to {stop}")
    first, last = (round(frame * tokens.sample_rate / tokens.frame_rate) for frame in (start, stop))
    samples = max(0, min(tokens.num_samples, last) - first)
    codes = np.ascontiguousarray(tokens.codes[: args.codebooks, start:stop])
    return dataclasses.replace(tokens, codes=codes, num_samples=samples)


def _frame_range(text: str) -> tuple[int, int | None]:
    start, colon, stop = text.partition(":")
    try:
        if not colon:
            raise ValueError(text)
        return int(start or 0), int(stop) if stop else None
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected A:B, got {text[:40]!r}") from None
