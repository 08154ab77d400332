"""`mimi serve` as a process: where it says that it is, how it ends, and what it refuses before it begins."""

import asyncio
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from serving import begin, converse, end, joined, pieces
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import signals
from mimi_codec.audio import to_int16
from mimi_codec.cli import main
from mimi_codec.synthetic import POCKET_TTS, write_synthetic_latents

WATCHDOG = 60
CLIP = to_int16(signals.speech()[:10_000])
SIGNALS = [signal.SIGTERM, signal.SIGINT]


@contextmanager
def command(*options: str, **environment: str):
    """A server in a process of its own, and its address."""
    words = [sys.executable, "-m", "mimi_codec", "serve", "demo", "--port", "0", *options]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ | environment)
    try:
        line = process.stderr.readline()
        found = re.fullmatch(r"mimi: serving at (http://\S+/)\n", line)
        assert found, line + process.stderr.read()
        yield process, found[1].replace("http", "ws") + "v1"
    finally:
        process.kill()
        process.communicate(timeout=WATCHDOG)


def ended(process: subprocess.Popen) -> str:
    """The rest of what it says; it must have ended in order."""
    _, said = process.communicate(timeout=WATCHDOG)
    assert process.returncode == 0, said
    return said


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_and_clients_finish_their_clips(number, demo):
    """A client in the middle of its clip is told, goes on, and gets all of it; new ones find nobody."""

    async def talk(process, url):
        async with connect(url) as socket:
            await socket.recv()
            await begin(socket, "encode")
            await socket.send(pieces(CLIP, 4000)[0])
            process.send_signal(number)
            told = []
            while not told or isinstance(told[-1], bytes):
                told.append(await socket.recv())
            assert json.loads(told[-1]) == {"type": "closing", "seconds": 5.0}
            return [*told, *await converse(socket, [*pieces(CLIP, 4000)[1:], end("pcm")])]

    with command() as (process, url):
        got = asyncio.run(talk(process, url))
        assert ended(process) == "mimi: closing\n"
    np.testing.assert_array_equal(joined(got)[1], demo.encode(CLIP))


def test_a_second_signal_does_not_wait_for_clients():
    async def talk(process, url):
        async with connect(url) as socket:
            await socket.recv()
            await begin(socket, "duplex")
            process.send_signal(signal.SIGTERM)
            assert json.loads(await socket.recv())["type"] == "closing"
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            return closed.value.rcvd.code

    with command() as (process, url):
        assert asyncio.run(talk(process, url)) == 1001
        ended(process)


def test_requests_that_are_not_http_do_not_fill_the_terminal():
    async def knock(port):
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"\x16\x03\x01\r\n\r\n")
            await reader.read()
            writer.close()

    with command() as (process, url):
        asyncio.run(knock(int(re.search(r":(\d+)/", url)[1])))
        process.terminate()
        assert ended(process) == "mimi: closing\n"


def test_the_token_of_the_environment():
    async def talk(url):
        async with connect(f"{url}?token=secret") as socket:
            return json.loads(await socket.recv())["codebooks"]

    with command("-k", "3", MIMI_SERVE_TOKEN="secret") as (process, url):
        assert asyncio.run(talk(url)) == 3
        process.terminate()
        assert "secret" not in ended(process)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "a server needs a token (--token, or the variable MIMI_SERVE_TOKEN)"),
        (["--token", ""], "a token must have printable ASCII"),
        (["-k", "17"], "-k 17: demo has 16 codebooks"),
        (["--port", "65536"], "must be between 0 and 65535, got '65536'"),
        (["--port", "x"], "must be between 0 and 65535, got 'x'"),
        (["--slots", "0"], "must be at least 1, got 0"),
    ],
)
def test_wrong_usage(options, message, capsys):
    assert main(["serve", "demo", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_codec_without_codes(tmp_path, capsys):
    widths = {"num_filters": 4, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "head_dim": 16}
    config = dataclasses.replace(POCKET_TTS, **widths, num_key_value_heads=2, upsample_groups=32)
    write_synthetic_latents(tmp_path / "pocket", config)
    assert main(["serve", str(tmp_path / "pocket")]) == 2
    assert "has no codes" in capsys.readouterr().err


def test_a_port_that_is_taken(capsys):
    with command() as (_, url):
        assert main(["serve", "demo", "--port", re.search(r":(\d+)/", url)[1]]) == 1
    assert "address already in use" in capsys.readouterr().err


def test_without_websockets(run_python):
    script = "from mimi_codec.cli import main; print(main(['serve', 'demo']), main(['--version']))"
    names = ["websockets", "websockets.asyncio", "websockets.asyncio.server"]
    assert run_python(script, without=names).endswith("2 0\n")
