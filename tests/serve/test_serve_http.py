"""Plain HTTP beside the WebSockets, and who is let in."""

import asyncio
import json
import re

import pytest
import websockets
from serving import client, converse, end, error_of, get, pieces, serving, socket_url
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import mimi_codec
import signals
from mimi_codec.audio import to_int16
from mimi_codec.errors import ConfigError
from mimi_codec.serve import PROTOCOL, Server, Settings

SAMPLE = re.compile(r'mimi_[a-z0-9_]+(\{[a-z]+="[a-z_]+"\})? -?[0-9.e+-]+')
TOKEN = "open sesame/?&"


def ask(model, *requests, **settings):
    """The answers to (path, headers) of one server."""

    async def main():
        async with serving(model, **settings) as server:
            return [await get(server, path, **headers) for path, headers in requests]

    return asyncio.run(main())


def test_hello_says_versions_and_limits(demo):
    async def main():
        async with serving(demo, codebooks=12) as server, connect(socket_url(server)) as socket:
            return json.loads(await socket.recv())

    hello = asyncio.run(main())
    assert (hello["protocol"], hello["package"], hello["model"]) == (PROTOCOL, mimi_codec.__version__, "demo")
    assert (hello["sample_rate"], hello["frame_rate"], hello["frame_size"]) == (24000, 12.5, 1920)
    assert (hello["codebooks"], hello["codebook_size"], hello["bits_per_code"]) == (12, 1024, 10)
    assert (hello["modes"], hello["pcm"]) == (["encode", "decode", "duplex"], ["s16le", "f32le"])
    assert hello["limits"] == {"message_bytes": 1 << 18, "start_seconds": 10, "idle_seconds": 60, "send_seconds": 10}


def test_health(demo):
    [(status, headers, body)] = ask(demo, ("/health", {}), token=TOKEN)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {"status": "ok", "package": mimi_codec.__version__, "model": "demo", "slots": 32}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_health_notices_that_nothing_computes_any_more(demo):
    async def main():
        async with serving(demo) as server:
            server._pool._engine.lanes["encoder"]._call = None  # so that a call ends in a TypeError
            async with client(server, "encode") as socket:
                await socket.send(pieces(to_int16(signals.speech()[:5000]), 5000)[0])
                assert await error_of(socket) == ("internal", 1011)
            return await get(server, "/health")

    status, _, body = asyncio.run(main())
    assert (status, json.loads(body)["status"]) == (503, "failed")


def test_metrics_count(demo):
    async def main():
        async with serving(demo, slots=3) as server:
            async with client(server, "encode") as socket:
                await converse(socket, [*pieces(to_int16(signals.speech()[:5000]), 1000), end("pcm")])
            async with client(server, "decode") as socket:
                await socket.send(b"\x09")
                await error_of(socket)
            async with client(server, "duplex"):
                return await get(server, "/metrics")

    status, headers, body = asyncio.run(main())
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    lines = body.splitlines()
    assert all(SAMPLE.fullmatch(line) for line in lines if not line.startswith("# "))
    for expected in (
        'mimi_sessions_total{mode="encode"} 1',
        'mimi_sessions_total{mode="decode"} 1',
        'mimi_sessions{mode="encode"} 0',
        'mimi_sessions{mode="duplex"} 1',
        'mimi_errors_total{error="bad_frame"} 1',
        'mimi_frames_total{direction="encode"} 3',
        "mimi_pool_slots 3",
        "mimi_pool_encoder_slots_used 1",
    ):
        assert expected in lines


def test_the_page_and_its_files(demo):
    """All that the page asks for is there, and nothing of other servers."""
    [(status, headers, page)] = ask(demo, ("/", {}))
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    names = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    scripts = ask(demo, *((name, {}) for name in names))
    more = [f"/{name.removeprefix('./').lstrip('/')}" for _, _, text in scripts for name in imports(text)]
    assert {"/wire.js", "/pictures.js", "/worklets.js"} <= set(more)
    for status, headers, _ in [*scripts, *ask(demo, *((name, {}) for name in more))]:
        assert status == 200
        assert headers["Content-Type"].startswith(("text/javascript", "text/css"))
    assert "http" not in re.sub(r'"https?:"', "", page + "".join(text for _, _, text in scripts))


def imports(script: str) -> list[str]:
    return re.findall(r'(?:from|addModule\() ?"([^"]+)"', script)


@pytest.mark.parametrize("path", ["/nothing", "/../server.py", "/page/index.html", "//", "/v1/x", "/%2e%2e/server.py"])
def test_other_paths(path, demo):
    assert ask(demo, (path, {}))[0][0] == 404


def test_a_plain_request_for_the_socket(demo):
    assert ask(demo, ("/v1", {}))[0][0] == 426


def test_other_methods(demo):
    """HEAD is GET without the body; nothing can be put here."""
    (status, headers, body), (wrong, allowed, _) = ask(demo, ("/health", {"method": "HEAD"}), ("/", {"method": "POST"}))
    if int(websockets.__version__.partition(".")[0]) < 17:  # these close the connection at once
        assert (status, wrong) == (0, 0)
        return
    assert (status, body) == (200, "")
    assert int(headers["Content-Length"]) > 50
    assert (wrong, allowed["Allow"]) == (405, "GET, HEAD")


class TestToken:
    def test_it_is_asked_for(self, demo):
        wrong = [{}, {"Authorization": "Bearer open"}, {"Authorization": TOKEN}, {"Authorization": "Basic x"}]
        right = [{"Authorization": f"Bearer {TOKEN}"}, {"authorization": f"bearer {TOKEN}"}]
        answers = ask(demo, *(("/metrics", headers) for headers in wrong + right), token=TOKEN)
        assert [status for status, _, _ in answers] == [401] * len(wrong) + [200] * len(right)
        assert answers[0][1]["WWW-Authenticate"] == "Bearer"

    def test_the_page_is_open_and_can_show_it(self, demo):
        paths = ["/", "/page.js", "/metrics?token=open%20sesame%2F%3F%26", "/metrics?token=x", "/metrics?token=%ff"]
        answers = ask(demo, *((path, {}) for path in paths), token=TOKEN)
        assert [status for status, _, _ in answers] == [200, 200, 200, 401, 401]

    def test_sockets_need_it(self, demo):
        async def main():
            async with serving(demo, token=TOKEN) as server:
                with pytest.raises(InvalidStatus) as refused:
                    await connect(socket_url(server)).__aenter__()
                async with connect(
                    socket_url(server), additional_headers={"Authorization": f"Bearer {TOKEN}"}
                ) as socket:
                    return refused.value.response.status_code, json.loads(await socket.recv())["type"]

        assert asyncio.run(main()) == (401, "hello")

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
    def test_no_server_for_others_without_one(self, host):
        with pytest.raises(ConfigError, match="a server needs a token"):
            Settings(host=host)
        assert not Settings(host=host, token="x").loopback

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
    def test_this_machine_alone_needs_none(self, host):
        assert Settings(host=host).loopback

    @pytest.mark.parametrize("token", ["", " ", "a\nb", "é"])
    def test_one_that_cannot_be_shown(self, token):
        with pytest.raises(ConfigError, match="printable ASCII"):
            Settings(token=token)


class TestBrowsers:
    """Pages of other sites can reach this machine too."""

    def test_pages_of_other_sites_are_refused(self, demo):
        cases = [
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Host": "evil.example"}, 403),  # a name of theirs that leads to this machine
            ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
            ({"Host": "[::1]:1"}, 200),
            ({"Host": "127.0.0.1:1", "Origin": "http://127.0.0.1:2"}, 403),
        ]
        answers = ask(demo, *(("/metrics", headers) for headers, _ in cases))
        assert [status for status, _, _ in answers] == [status for _, status in cases]

    def test_with_a_token_the_server_may_have_any_name(self, demo):
        headers = {"Host": "codec.example", "Authorization": "Bearer x"}
        [(status, _, _)] = ask(demo, ("/metrics", headers), token="x")
        assert status == 200


def test_too_many_connections(demo):
    async def main():
        async with serving(demo, slots=1) as server:
            held = [await connect(socket_url(server)) for _ in range(2 + 16)]
            with pytest.raises(InvalidStatus) as refused:
                await connect(socket_url(server))
            for socket in held:
                await socket.close()
            return refused.value.response.status_code

    assert asyncio.run(main()) == 503


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"codebooks": 17}, "codebooks must be between 1 and 16 for demo, got 17"),
        ({"codebooks": 0}, "codebooks must be between 1 and 16"),
        ({"port": 65536}, "port must be between 0 and 65535"),
    ],
)
def test_settings_that_cannot_be(settings, message, demo):
    with pytest.raises(ConfigError, match=message):
        Server(demo, Settings(**settings))


@pytest.mark.parametrize(("parts", "mode", "other"), [("encoder", "encode", "decode"), ("decoder", "decode", "duplex")])
def test_half_a_codec(parts, mode, other):
    async def main():
        async with serving(mimi_codec.Mimi.demo(parts=parts)) as server:
            async with connect(socket_url(server)) as socket:
                hello = json.loads(await socket.recv())
                await socket.send(json.dumps({"type": "start", "mode": other}))
                refused = await error_of(socket)
            async with client(server, mode) as socket:
                return hello["modes"], refused, await converse(socket, [end("pcm" if mode == "encode" else "codes")])

    modes, refused, got = asyncio.run(main())
    assert (modes, refused) == ([mode], ("bad_start", 1008))
    assert json.loads(got[-1])["type"] == "end"
