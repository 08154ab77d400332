"""Clients that do something wrong get an error and lose their own connection; a client beside them notices nothing."""

import asyncio
import json
import socket as sockets

import numpy as np
import pytest
from serving import begin, client, converse, end, error_of, joined, pieces, serving, socket_url
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import signals
from mimi_codec.aio import EncoderSession
from mimi_codec.audio import to_int16
from mimi_codec.serve import pack_codes

CLIP = to_int16(signals.speech()[:10_000])
WRONG, LARGE, INTERNAL, LATER = 1008, 1009, 1011, 1013
LONGEST = 4096  # bytes of a message

# what comes first, then the error
FIRST = {
    "binary": (b"\x01\x00\x00", "wrong_order"),
    "not JSON": ("start", "bad_frame"),
    "not an object": ("[1]", "bad_frame"),
    "deep": ("[" * 4000, "bad_frame"),
    "another type": ('{"type":"end","of":"pcm"}', "wrong_order"),
    "no mode": ('{"type":"start"}', "bad_start"),
    "an unknown mode": ('{"type":"start","mode":"both"}', "bad_start"),
    "a mode that is a list": ('{"type":"start","mode":["encode"]}', "bad_start"),
    "unknown samples": ('{"type":"start","mode":"encode","pcm":"s24le"}', "bad_start"),
    "samples that are a list": ('{"type":"start","mode":"encode","pcm":[]}', "bad_start"),
    "0 codebooks": ('{"type":"start","mode":"encode","codebooks":0}', "bad_start"),
    "too many codebooks": ('{"type":"start","mode":"encode","codebooks":17}', "bad_start"),
    "true codebooks": ('{"type":"start","mode":"encode","codebooks":true}', "bad_start"),
    "an unknown field": ('{"type":"start","mode":"encode","rate":24000}', "bad_start"),
    "too long": (json.dumps({"type": "start", "mode": "encode", "x": "y" * LONGEST}), "too_large"),
}
# the mode, what comes after the start, the error
LATER_ON = {
    "nothing in it": ("encode", [b""], "bad_frame"),
    "an unknown kind": ("encode", [b"\x07\x00\x00"], "bad_frame"),
    "no samples": ("encode", [b"\x01"], "bad_frame"),
    "half a sample": ("encode", [b"\x01\x00\x00\x00"], "bad_frame"),
    "too long": ("encode", [b"\x01" + bytes(LONGEST)], "too_large"),
    "codes to an encoder": ("encode", [pack_codes(np.zeros((8, 1), np.int64), 1024)], "wrong_order"),
    "samples to a decoder": ("decode", [b"\x01\x00\x00"], "wrong_order"),
    "no frames": ("decode", [b"\x02\x08"], "bad_frame"),
    "half a frame": ("decode", [b"\x02\x08" + bytes(9)], "bad_frame"),
    "frames of 0 codebooks": ("decode", [b"\x02\x00" + bytes(9)], "bad_frame"),
    "frames of too many codebooks": ("decode", [b"\x02\x11" + bytes(22)], "bad_frame"),
    "a second start": ("encode", ['{"type":"start","mode":"encode"}'], "wrong_order"),
    "the end of nothing": ("duplex", ['{"type":"end"}'], "bad_frame"),
    "the end of what is not sent": ("encode", [end("codes")], "wrong_order"),
    "the end of a list": ("encode", ['{"type":"end","of":[]}'], "bad_frame"),
    "samples after their end": ("duplex", [end("pcm"), b"\x01\x00\x00"], "wrong_order"),
    "a second end": ("duplex", [end("pcm"), end("pcm")], "wrong_order"),
}


async def beside(server, bad, expected):
    """Let `bad` happen while a good client speaks, and give its result. Both have their places in one batch."""
    async with client(server, "encode") as good:
        happening = asyncio.create_task(bad)
        waiting = pieces(CLIP, 40)
        while not happening.done() and len(waiting) > 1:
            await good.send(waiting.pop(0))
            await asyncio.sleep(0.01)
        result = await happening
        rest = await converse(good, [*waiting, end("pcm")])
    np.testing.assert_array_equal(joined(rest)[1], expected)
    return result


@pytest.fixture
def try_beside(demo):
    """Run `bad(server)` beside a good client."""

    def run(bad, **settings):
        async def main():
            async with serving(demo, **settings) as server:
                return await beside(server, bad(server), demo.encode(CLIP))

        return asyncio.run(main())

    return run


@pytest.mark.parametrize("case", FIRST)
def test_a_wrong_first_message(case, try_beside):
    sent, expected = FIRST[case]

    async def bad(server):
        async with client(server, None) as socket:
            await socket.send(sent)
            return await error_of(socket)

    close = LARGE if expected == "too_large" else WRONG
    assert try_beside(bad, message_bytes=LONGEST) == (expected, close)


@pytest.mark.parametrize("case", LATER_ON)
def test_a_wrong_message_later_on(case, try_beside):
    mode, sent, expected = LATER_ON[case]

    async def bad(server):
        async with client(server, mode) as socket:
            for message in sent:
                await socket.send(message)
            return await error_of(socket)

    close = LARGE if expected == "too_large" else WRONG
    assert try_beside(bad, message_bytes=LONGEST) == (expected, close)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_samples_that_are_not_numbers(value, try_beside):
    async def bad(server):
        async with client(server, "encode", pcm="f32le") as socket:
            await socket.send(b"\x01" + np.full(4000, value, "<f4").tobytes())
            return await error_of(socket)

    assert try_beside(bad) == ("bad_values", WRONG)


def test_a_message_beyond_all_measure_is_not_even_read(try_beside):
    async def bad(server):
        async with client(server, "encode") as socket:
            await socket.send(b"\x01" + bytes(5 * LONGEST))
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            return closed.value.rcvd.code

    assert try_beside(bad, message_bytes=LONGEST) == LARGE


def test_a_flood_of_small_messages_waits_for_itself(demo, try_beside):
    """It is slowed down in its own connection, and still gets what it asked for."""
    sent = [*pieces(CLIP, 5)[:500], end("pcm")]

    async def bad(server):
        async with client(server, "encode") as socket:
            return await converse(socket, sent)

    np.testing.assert_array_equal(joined(try_beside(bad))[1], demo.encode(CLIP[:2500]))


def test_a_client_ahead_of_the_work_is_not_taken_for_dead(demo):
    """Its answer to a ping would wait behind all that it has sent, so there are no pings."""

    async def main():
        async with serving(demo) as server, client(server, "encode"):
            return [each.ping_interval for each in server._sockets.connections]

    assert asyncio.run(main()) == [None]


def test_a_client_that_does_not_read(try_beside):
    """Samples pile up until the time for sending is over; what the server holds meanwhile is bounded by the system."""
    codes = pack_codes(np.zeros((1, 200), np.int64), 1024)

    async def bad(server):
        host, port = "127.0.0.1", int(server.url.rstrip("/").rsplit(":", 1)[1])
        narrow = sockets.socket()
        narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        narrow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(narrow, (host, port))
        async with connect(socket_url(server), sock=narrow, max_size=None) as socket:
            await socket.recv()
            await begin(socket, "decode", pcm="f32le")

            async def send():
                while True:
                    await socket.send(codes)

            sender = asyncio.create_task(send())
            while not server.errors["slow_reader"]:
                await asyncio.sleep(0.01)
            found = await error_of(socket)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            return found

    assert try_beside(bad, send_seconds=0.3) == ("slow_reader", WRONG)


@pytest.mark.parametrize("mode", [None, "encode"])
def test_a_client_that_says_nothing(mode, try_beside):
    async def bad(server):
        async with client(server, mode) as socket:
            return await error_of(socket)

    # long enough for the client beside it, which speaks all the time, on a machine that is busy
    limits = {"start_seconds": 2.0} if mode is None else {"idle_seconds": 2.0}
    assert try_beside(bad, **limits) == ("idle", WRONG)


def test_a_client_that_closes_its_half_of_the_connection(try_beside):
    """It gets no more; its place is free again."""

    async def bad(server):
        async with client(server, "encode") as socket:
            await socket.send(pieces(CLIP, 1920)[0])
            await socket.recv()
            socket.transport.write_eof()
            while server.sessions > 1:
                await asyncio.sleep(0.01)

    try_beside(bad)


def test_bytes_that_are_not_http(try_beside):
    async def bad(server):
        host, port = "127.0.0.1", int(server.url.rstrip("/").rsplit(":", 1)[1])
        answers = []
        for raw in (b"\x00" * 100 + b"\r\n\r\n", b"GET /" + b"a" * 100_000, b"GET / HT"):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(raw)
            writer.write_eof()
            answers.append((await reader.read())[:10])
            writer.close()
        return answers

    assert set(try_beside(bad)) <= {b"", b"HTTP/1.1 4"}  # releases of websockets differ in when they answer


def test_all_places_taken(try_beside):
    async def bad(server):
        async with client(server, None) as socket:
            await socket.send('{"type":"start","mode":"encode"}')
            found = await error_of(socket)
        async with client(server, "decode") as socket:  # the other direction has its own places
            return found, await converse(socket, [end("codes")])

    found, ended = try_beside(bad, slots=1)
    assert found == ("full", LATER)
    assert json.loads(ended[-1]) == {"type": "end", "of": "pcm", "samples": 0}


def test_a_fault_of_the_server(try_beside, monkeypatch, caplog):
    """The client learns that there is one, and the log has it."""
    push = EncoderSession.push

    async def faulty(session, pcm):
        if len(pcm) == 7:
            raise RuntimeError("out of order")
        return await push(session, pcm)

    monkeypatch.setattr(EncoderSession, "push", faulty)

    async def bad(server):
        async with client(server, "encode") as socket:
            await socket.send(b"\x01" + bytes(14))
            return await error_of(socket)

    assert try_beside(bad) == ("internal", INTERNAL)
    assert "RuntimeError: out of order" in caplog.text
