"""What clients get over sockets is what the model gives for whole clips, however many there are."""

import asyncio
import json

import numpy as np
import pytest
from serving import client, converse, end, joined, pieces, serving

import signals
from mimi_codec.audio import to_int16
from mimi_codec.serve import pack_codes


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """int16 clips of unequal lengths: with a last frame that is not whole, shorter than a frame, and long."""
    return [
        to_int16(signals.speech()[2000 * i : 2000 * i + n]) for i, n in enumerate((24_001, 700, 1920, 31_111, 9000))
    ]


class TestEncode:
    def test_codes_are_those_of_the_clip_for_several_clients_at_once(self, demo, clips):
        async def one(server, clip, codebooks, length):
            async with client(server, "encode", codebooks=codebooks) as socket:
                got = await converse(socket, [*pieces(clip, length), end("pcm")])
            return joined(got)[1], json.loads(got[-1])

        async def all_of_them():
            async with serving(demo, slots=len(clips)) as server:
                return await asyncio.gather(
                    *(one(server, clip, 16 - 3 * i, 333 * (i + 1)) for i, clip in enumerate(clips))
                )

        for i, (codes, last) in enumerate(asyncio.run(all_of_them())):
            expected = demo.encode(clips[i], num_codebooks=16 - 3 * i)
            np.testing.assert_array_equal(codes, expected)
            assert last == {"type": "end", "of": "codes", "frames": expected.shape[1]}

    def test_f32le(self, demo, speech):
        async def main():
            async with serving(demo) as server, client(server, "encode", pcm="f32le") as socket:
                return await converse(socket, [*pieces(speech[:20_000].astype("<f4"), 5000), end("pcm")])

        np.testing.assert_array_equal(joined(asyncio.run(main()))[1], demo.encode(speech[:20_000]))

    def test_frames_come_before_the_clip_ends(self, demo, clips):
        """A frame is sent when its samples are there: the client waits for it before it sends the next ones."""

        async def main():
            async with serving(demo) as server, client(server, "encode") as socket:
                frames = []
                for data in pieces(clips[0][: 3 * 1920], 1920):
                    await socket.send(data)
                    frames.append(await socket.recv())
                return frames

        codes = joined(asyncio.run(main()))[1]
        np.testing.assert_array_equal(codes, demo.encode(clips[0])[:, :3])

    def test_an_empty_clip(self, demo):
        async def main():
            async with serving(demo) as server, client(server, "encode") as socket:
                return await converse(socket, [end("pcm")])

        assert list(map(json.loads, asyncio.run(main()))) == [{"type": "end", "of": "codes", "frames": 0}]


class TestDecode:
    @pytest.mark.parametrize(("pcm", "kind"), [("s16le", "<i2"), ("f32le", "<f4")])
    def test_audio_is_that_of_the_codes(self, demo, clips, pcm, kind):
        codes = demo.encode(clips[3], num_codebooks=5)

        async def main():
            sent = [pack_codes(codes[:, i : i + 3], 1024) for i in range(0, codes.shape[1], 3)]
            async with serving(demo) as server, client(server, "decode", pcm=pcm) as socket:
                return await converse(socket, [*sent, end("codes")])

        expected = demo.decode(codes)
        got = asyncio.run(main())
        np.testing.assert_array_equal(joined(got, kind)[0], to_int16(expected) if pcm == "s16le" else expected)
        assert json.loads(got[-1]) == {"type": "end", "of": "pcm", "samples": len(expected)}

    def test_clients_with_other_numbers_of_codebooks_at_once(self, demo, clips):
        books = (1, 4, 16)

        async def one(server, count):
            codes = demo.encode(clips[0], num_codebooks=count)
            async with client(server, "decode", pcm="f32le") as socket:
                return await converse(socket, [*(pack_codes(codes[:, [t]], 1024) for t in range(13)), end("codes")])

        async def main():
            async with serving(demo) as server:
                return await asyncio.gather(*(one(server, count) for count in books))

        for count, got in zip(books, asyncio.run(main()), strict=True):
            expected = demo.decode(demo.encode(clips[0], num_codebooks=count))
            np.testing.assert_array_equal(joined(got, "<f4")[0], expected)


class TestDuplex:
    def test_both_directions_at_once_and_one_ends_before_the_other(self, demo, clips):
        """The decoder's half is closed first; the encoder's goes on to its own end."""
        spoken, heard = clips[0], demo.encode(clips[3])

        async def main():
            coded = [pack_codes(heard[:, i : i + 2], 1024) for i in range(0, heard.shape[1], 2)]
            mixed = [part for pair in zip(coded, pieces(spoken, 300), strict=False) for part in pair]
            rest = pieces(spoken, 300)[len(coded) :]
            async with serving(demo) as server, client(server, "duplex", pcm="s16le") as socket:
                return await converse(socket, [*mixed, end("codes"), *rest, end("pcm")])

        got = asyncio.run(main())
        pcm, codes = joined(got)
        np.testing.assert_array_equal(codes, demo.encode(spoken))
        np.testing.assert_array_equal(pcm, to_int16(demo.decode(heard)))
        ends = [json.loads(message)["of"] for message in got if isinstance(message, str)]
        assert ends == ["pcm", "codes"]

    def test_what_it_gives_can_go_straight_back(self, demo, clips):
        """As the page does: codes come, and the first of them go back to be heard."""

        async def main():
            async with serving(demo) as server, client(server, "duplex", pcm="f32le") as socket:
                heard = []
                for data in pieces((clips[0] / np.float32(32768)).astype("<f4"), 1920)[:5]:
                    await socket.send(data)
                    codes = joined([await socket.recv()])[1]
                    await socket.send(pack_codes(codes[:3], 1024))
                    heard.append(await socket.recv())
                return heard

        codes = demo.encode(clips[0], num_codebooks=3)[:, :5]
        np.testing.assert_array_equal(joined(asyncio.run(main()), "<f4")[0], demo.decode(codes))


def test_a_place_is_free_again_when_its_client_is_gone(demo, clips):
    """Ended, closed, or cut off: the next client gets the one place, as new."""

    async def main():
        got = []
        async with serving(demo, slots=1) as server:
            for leave in ("end", "close", "abort"):
                async with client(server, "encode") as socket:
                    if leave == "end":
                        got.append(await converse(socket, [*pieces(clips[4], 4000), end("pcm")]))
                    else:
                        await socket.send(pieces(clips[0], 2000)[0])
                        await socket.recv()
                    if leave == "abort":
                        socket.transport.abort()
                while server.sessions:
                    await asyncio.sleep(0.01)
            async with client(server, "encode") as socket:
                got.append(await converse(socket, [*pieces(clips[4], 4000), end("pcm")]))
        return got

    for messages in asyncio.run(main()):
        np.testing.assert_array_equal(joined(messages)[1], demo.encode(clips[4]))
