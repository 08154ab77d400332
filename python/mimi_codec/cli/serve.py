"""`mimi serve`: sessions of one model for clients on the network, and a page to try it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..token_codec import TokenCodec
from .console import UsageError, say
from .options import DEFAULT_MODEL, Verbs, add_command, add_loading_options, check_codebooks, load_codec, positive

if TYPE_CHECKING:
    from ..serve import Server

TOKEN_VARIABLE = "MIMI_SERVE_TOKEN"  # a command's words are seen by all on its machine, its environment is not

EXAMPLES = """\
  mimi serve demo                             then open http://127.0.0.1:8765/ and speak
  mimi serve kyutai/mimi -k 8 --slots 16 --port 9000
  mimi serve --host 0.0.0.0 --token TOKEN     also for other machines"""


def add_parser(verbs: Verbs) -> None:
    """Describe the command."""
    parser = add_command(
        verbs,
        "serve",
        "sessions over WebSockets, and a page to try them",
        "Encode and decode for many clients at once over WebSockets, with one copy of the weights; docs/serve.md "
        "describes the protocol. The address in a browser shows a page to speak to. Needs the extra [serve].",
        EXAMPLES,
    )
    parser.add_argument(
        "model",
        nargs="?",
        default=DEFAULT_MODEL,
        metavar="MODEL",
        help="directory, file, hub name or 'demo' (default: %(default)s)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on (default: %(default)s, for this machine alone)",
    )
    parser.add_argument(
        "--port", type=_port, default=8765, metavar="N", help="port; 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--slots",
        type=positive,
        default=32,
        metavar="N",
        help="sessions that encode, and sessions that decode, at once (default: %(default)s)",
    )
    parser.add_argument(
        "-k", "--codebooks", type=positive, metavar="K", help="the most codebooks of a session (default: all)"
    )
    parser.add_argument(
        "--token",
        metavar="TOKEN",
        help=f"what clients must show (default: the variable {TOKEN_VARIABLE}, which others cannot see)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="do not say where the server is")
    add_loading_options(parser.add_argument_group("model"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal asks for the end; the exit code."""
    try:
        from ..serve import Server, Settings
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "websockets":
            raise
        raise UsageError("mimi serve needs websockets: pip install 'mimi-codec[serve]'") from None
    token = args.token if args.token is not None else os.environ.get(TOKEN_VARIABLE) or None
    try:
        settings = Settings(args.host, args.port, args.slots, args.codebooks, token)
    except ConfigError as error:
        hint = f" (--token, or the variable {TOKEN_VARIABLE})" if token is None else ""
        raise UsageError(f"{error}{hint}") from error
    model = load_codec(args, args.model, args.revision)
    if not isinstance(model, TokenCodec):
        raise UsageError(f"{model.name} has no codes; mimi serve is for codecs with codebooks")
    if args.codebooks is not None:
        check_codebooks(model, args.codebooks)
    # requests that are not HTTP, by the thousand: some releases of websockets have a traceback for each
    logging.getLogger("mimi_codec.serve.connections").setLevel(logging.CRITICAL)
    with contextlib.suppress(asyncio.CancelledError):  # a second signal
        asyncio.run(_serve(Server(model, settings), quiet=args.quiet))
    return 0


async def _serve(server: Server, *, quiet: bool) -> None:
    """Serve until SIGINT or SIGTERM. A second one ends at once what the first has asked for."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    this = asyncio.current_task()

    def asked() -> None:
        if stop.is_set() and this is not None:
            this.cancel()
        stop.set()

    async with server:
        with contextlib.suppress(NotImplementedError):  # on Windows Ctrl-C cancels this task by itself
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, asked)
        if not quiet:
            say(f"mimi: serving at {server.url}")
        await stop.wait()
        if not quiet:
            say("mimi: closing")


def _port(text: str) -> int:
    if not text.isdecimal() or not int(text[:9]) < 1 << 16:
        raise argparse.ArgumentTypeError(f"must be between 0 and 65535, got {text[:40]!r}")
    return int(text)
