"""The command line: `mimi encode`, `decode`, `info`, `tokens`, `demo` and `bench`.

Exit codes: 0 all done, 1 something failed, 2 wrong usage, 130 interrupted. Data goes to the standard output, messages
to the standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import MimiError
from . import bench, decode, demo, encode, info, tokens
from ._common import UsageError, say

__all__ = ["main"]

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="mimi", description="Kyutai's Mimi neural audio codec.")
    parser.add_argument("--version", action="version", version=f"mimi-codec {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for verb in (encode, decode, info, tokens, demo, bench):
        verb.add_parser(verbs)
    try:
        args = parser.parse_args(argv)
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except SystemExit as leave:  # argparse has printed its message
        return leave.code if isinstance(leave.code, int) else WRONG_USAGE
    except UsageError as error:
        say(f"mimi: {error}")
        return WRONG_USAGE
    except KeyboardInterrupt:
        say("mimi: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of our output has gone; what is still buffered must not raise again when Python exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (MimiError, OSError) as error:
        say(f"mimi: {error}")
        return FAILED
