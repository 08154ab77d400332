"""The terminal: messages and results on standard streams that may be closed, absent, or unable to show a letter."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import BinaryIO

PIPE = "-"
STANDARD_OUTPUT = (PIPE, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
STANDARD_INPUT = (PIPE, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
SHORTEST_NAME = 4  # that is looked for in a message: "a" is in most


class UsageError(Exception):
    """Options or inputs that do not go together."""


def say(message: str) -> None:
    """A message for the person at the terminal; lost without an error if there is nobody."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # absent, closed by Python, closed by the caller
        print(message, file=sys.stderr, flush=True)


def about(name: str, message: str) -> str:
    """A message with the name of what it is about in front, unless it says that itself."""
    return message if len(name) >= SHORTEST_NAME and name in message else f"{name}: {message}"


def show(text: str) -> None:
    """A result on the standard output. Letters that it cannot show are escaped."""
    stream = sys.stdout
    if stream is None or stream.closed:
        return
    encoding = stream.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(text)
    except OSError as error:
        _failed(error)


def flush() -> None:
    """Write out what `show` has left in memory. Raises `BrokenPipeError` if the reader has gone."""
    stream = sys.stdout
    if stream is None or stream.closed:
        return
    try:
        stream.flush()
    except OSError as error:
        _failed(error)


def _failed(error: OSError) -> None:
    """The standard output has failed, which does not matter if there is none."""
    silence()  # what is still in memory must not raise again when Python ends
    if isinstance(error, BrokenPipeError):
        raise error
    if error.errno != errno.EBADF:
        raise OSError(f"cannot write to the standard output: {error.strerror}") from error


def silence() -> None:
    """Send what the standard output still holds nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def keep_standard_streams_apart() -> None:
    """Fill the places of closed standard streams, which the next file to be opened would take otherwise."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def is_terminal(*, errors: bool) -> bool:
    """Whether the standard error or output is a terminal."""
    stream = sys.stderr if errors else sys.stdout
    return stream is not None and not stream.closed and stream.isatty()


def binary_input() -> BinaryIO:
    """The standard input as bytes."""
    if sys.stdin is None:
        raise UsageError(f"the input is {PIPE}, but the standard input is closed")
    return sys.stdin.buffer


def binary_output() -> BinaryIO:
    """The standard output as bytes, in a file that writes all or raises.

    With PYTHONUNBUFFERED `sys.stdout.buffer` may write a part and say nothing.
    """
    if sys.stdout is None:
        raise UsageError(f"the output is {PIPE}, but the standard output is closed")
    sys.stdout.flush()
    return open(sys.stdout.fileno(), "wb", closefd=False)
