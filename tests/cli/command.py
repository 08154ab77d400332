"""Run `mimi` in this process, and check its exit code."""

import contextlib
import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

from mimi_codec import Tokens, read_audio, read_tokens
from mimi_codec.cli import main

RATE = 24000
FAILED, WRONG_USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143


@dataclass
class Done:
    stdout: bytes
    stderr: str


def mimi(*arguments, stdin: bytes = b"", code: int = 0, cwd: Path | None = None, **environment: str) -> Done:
    """Run a command on real files as its standard streams, as a shell would give it."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(stdin)
        files[0].seek(0)
        streams = [io.TextIOWrapper(file, "utf-8", errors="backslashreplace") for file in files]
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            stack.enter_context(mock.patch(f"sys.{name}", stream))
        stack.enter_context(mock.patch.dict(os.environ, environment))
        if cwd is not None:
            stack.enter_context(contextlib.chdir(cwd))
        found = main([str(argument) for argument in arguments])
        for stream in streams[1:]:
            stream.flush()
        for file in files[1:]:
            file.seek(0)
        done = Done(files[1].read(), files[2].read().decode())
    assert found == code, f"exit code {found}, expected {code}\n{done.stderr}"
    return done


def files(root: Path) -> set[str]:
    """All files below a directory."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def sound(path: Path) -> np.ndarray:
    return read_audio(path, RATE)


def tokens_in(data: bytes) -> Tokens:
    return read_tokens(io.BytesIO(data))
