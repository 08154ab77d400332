"""`mimi info`: what models, token files, sound files and devices are."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from .._found import Input, counted, find
from . import devices, facts
from .console import UsageError, show
from .facts import Facts
from .inputs import named
from .options import DEFAULT_MODEL, Verbs, add_command, add_model_options
from .plan import nothing_in
from .several import Listing

EXAMPLES = """\
  mimi info talk.wav
  mimi info recordings/ tokens/               a line for each file, and totals
  mimi info demo                              the embedded model
  mimi info kyutai/mimi --json                with its whole configuration
  mimi info --device                          which devices there are, and what is missing to use one"""


def add_parser(verbs: Verbs) -> None:
    """Describe the command."""
    parser = add_command(
        verbs,
        "info",
        "describe models, token files, sound files and devices",
        "Describe models (directory, file, hub name or 'demo'), token files and sound files. Directories that are not "
        "models are searched; several files are listed with totals.",
        EXAMPLES,
    )
    parser.add_argument(
        "inputs", nargs="*", metavar="WHAT", help="models, token files, sound files, directories (default: --model)"
    )
    parser.add_argument(
        "--from", dest="list_file", metavar="FILE", help="read the names from FILE, one per line (-: standard input)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with the whole configuration of a model")
    add_model_options(parser, default=DEFAULT_MODEL, default_text=DEFAULT_MODEL, lists_devices=True)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the descriptions; the exit code."""
    if args.device is None:
        return _devices(args)
    names = [(args.model, False)] if not args.inputs and args.list_file is None else named(args.inputs, args.list_file)
    models = [name for name, _ in names if facts.is_model_directory(Path(name))]
    searched = [(name, listed) for name, listed in names if name not in models]
    found = find(searched, facts.known_suffixes())
    if found.items and not models and not found.files and not found.unreadable:
        raise UsageError(nothing_in(found, facts.known_suffixes()))
    single = len(names) == 1 and not any(item.is_directory for item in found.items)
    listing = Listing(args, found, single=single)
    text = _all_lines if single else _one_line
    for name in models:
        listing.add(name, partial(facts.of_model, args, name), text)
    for item in found.items:
        for path in item.files:
            listing.add(str(path) if item.is_directory else item.name, partial(_describe, args, item, path), text)
    return listing.end()


def _devices(args: argparse.Namespace) -> int:
    if args.inputs or args.list_file is not None:
        raise UsageError("--device without a name lists the devices, and goes with no other name")
    found = devices.found()
    show(json.dumps(found, indent=2) if args.json else "\n".join(map(devices.line, found)))
    return 0


def _describe(args: argparse.Namespace, item: Input, path: Path) -> Facts:
    """What a file is, or the model of a name that is not a file."""
    if path.exists() or item.is_directory:
        return facts.of_file(args, path)
    if path.suffix.lower() in facts.known_suffixes():
        raise FileNotFoundError(2, "No such file or directory", item.name)
    return facts.of_model(args, item.name)


def _all_lines(found: Facts) -> str:
    shown = {key.replace("_", " "): value for key, value in found.items() if key != "config"}
    width = max(map(len, shown))
    return "\n".join(f"{key:{width}}  {_text(value)}" for key, value in shown.items())


def _one_line(found: Facts) -> str:
    if found["kind"] == "audio":
        channels = counted(found["channels"], "channel")
        said = f"{found['seconds']:.2f} s, {found['sample_rate']} Hz, {channels}, {found['format']}"
    elif found["kind"] == "model":
        latents = f"latents of {found['latent_dim']}"
        gives = f"{found['codebooks']} codebooks of {found['codebook_size']}" if "codebooks" in found else latents
        said = f"{found['codec']}, {gives}, {found['weight_bytes']} bytes of weights"
    else:
        seconds = f"{found['seconds']:.2f} s, " if "seconds" in found else ""
        model = f", {found['model']}" if "model" in found else ""
        height = f"{found['codebooks']} codebooks" if "codebooks" in found else f"latents of {found['latent_dim']}"
        said = f"{seconds}{height} x {found['frames']} frames{model}"
    return f"{found.get('path', found.get('model'))}: {found['kind']}, {said}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else str(value)
