"""The client of docs/serve.md as it stands, against a server."""

import asyncio

import numpy as np
import pytest
from serving import in_thread

import doc_code
import signals
from mimi_codec.audio import to_int16


@pytest.fixture
def address(demo, monkeypatch):
    """Where the page's client finds a server, which runs in a thread: the client has its own loop."""
    with in_thread(demo) as url:
        monkeypatch.setenv("MIMI_URL", url.replace("http", "ws") + "v1")
        yield url


def test_the_client_of_the_page(address, demo, monkeypatch, tmp_path, capsys):
    space = {}
    monkeypatch.chdir(tmp_path)
    client, own = doc_code.blocks(doc_code.ROOT / "docs/serve.md")
    exec(compile(client, "docs/serve.md", "exec"), space)
    assert capsys.readouterr().out == "(8, 25)\n"
    clip = to_int16(signals.speech()[:20_001])
    codes = asyncio.run(space["encode"](clip, 5))
    np.testing.assert_array_equal(codes, demo.encode(clip, num_codebooks=5))
    exec(compile(own, "docs/serve.md", "exec"), space)
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


def test_the_client_is_as_short_as_it_says():
    client = next(doc_code.blocks(doc_code.ROOT / "docs/serve.md")).strip().splitlines()
    assert len([line for line in client if line.strip() and not line.startswith(("import", "from"))]) <= 25
