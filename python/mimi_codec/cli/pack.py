"""`mimi pack`: a model as one file that loads at once and that processes share, or as a small one; or a check."""

from __future__ import annotations

import argparse
from pathlib import Path

from .._options import PARTS
from ..loading import check_packed
from .console import UsageError, say, show
from .options import Verbs, add_command, add_dtype_option, add_source_options, load_codec, positive

EXAMPLES = """\
  mimi pack kyutai/mimi mimi.packed
  mimi encode talk.wav --model mimi.packed
  mimi pack kyutai/mimi small.compact --compact --dtype int8 --parts encoder -k 8
  mimi pack --check mimi.packed               read all of it, and compare the checksums"""


def add_parser(verbs: Verbs) -> None:
    """Describe the command."""
    parser = add_command(
        verbs,
        "pack",
        "write a model as one file that loads at once, or a small one",
        "Write a model's weights, arranged for this processor, with its configuration, into one file. A process that "
        "loads it maps the file instead of reading it, and all processes of a machine share it. With --compact the "
        "file is as small as it can be, and the same on every processor.",
        EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="directory, file, hub name or 'demo'; with --check the file")
    parser.add_argument("output", nargs="?", type=Path, metavar="OUT", help="the file to write")
    parser.add_argument("--compact", action="store_true", help="a file that is small instead of mapped")
    parser.add_argument("--check", action="store_true", help="check a file that is there, on any processor")
    parser.add_argument("--parts", choices=PARTS, default=PARTS[0], help="which halves (default: %(default)s)")
    parser.add_argument("-k", "--codebooks", type=positive, metavar="K", help="only the first codebooks (default: all)")
    add_source_options(parser)
    add_dtype_option(parser)
    parser.add_argument("-f", "--force", action="store_true", help="replace a file that is there")
    parser.set_defaults(run=run, threads=1, device="cpu")


def run(args: argparse.Namespace) -> int:
    """Pack or check; the exit code."""
    if args.check:
        if args.output is not None or args.compact:
            raise UsageError("--check reads one file and writes none")
        check_packed(args.model)
        show(f"{args.model}: all checksums are right")
        return 0
    if args.output is None:
        raise UsageError("give the file to write, or --check for one that is there")
    if args.output.exists() and not args.force:
        raise UsageError(f"{args.output} is there already; --force replaces it")
    codec = load_codec(args, args.model, args.revision, parts=args.parts, num_codebooks=args.codebooks)
    if args.compact:
        codec.save(args.output, dtype=codec.dtype)
    else:
        codec.save(args.output, packed=True)
    use = "every processor" if args.compact else codec.simd
    say(f"mimi: wrote {args.output} for {use}: {args.output.stat().st_size / 1e6:.0f} MB")
    return 0
