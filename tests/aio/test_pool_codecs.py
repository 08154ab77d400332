"""Pools of the other codecs: latents, a decoder that is late, halves; bounds and numbers of a pool."""

import asyncio

import numpy as np
import pytest
from pools import Gate, decode, encode, pieces, until

import mimi_codec
import signals
from mimi_codec import ConfigError, InputTypeError, LatentsError, SessionFull
from mimi_codec.aio import PoolStats, SessionPool
from mimi_codec.synthetic import write_synthetic_family, write_synthetic_latents
from stream_cases import HOP


@pytest.mark.parametrize("kind", ["pocket", "vibevoice"])
def test_latents(tmp_path, kind):
    path = tmp_path / kind
    codec = mimi_codec.load(
        write_synthetic_latents(path) if kind == "pocket" else write_synthetic_family(path, "vibevoice")
    )
    pcm = signals.noise(6 * codec.frame_size + 3)
    want = codec.encode_latents(pcm)

    async def main():
        rng = np.random.default_rng(1)
        async with SessionPool(codec, slots=2) as pool, pool.duplex() as a, pool.duplex() as b:
            for latents in await asyncio.gather(*(encode(s.encoder, pieces(pcm, rng, 5)) for s in (a, b))):
                np.testing.assert_array_equal(latents, want)
            for audio in await asyncio.gather(*(decode(s.decoder, pieces(want, rng, 3)) for s in (a, b))):
                np.testing.assert_array_equal(audio, codec.decode_latents(want))
            with pytest.raises(LatentsError):
                await a.decoder.push(want[:-1])
            with pytest.raises(LatentsError):
                await b.decoder.push(np.full_like(want, np.nan))

    asyncio.run(main())
    with pytest.raises(ConfigError, match="num_codebooks must be None"):
        SessionPool(codec, num_codebooks=4)


def test_a_decoder_that_is_late(tmp_path):
    """Code2Wav gives the first frames of a clip `delay` samples late, in every session by itself."""
    codec = mimi_codec.load(write_synthetic_family(tmp_path / "code2wav", "code2wav"))
    assert codec.delay > 0
    codes = np.random.default_rng(0).integers(0, codec.codebook_size, (codec.num_codebooks, 7))

    async def main():
        rng = np.random.default_rng(1)
        async with SessionPool(codec, slots=2) as pool, pool.decoder() as a, pool.decoder() as b:
            for audio in await asyncio.gather(*(decode(s, pieces(codes, rng, 4)) for s in (a, b))):
                np.testing.assert_array_equal(audio, codec.decode(codes))
            await a.reset()
            np.testing.assert_array_equal(await decode(a, [codes]), codec.decode(codes))
            with pytest.raises(ConfigError, match="without encoder"):
                pool.encoder()

    asyncio.run(main())


def test_who_does_not_wait_is_bounded(tiny):
    """More than `max_pending` frames do not wait in a session; one push alone may be longer, and others are free."""

    async def main():
        pool = SessionPool(tiny, slots=2, max_wait=60, max_pending=4)
        async with pool, pool.encoder() as session, pool.encoder() as other:
            pcm = signals.noise(HOP)
            waits = [asyncio.create_task(session.push(pcm)) for _ in range(4)]
            await asyncio.sleep(0)
            with pytest.raises(SessionFull, match="at most 4 frames"):
                await session.push(pcm)
            long = await other.push(signals.noise(9 * HOP))
            assert long.shape == (6, 9)
            for push in waits:
                assert (await push).shape == (6, 1)

    asyncio.run(main())


def test_numbers(tiny):
    async def main():
        async with SessionPool(tiny, slots=3) as pool, pool.encoder() as session:
            assert pool.stats() == PoolStats(0, 0.0, 0.0, 0.0, 0, 1, 0, 3, 0)
            await session.push(signals.noise(HOP - 1))
            assert pool.stats().ticks == 0  # nothing was computed
            await session.push(signals.noise(1))
            await session.push(signals.noise(0))
            await session.reset()
            stats = pool.stats()
            assert (stats.ticks, stats.batch_mean) == (1, 1)
            assert 0 < stats.tick_p50_ms <= stats.tick_p99_ms

    asyncio.run(main())


def test_a_push_that_lasts_longer_than_its_sound_has_missed_its_deadline(tiny):
    async def main():
        async with SessionPool(tiny, slots=1) as pool, pool.encoder() as session:
            await session.push(signals.noise(round(60 * tiny.sample_rate)))  # a minute, which it does not take
            assert pool.stats().missed_deadlines == 0
            gate = Gate(pool, "encoder")
            push = asyncio.create_task(session.push(signals.noise(HOP)))
            await until(gate.reached.is_set)
            await asyncio.sleep(2 / tiny.frame_rate)
            gate.opened.set()
            await push
            return pool.stats().missed_deadlines

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"slots": 0}, ConfigError),
        ({"slots": 1.5}, InputTypeError),
        ({"max_wait": -1}, ConfigError),
        ({"max_wait": "soon"}, InputTypeError),
        ({"max_pending": 0}, ConfigError),
        ({"num_codebooks": 7}, ConfigError),
    ],
)
def test_options(tiny, options, error):
    with pytest.raises(error):
        SessionPool(tiny, **options)


def test_a_model_of_another_kind():
    with pytest.raises(InputTypeError, match="must be a codec"):
        SessionPool("kyutai/mimi")
