"""Codes and audio of a session are those of the whole clip, whatever the other sessions do."""

import asyncio
import contextlib
import threading

import numpy as np
import pytest
from pools import Gate, encode, pieces, until

import signals
from mimi_codec import AudioError, CodesError, InputTypeError, MimiError, PoolFull, StreamError
from mimi_codec.aio import SessionPool
from stream_cases import HOP, random_codes


def free_session(pool):
    with contextlib.suppress(PoolFull):
        return pool.duplex()


async def client(pool, tiny, seed: int) -> str:
    """One that joins late, cuts its clip at random, stalls, and leaves in one of several ways."""
    rng = np.random.default_rng(seed)
    await asyncio.sleep(rng.random() * 0.02)
    while (session := free_session(pool)) is None:
        await asyncio.sleep(0.002)
    pcm = signals.noise(int(rng.integers(0, 40 * HOP)), seed=seed)
    want = tiny.encode(pcm, 4)
    audio = tiny.decode(want)
    leaves = rng.integers(4)
    async with session:
        chunks = pieces(pcm, rng, 8)
        given, heard, frames = [], [], 0
        for number, chunk in enumerate(chunks):
            if leaves == 1 and number == 5:
                return "left"
            if leaves == 2 and number == 5:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(session.encoder.push(chunk), 0.0001)
                return "left"
            if rng.random() < 0.2:
                await asyncio.sleep(rng.random() * 0.01)
            given.append(await session.encoder.push(chunk))
            heard.append(await session.decoder.push(given[-1]))
            frames += given[-1].shape[1]
            np.testing.assert_array_equal(np.concatenate(given, axis=1), want[:, :frames])
        given.append(await session.encoder.flush())
        heard.append(await session.decoder.push(given[-1]))
        np.testing.assert_array_equal(np.concatenate(given, axis=1), want)
        np.testing.assert_array_equal(np.concatenate(heard), audio)
        if leaves == 3:  # another clip in the same session
            await session.encoder.reset()
            np.testing.assert_array_equal(await encode(session.encoder, pieces(pcm, rng, 3)), want)
        return "done"


@pytest.mark.parametrize("seed", range(3))
def test_random_joins_leaves_and_cancels(tiny, seed):
    async def main():
        async with SessionPool(tiny, slots=5, num_codebooks=4, max_wait=0.002) as pool:
            tasks = [asyncio.create_task(client(pool, tiny, 100 * seed + i)) for i in range(24)]
            rng = np.random.default_rng(seed)
            for task in tasks[::5]:
                await asyncio.sleep(rng.random() * 0.01)
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert pool.stats().encoder_slots_used == pool.stats().decoder_slots_used == 0
            return ends

    ends = asyncio.run(main())
    others = [end for number, end in enumerate(ends) if number % 5]
    assert set(others) == {"left", "done"}
    assert all(isinstance(end, str | asyncio.CancelledError) for end in ends)


def test_batches(tiny):
    """Pushes of many sessions go through the model in one call, and those of a session are drained together."""

    async def main():
        async with SessionPool(tiny, slots=8, num_codebooks=4, max_wait=60) as pool:
            sessions = [pool.encoder() for _ in range(8)]
            pcm = signals.noise(HOP, rows=8)
            await asyncio.gather(*(s.push(pcm[i, 0]) for i, s in enumerate(sessions)))
            assert (pool.stats().ticks, pool.stats().batch_mean) == (1, 8)
            for session in sessions[1:]:
                await session.close()
            gate = Gate(pool, "encoder")
            pushes = [asyncio.create_task(sessions[0].push(pcm[0, 0]))]
            await until(gate.reached.is_set)
            pushes += [asyncio.create_task(sessions[0].push(pcm[0, 0])) for _ in range(3)]
            await asyncio.sleep(0)
            gate.opened.set()
            await asyncio.gather(*pushes)
            assert pool.stats().ticks == 3  # the first, the one that was held, and one for the three

    asyncio.run(main())


def test_ends_of_clips_go_in_one_call(tiny):
    """Also where one of them cannot be computed: that one fails, and no other notices."""
    clips = [signals.noise(HOP // 2 + number, seed=number) for number in range(4)]
    clips[2] = np.full(HOP - 1, 3e38, np.float32)

    async def main():
        async with SessionPool(tiny, slots=4, num_codebooks=4, max_wait=60) as pool:
            sessions = [pool.encoder() for _ in clips]
            await asyncio.gather(*(s.push(clip) for s, clip in zip(sessions, clips, strict=True)))
            ends = await asyncio.gather(*(s.flush() for s in sessions), return_exceptions=True)
            assert isinstance(ends.pop(2), MimiError)
            for end, clip in zip(ends, [*clips[:2], clips[3]], strict=True):
                np.testing.assert_array_equal(end, tiny.encode(clip, 4))
            await asyncio.gather(*(s.reset() for s in sessions))
            before = pool.stats()
            await asyncio.gather(*(s.push(clips[0]) for s in sessions))
            await asyncio.gather(*(s.flush() for s in sessions))
            return before, pool.stats()

    before, after = asyncio.run(main())
    assert after.ticks == before.ticks + 1
    assert before.batch_mean == 1.5  # of the first time: a pair, and the one beside that which failed
    assert after.batch_mean == 7 / 3


def test_a_long_push_does_not_hold_up_the_others(tiny):
    async def main():
        async with SessionPool(tiny, slots=2, num_codebooks=4) as pool:
            long, short = pool.encoder(), pool.encoder()
            pcm = signals.noise(2000 * HOP)
            whole = asyncio.create_task(long.push(pcm))
            await asyncio.sleep(0)
            np.testing.assert_array_equal(await short.push(pcm[: 2 * HOP]), tiny.encode(pcm[: 2 * HOP], 4))
            assert not whole.done()
            np.testing.assert_array_equal(await whole, tiny.encode(pcm, 4))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (np.array([0.0, np.nan], np.float32), AudioError),
        (np.full(HOP, 3e38, np.float32), AudioError),
        (np.zeros((1, 1, HOP), np.float32), AudioError),
        (np.zeros(HOP, np.int64), InputTypeError),
        ("speech", InputTypeError),
    ],
)
def test_bad_audio_is_the_business_of_one_session(tiny, bad, error):
    async def main():
        async with SessionPool(tiny, slots=3, num_codebooks=4, max_wait=0.05) as pool:
            good, wrong, third = pool.encoder(), pool.encoder(), pool.encoder()
            pcm = signals.noise(8 * HOP)
            for part in np.split(pcm, 4):
                a, b, c = await asyncio.gather(
                    good.push(part), wrong.push(bad), third.push(part), return_exceptions=True
                )
                assert isinstance(b, error)
                np.testing.assert_array_equal(a, c)
            # a push that failed has taken nothing
            np.testing.assert_array_equal(await encode(wrong, [pcm]), tiny.encode(pcm, 4))
            return pool.stats()

    asyncio.run(main())


@pytest.mark.parametrize(
    "bad", [np.full((4, 1), 32), np.full((4, 1), -1), np.zeros((7, 1), np.int64), np.zeros((1, 4, 1), np.int64)]
)
def test_bad_codes_are_the_business_of_one_session(tiny, bad):
    async def main():
        async with SessionPool(tiny, slots=2, max_wait=0.05) as pool, pool.decoder() as good, pool.decoder() as wrong:
            codes = random_codes(6)
            a, b = await asyncio.gather(good.push(codes), wrong.push(bad), return_exceptions=True)
            assert isinstance(b, CodesError)
            np.testing.assert_array_equal(a, tiny.decode(codes))
            np.testing.assert_array_equal(await wrong.push(codes), tiny.decode(codes))

    asyncio.run(main())


def test_other_numbers_of_codebooks_side_by_side(tiny):
    async def main():
        async with SessionPool(tiny, slots=3, max_wait=60) as pool:
            sessions, codes = [pool.decoder() for _ in range(3)], random_codes(5)
            given = await asyncio.gather(*(s.push(codes[:k]) for s, k in zip(sessions, (2, 6, 2), strict=True)))
            for audio, k in zip(given, (2, 6, 2), strict=True):
                np.testing.assert_array_equal(audio, tiny.decode(codes[:k]))

    asyncio.run(main())


def test_order_after_the_end_of_a_clip(tiny):
    async def main():
        async with SessionPool(tiny, slots=1, num_codebooks=4) as pool, pool.encoder() as session:
            pcm = signals.noise(3 * HOP + 5)
            pushed, last, late, again, _, fresh = await asyncio.gather(
                session.push(pcm),
                session.flush(padding="moshi"),
                session.push(pcm),
                session.flush(),
                session.reset(),
                session.push(pcm),
                return_exceptions=True,
            )
            np.testing.assert_array_equal(np.concatenate([pushed, last], 1), tiny.encode(pcm, 4, padding="moshi"))
            assert isinstance(late, StreamError)
            assert isinstance(again, StreamError)
            np.testing.assert_array_equal(fresh, pushed)

    asyncio.run(main())


def test_two_pools_in_two_threads(tiny):
    """Each in an event loop of its own, over one model."""
    pcm = signals.noise(30 * HOP)
    want, results = tiny.encode(pcm, 4), []

    async def main(seed):
        async with SessionPool(tiny, slots=2, num_codebooks=4) as pool, pool.encoder() as a, pool.encoder() as b:
            rng = np.random.default_rng(seed)
            results.extend(await asyncio.gather(*(encode(s, pieces(pcm, rng, 9)) for s in (a, b))))

    threads = [threading.Thread(target=lambda seed=seed: asyncio.run(main(seed))) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for codes in results:
        np.testing.assert_array_equal(codes, want)
