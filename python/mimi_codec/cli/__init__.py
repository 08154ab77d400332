"""The command line: `mimi encode`, `decode`, `tokenize`, `serve`, `info`, `pack`, `tokens`, `demo` and
`bench`.

Exit codes: 0 all done, 1 something failed, 2 wrong usage, 130 interrupted, 143 ended by SIGTERM; a server that a signal
has ended in order is done. Data goes to the standard output, messages to the standard error.

* `console`, `options`, `inputs`, `output`: streams, options, what is read, what is written
* `plan`: what to make of which input; `work`: doing it; `progress`, `report`: telling of it
* `sounds`, `facts`, `several`: sound in and out, and what files are
* a module for each command; `picture`: that of the demo
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from .. import __version__
from ..errors import MimiError
from . import bench, console, decode, demo, encode, info, pack, serve, tokenize, tokens
from .console import UsageError, say
from .work import answering_signals, exit_code

__all__ = ["main"]

FAILED, WRONG_USAGE = 1, 2

EXAMPLES = """\
  mimi demo                                     without a network: what it does, in files to listen to
  mimi encode talk.wav -o talk.safetensors
  mimi decode talk.safetensors -o decoded.wav
  mimi encode --help                            all options of a command, with examples"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after `mimi`; those of this process without it.

    Returns:
        The exit code: 0, 1 if something failed, 2 for wrong usage, 130 after Ctrl-C, 143 after SIGTERM.

    Example:
        >>> from mimi_codec.cli import main
        >>> main(["info", "no-such-file.wav"])
        1
    """
    console.keep_standard_streams_apart()
    parser = _parser()
    try:
        with answering_signals():
            args = parser.parse_args(argv)
            code: int = args.run(args)
            console.flush()
            return code
    except SystemExit as leave:  # argparse has printed its message
        return leave.code if isinstance(leave.code, int) else WRONG_USAGE
    except UsageError as error:
        say(f"mimi: {error}")
        return WRONG_USAGE
    except KeyboardInterrupt as error:
        say("mimi: interrupted")
        return exit_code(error)
    except BrokenPipeError:
        console.silence()  # the reader of our output has gone
        return FAILED
    except MemoryError as error:
        say(f"mimi: not enough memory: {error}")
        return FAILED
    except (MimiError, OSError) as error:
        say(f"mimi: {error}")
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mimi",
        description="Kyutai's Mimi neural audio codec: speech to codes and back.",
        epilog=f"examples:\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mimi-codec {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for verb in (encode, decode, tokenize, serve, info, pack, tokens, demo, bench):
        verb.add_parser(verbs)
    if "_ARGCOMPLETE" in os.environ:  # the shell asks for completions
        try:
            import argcomplete
        except ImportError:
            return parser
        argcomplete.autocomplete(parser)
    return parser
