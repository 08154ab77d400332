"""Options that several commands have."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from typing import Any

from .._devices import DEVICES, to_device
from .._options import DTYPES
from ..errors import ConfigError, DeviceError
from ..latent_codec import LatentCodec
from ..loading import load
from ..model import Mimi
from ..token_codec import TokenCodec
from .console import PIPE, UsageError, say

DEMO = "demo"
DEFAULT_MODEL = "kyutai/mimi"
HALVES = {"encoder": "encode", "decoder": "decode"}

Verbs = Any  # argparse keeps the type of its subparsers to itself


def add_command(verbs: Verbs, name: str, summary: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A command with its help: what it does, and examples."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, min(100, shutil.get_terminal_size().columns - 2)),
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def positive(text: str) -> int:
    """An option of at least 1."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text[:40]!r}") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text[:40]}")
    return number


def add_input_options(parser: argparse.ArgumentParser, what: str) -> None:
    """What is read."""
    parser.add_argument("inputs", nargs="*", metavar="IN", help=f"{what}, directories, or {PIPE} for a pipe")
    parser.add_argument(
        "--from",
        dest="list_file",
        metavar="FILE",
        help=f"read the names of inputs from FILE, one per line ({PIPE}: from the standard input)",
    )


def device(text: str) -> str:
    """An option that names a device."""
    try:
        return to_device(text)
    except DeviceError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("device ")) from None


def add_model_options(
    parser: argparse.ArgumentParser, *, default: str | None, default_text: str, lists_devices: bool = False
) -> None:
    """Which model, and how it runs."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default=default,
        metavar="NAME",
        help=f"directory, file, hub name or {DEMO!r}, of any codec (default: {default_text})",
    )
    add_loading_options(group, lists_devices=lists_devices)


def add_loading_options(group: Any, *, lists_devices: bool = False) -> None:
    """Which of a model's files, and how it runs."""
    add_source_options(group)
    add_computing_options(group, lists_devices=lists_devices)


def add_source_options(group: Any) -> None:
    """Which of a model's files."""
    group.add_argument("--revision", metavar="REV", help="branch, tag or commit of the hub's repository")
    group.add_argument(
        "--module", metavar="M", help="which module of a larger model is meant, where several of them are codecs"
    )
    group.add_argument("--offline", action="store_true", help="use only files on this machine")


def add_computing_options(group: Any, *, lists_devices: bool = False) -> None:
    """How a model runs. With `lists_devices` there may be `--device` without a name, which is then None."""
    group.add_argument(
        "--threads", type=positive, metavar="N", help="threads of one call (default: MIMI_NUM_THREADS, or 1)"
    )
    add_dtype_option(group)
    group.add_argument(
        "--device",
        type=device,
        default=DEVICES[0],
        nargs="?" if lists_devices else None,
        metavar="D",
        help=f"where it runs: {', '.join(DEVICES)}, or one of several as cuda:1 (default: %(default)s)"
        + ("; without a name: list the devices" if lists_devices else ""),
    )


def add_dtype_option(group: Any) -> None:
    """How weights are kept."""
    group.add_argument(
        "--dtype", choices=DTYPES, default=DTYPES[0], help="how weights are stored (default: %(default)s)"
    )


def add_file_options(parser: argparse.ArgumentParser, *, jobs: bool) -> None:
    """How files are written and what is reported."""
    parser.add_argument(
        "-f", "--force", action="store_true", help="overwrite files that are there (otherwise they are kept)"
    )
    if jobs:
        parser.add_argument(
            "-j",
            "--jobs",
            type=positive,
            default=1,
            metavar="N",
            help="work on N files at once with one model (default: 1)",
        )
    parser.add_argument("--json", action="store_true", help="print a summary as JSON on the standard output")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no summary")


def load_codec(args: argparse.Namespace, name: str, revision: str | None, **options: Any) -> TokenCodec | LatentCodec:
    """The codec called `name`, of any kind, with the options of `add_model_options`.

    Raises `UsageError` for a number of codebooks that it does not take, and for a module of the embedded model.
    """
    options = {"threads": args.threads, "dtype": args.dtype, "device": args.device, **options}
    try:
        if name == DEMO:
            if args.module is not None:
                raise UsageError(f"--module {args.module}: the embedded model is not part of a larger one")
            return Mimi.demo(**options)
        if not getattr(args, "quiet", False):
            say(f"mimi: loading {name}")
        return load(name, revision=revision, module=args.module, local_files_only=args.offline, **options)
    except ConfigError as error:
        if options.get("num_codebooks") is not None and "num_codebooks" in str(error):
            raise UsageError(f"-k {options['num_codebooks']}: {error}") from error
        if options.get("parts") in HALVES and "field `parts`" in str(error):
            half = options["parts"]
            raise ConfigError(f"{name} cannot {HALVES[half]}: the codec has no {half}") from error
        raise


def check_codebooks(model: TokenCodec, count: int) -> None:
    """Refuse more codebooks than the model has."""
    if count > model.num_codebooks:
        raise UsageError(f"-k {count}: {model.name} has {model.num_codebooks} codebooks")
