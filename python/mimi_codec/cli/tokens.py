"""`mimi tokens`: what token files hold, and one kind of them made of another."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CodesError, MimiError
from ..token_files import SUFFIXES, Tokens, format_by_suffix, read_tokens, write_tokens
from ._common import PIPE, Job, Progress, UsageError, add_file_options, plan, positive, run_jobs, say, writing

FORMATS = {file_format: suffix for suffix, file_format in SUFFIXES.items()}
SHOWN_FRAMES = 8


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = verbs.add_parser(
        "tokens",
        help="show and convert token files",
        description=f"Show what token files ({', '.join(SUFFIXES)}) hold, or with -o convert them. The kind is told by "
        "content, and made by the suffix of the output or --format. Directories are searched and mirrored.",
    )
    parser.add_argument("inputs", nargs="+", metavar="IN", help=f"token files, directories, or {PIPE} for a pipe")
    parser.add_argument("-o", "--output", metavar="OUT", help=f"token file, directory, or {PIPE}; without it, show")
    parser.add_argument("--format", choices=list(FORMATS), help="kind of file to make (default: by suffix)")
    parser.add_argument("-k", "--codebooks", type=positive, metavar="K", help="only the first K codebooks")
    parser.add_argument("--frames", type=_frame_range, metavar="A:B", help="only frames A to B; either may be left out")
    add_file_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show or convert all inputs; the exit code."""
    if args.output is None:
        if args.format or args.force:
            raise UsageError("--format and --force go with -o")
        return _show(args)
    jobs = plan(args.inputs, args.output, list(SUFFIXES), FORMATS[args.format or "safetensors"])
    formats = {
        job: args.format or ("safetensors" if job.target is None else format_by_suffix(job.target)) for job in jobs
    }

    def work(job: Job, _: Progress) -> dict[str, Any]:
        tokens = _cut(read_tokens(sys.stdin.buffer if job.source is None else job.source), args)
        with writing(job.target) as file:
            write_tokens(file, tokens, formats[job])
        return {"seconds": tokens.seconds, "frames": tokens.num_frames, "codebooks": tokens.num_codebooks}

    return run_jobs("transcode", jobs, work, args)


def _show(args: argparse.Namespace) -> int:
    names: list[str] = []
    for name in args.inputs:
        path = Path(name)
        found = [str(file) for file in sorted(path.rglob("*")) if file.suffix.lower() in SUFFIXES]
        names += found if path.is_dir() else [name]
    all_facts, failed = [], False
    for name in names:
        try:
            tokens = _cut(read_tokens(sys.stdin.buffer if name == PIPE else name), args)
        except (MimiError, OSError) as error:
            say(f"mimi: {name}: {getattr(error, 'strerror', None) or error}")
            failed = True
            continue
        facts = {"path": name, **statistics(tokens)}
        all_facts.append(facts)
        if not args.json:
            print("\n".join(_lines(facts, tokens)))
    if args.json:
        print(json.dumps(all_facts if len(all_facts) != 1 else all_facts[0], indent=2))
    return 1 if failed else 0


def statistics(tokens: Tokens) -> dict[str, Any]:
    """What a token file says of its codes, and how often each is used."""
    rows = [_row_statistics(row) for row in tokens.codes]
    return {
        "model": tokens.model,
        "revision": tokens.revision,
        "seconds": tokens.seconds,
        "samples": tokens.num_samples,
        "frames": tokens.num_frames,
        "codebooks": tokens.num_codebooks,
        "codebook_size": tokens.codebook_size,
        "frame_rate": tokens.frame_rate,
        "bits_per_second": tokens.bits_per_second,
        "entropy_bits_per_second": sum(row["entropy_bits"] for row in rows) * tokens.frame_rate,
        "rows": rows,
    }


def _row_statistics(row: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, Any]:
    codes, counts = np.unique(row, return_counts=True)
    shares = counts / max(1, row.size)
    top = int(counts.argmax()) if counts.size else None
    return {
        "codes_used": int(codes.size),
        "entropy_bits": max(0.0, float(-(shares * np.log2(shares)).sum())),
        "most_frequent": None if top is None else int(codes[top]),
        "most_frequent_share": 0.0 if top is None else float(shares[top]),
    }


def _lines(facts: dict[str, Any], tokens: Tokens) -> list[str]:
    lines = [
        f"{facts['path']}",
        f"  model     {facts['model']}" + (f" at {facts['revision']}" if facts["revision"] else ""),
        f"  codes     {facts['codebooks']} codebooks of {facts['codebook_size']}, {facts['frames']} frames at "
        f"{facts['frame_rate']:g} Hz, {facts['seconds']:.2f} s",
        f"  bit rate  {facts['bits_per_second']:g} bits per second, {facts['entropy_bits_per_second']:.0f} by the "
        "entropy of each codebook in this clip",
        "  codebook  used  entropy  most frequent   first codes",
    ]
    for index, (row, codes) in enumerate(zip(facts["rows"], tokens.codes, strict=True)):
        frequent = "-" if row["most_frequent"] is None else f"{row['most_frequent']} ({row['most_frequent_share']:.0%})"
        first = " ".join(f"{code:4d}" for code in codes[:SHOWN_FRAMES]) + (" ..." if len(codes) > SHOWN_FRAMES else "")
        lines.append(
            f"  {index:8d}  {row['codes_used']:4d}  {row['entropy_bits']:7.2f}  {frequent:14s} {first}".rstrip()
        )
    return lines


def _cut(tokens: Tokens, args: argparse.Namespace) -> Tokens:
    """The codebooks and frames that were asked for."""
    if args.codebooks is not None and args.codebooks > tokens.num_codebooks:
        raise CodesError(f"the file has {tokens.num_codebooks} codebooks, asked for {args.codebooks}")
    start, stop = args.frames or (0, None)
    stop = tokens.num_frames if stop is None else stop
    if not 0 <= start <= stop <= tokens.num_frames:
        raise CodesError(f"the file has {tokens.num_frames} frames, asked for {start}:{stop}")
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
        raise argparse.ArgumentTypeError(f"expected A:B, got {text!r}") from None
