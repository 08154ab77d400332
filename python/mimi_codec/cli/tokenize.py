"""`mimi tokenize`: a corpus of any size to shards of codes or latents, each clip once."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any, get_args

from .._options import PADDINGS
from ..corpora import Summary, status
from ..corpora.formats import FormatName, format_of
from ..corpora.run import SHARDS, Run
from . import sounds
from .console import PIPE, UsageError, say, show
from .inputs import named
from .options import DEFAULT_MODEL, Verbs, add_command, add_model_options, load_codec, positive
from .tokenize_progress import Shown
from .work import exit_code

EXAMPLES = """\
  mimi tokenize recordings/ -o out/ -k 8 --jobs 8         the same command again does what is left
  mimi tokenize clips.jsonl -o out/ -k 32                 a list with a "path" in each line, and an "id" if it likes
  mimi tokenize 'books/**/*.flac' -o out/ --channels first
  mimi tokenize recordings/ -o out/ -k 8 --rank 3 --world 64     shards 3, 67, ... of 256
  mimi tokenize --status -o out/
  mimi tokenize recordings/ -o out/ -k 8 --retry-failed"""


def add_parser(verbs: Verbs) -> None:
    """Describe the command."""
    parser = add_command(
        verbs,
        "tokenize",
        "a corpus of any size to shards",
        "Turn a corpus into shards of codes or latents, each clip exactly once: a shard appears when it is whole, and "
        "the same command does what is left. Clips that fail do not stop the others. Parquet needs the extra "
        "[corpora].",
        EXAMPLES,
    )
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="IN",
        help="directories, sound files, patterns, .tar archives, .jsonl or .csv lists",
    )
    parser.add_argument(
        "--from", dest="list_file", metavar="FILE", help=f"read names of sound files from FILE ({PIPE}: a pipe)"
    )
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="directory of plan.json and data/")
    parser.add_argument("-k", "--codebooks", type=positive, metavar="K", help="codebooks (default: all of the model)")
    parser.add_argument("--latents", action="store_true", help="keep the latents before the quantizer, and no codes")
    parser.add_argument(
        "--format", choices=get_args(FormatName), default="parquet", help="format of the shards (default: %(default)s)"
    )
    parser.add_argument(
        "--channels",
        type=sounds.channels_option,
        default="mix",
        metavar="C",
        help="what to make of several channels: mix (their average, the default), first, a number from 1 up, or "
        "separate (a row for each channel)",
    )
    parser.add_argument("--strict", action="store_true", help="sounds that are damaged or cut short fail as a whole")
    parser.add_argument(
        "--padding", choices=PADDINGS, default=PADDINGS[0], help="how the last frame is filled up (as mimi encode)"
    )
    group = parser.add_argument_group("work")
    group.add_argument(
        "--shards", type=positive, default=SHARDS, metavar="N", help="files of the corpus (default: %(default)s)"
    )
    group.add_argument(
        "-j", "--jobs", type=positive, default=1, metavar="N", help="encode N clips at once with one model (default: 1)"
    )
    group.add_argument("--rank", type=_from_zero, default=0, metavar="R", help="the number of this process, from 0")
    group.add_argument("--world", type=positive, default=1, metavar="W", help="how many processes share the work")
    group.add_argument("--retry-failed", action="store_true", help="try those clips again that failed")
    group.add_argument("--status", action="store_true", help="say how far the corpus is, and do nothing")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on the standard output")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no summary")
    add_model_options(parser, default=DEFAULT_MODEL, default_text=DEFAULT_MODEL)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Tokenize all inputs, or say how far they are; the exit code."""
    if args.status:
        return _status(args)
    items: list[Any] = [
        (os.path.normpath(name), name) if listed else name for name, listed in named(args.inputs, args.list_file)
    ]
    if args.rank >= args.world:
        raise UsageError(f"--rank counts from 0 to --world - 1 = {args.world - 1}, got {args.rank}")
    format_of(args.format)  # a package may be missing: before anything is downloaded
    codebooks = None if args.latents else args.codebooks
    codec = load_codec(args, args.model, args.revision, parts="encoder", num_codebooks=codebooks)
    work = Run(
        items,
        args.output,
        codec,
        num_codebooks=args.codebooks,
        latents=args.latents,
        shards=args.shards,
        jobs=args.jobs,
        rank=args.rank,
        world=args.world,
        channels=args.channels,
        file_format=args.format,
        padding=args.padding,
        strict=args.strict,
        retry_failed=args.retry_failed,
    )
    stopped: KeyboardInterrupt | None = None
    try:
        with Shown(quiet=args.quiet) as shown:
            work.go(shown.tell)
    except KeyboardInterrupt as error:
        stopped = error
    summary = work.summary()
    _report(args, summary, stopped)
    if stopped is not None:
        return exit_code(stopped)
    return 0 if summary.complete and not summary.failures else 1


def _report(args: argparse.Namespace, summary: Summary, stopped: KeyboardInterrupt | None) -> None:
    if args.json:
        show(json.dumps(summary.as_dict(), indent=2))
    if args.quiet or (args.json and stopped is None):
        return
    for name, error in summary.examples.items():
        say(f"mimi: {name}: {error}")
    if summary.failed > len(summary.examples) > 0:
        say("mimi: all failures are in the shards, in the column error")
    say(f"mimi: {summary}")
    if stopped is not None:
        say("mimi: interrupted; the same command again does the rest")
    elif summary.failures and not args.retry_failed:
        say("mimi: --retry-failed tries the failed clips again")


def _status(args: argparse.Namespace) -> int:
    found = status(args.output)
    if args.json:
        show(json.dumps(found.as_dict(), indent=2))
    else:
        show(str(found))
    return 0 if found.complete and not found.failures else 1


def _from_zero(text: str) -> int:
    """An option of at least 0."""
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, got {text[:40]!r}")
    return int(text)
