"""Cancelled pushes, dead clients and closed pools: applied or not, never half, and every slot comes back."""

import asyncio
import gc
import os

import numpy as np
import pytest
from pools import Gate, encode, until

import signals
from mimi_codec import MimiError, PoolClosed, PoolFull, StreamError
from mimi_codec.aio import SessionPool
from stream_cases import HOP


async def cancelled(task: asyncio.Task) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_before_a_tick_it_is_not_applied(tiny):
    pcm = signals.noise(6 * HOP)

    async def main():
        async with SessionPool(tiny, slots=2, num_codebooks=4, max_wait=0.2) as pool, pool.encoder() as session:
            async with pool.encoder():  # its silence keeps the tick waiting
                push = asyncio.create_task(session.push(signals.noise(3 * HOP + 2, seed=7)))
                await asyncio.sleep(0)
                await cancelled(push)
            return await encode(session, [pcm])

    np.testing.assert_array_equal(asyncio.run(main()), tiny.encode(pcm, 4))


def test_in_a_tick_it_is_applied(tiny):
    pcm = signals.noise(6 * HOP)

    async def main():
        async with SessionPool(tiny, slots=2, num_codebooks=4) as pool, pool.encoder() as session:
            gate = Gate(pool, "encoder")
            push = asyncio.create_task(session.push(pcm[: 2 * HOP]))
            await until(gate.reached.is_set)
            await cancelled(push)
            gate.opened.set()
            return await encode(session, [pcm[2 * HOP :]])

    np.testing.assert_array_equal(asyncio.run(main()), tiny.encode(pcm, 4)[:, 2:])


def test_between_the_ticks_of_a_long_push_the_rest_is_applied(tiny):
    pcm = signals.noise(40 * HOP)

    async def main():
        async with SessionPool(tiny, slots=2, num_codebooks=4) as pool, pool.encoder() as session:
            push = asyncio.create_task(session.push(pcm[: 38 * HOP]))
            gate = Gate(pool, "encoder")
            await until(gate.reached.is_set)
            await cancelled(push)
            gate.opened.set()
            return await encode(session, [pcm[38 * HOP :]])

    np.testing.assert_array_equal(asyncio.run(main()), tiny.encode(pcm, 4)[:, 38:])


def test_after_the_tick_it_is_applied(tiny):
    pcm = signals.noise(6 * HOP)

    async def main():
        async with SessionPool(tiny, slots=2, num_codebooks=4) as pool, pool.encoder() as session:
            push = asyncio.create_task(session.push(pcm[: 2 * HOP]))
            await until(lambda: pool.stats().ticks == 1)
            push.cancel()
            await asyncio.gather(push, return_exceptions=True)
            return await encode(session, [pcm[2 * HOP :]])

    np.testing.assert_array_equal(asyncio.run(main()), tiny.encode(pcm, 4)[:, 2:])


def test_a_cancelled_flush_and_reset(tiny):
    pcm = signals.noise(3 * HOP)

    async def main():
        async with SessionPool(tiny, slots=2, num_codebooks=4, max_wait=0.1) as pool, pool.encoder() as session:
            first = await session.push(pcm[:HOP])
            async with pool.encoder():
                for call in (session.flush, session.reset):
                    task = asyncio.create_task(call())
                    await asyncio.sleep(0)
                    await cancelled(task)
            return np.concatenate([first, await encode(session, [pcm[HOP:]])], axis=1)

    np.testing.assert_array_equal(asyncio.run(main()), tiny.encode(pcm, 4))


@pytest.mark.parametrize("way", ["cancelled", "dropped", "raised"])
def test_a_dead_client_frees_its_slot(tiny, way):
    async def client(pool):
        async with pool.duplex() as session:
            await session.encoder.push(signals.noise(HOP + 3))
            if way == "raised":
                raise ValueError("the client is broken")
            await asyncio.sleep(60)

    async def main():
        async with SessionPool(tiny, slots=1, num_codebooks=4) as pool:
            for _ in range(3):
                if way == "dropped":
                    session = pool.duplex()
                    await session.encoder.push(signals.noise(HOP + 3))
                    del session
                    gc.collect()
                else:
                    task = asyncio.create_task(client(pool))
                    await until(lambda: pool.stats().ticks)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                assert pool.stats().encoder_slots_used == pool.stats().decoder_slots_used == 0
            # the slot has nothing of the clients before
            async with pool.encoder() as fresh:
                pcm = signals.noise(5 * HOP + 1, seed=3)
                np.testing.assert_array_equal(await encode(fresh, [pcm]), tiny.encode(pcm, 4))

    asyncio.run(main())


def test_closing_a_session_ends_what_waits(tiny):
    async def main():
        async with SessionPool(tiny, slots=2, max_wait=60) as pool, pool.encoder():
            session = pool.encoder()
            push = asyncio.create_task(session.push(signals.noise(HOP)))
            await asyncio.sleep(0)
            await session.close()
            with pytest.raises(StreamError, match="closed"):
                await push
            with pytest.raises(StreamError, match="closed"):
                await session.push(signals.noise(HOP))
            await session.close()
            assert pool.stats().encoder_slots_used == 1

    asyncio.run(main())


def test_closing_the_pool_ends_what_waits(tiny):
    async def main():
        pool = SessionPool(tiny, slots=2)
        session, other = pool.encoder(), pool.encoder()
        gate = Gate(pool, "encoder")
        taken = asyncio.create_task(session.push(signals.noise(HOP)))
        await until(gate.reached.is_set)
        waits = [asyncio.create_task(s.push(signals.noise(HOP))) for s in (session, other)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        gate.opened.set()
        await closing
        assert (await taken).shape == (6, 1)  # it was in a tick, and that ends
        for push in waits:
            with pytest.raises(PoolClosed):
                await push
        for call in (session.push(signals.noise(HOP)), session.flush(), session.reset()):
            with pytest.raises(PoolClosed):
                await call
        with pytest.raises(PoolClosed):
            pool.decoder()
        await session.close()
        await pool.close()

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_failed_closes_the_pool(tiny):
    """Who waits and who comes learns why; nobody waits for ever."""

    async def main():
        async with SessionPool(tiny, slots=2) as pool, pool.encoder() as session, pool.encoder() as other:
            assert not pool.closed
            gate = Gate(pool, "encoder")
            gate._call = None  # so that the call ends in a TypeError
            pushes = [asyncio.create_task(s.push(signals.noise(HOP))) for s in (session, other)]
            await until(gate.reached.is_set)
            gate.opened.set()
            for push in pushes:
                with pytest.raises(PoolClosed, match="thread has failed"):
                    await push
            assert pool.closed
            with pytest.raises(PoolClosed, match="TypeError"):
                await session.push(signals.noise(HOP))

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_is_told_that_the_thread_is_not_there(run_python, tiny_dir):
    """Every use of the pool ends at once in the child, and the parent goes on."""
    script = """
    import asyncio, os, signal, sys
    import numpy as np
    from mimi_codec import Mimi, PoolClosed
    from mimi_codec.aio import SessionPool

    mimi = Mimi.from_pretrained(sys.argv[1])
    pool = SessionPool(mimi, slots=2)
    session = pool.encoder()
    pcm = np.zeros(320, np.float32)

    async def refused(call):
        try:
            await call()
        except PoolClosed as error:
            return "not in this one" in str(error)

    async def opened():
        pool.encoder()

    async def child():
        calls = (lambda: session.push(pcm), session.flush, session.reset, opened)
        told = [await refused(call) for call in calls]
        await session.close()
        await pool.close()
        return all(told)

    asyncio.run(session.push(pcm))
    process = os.fork()
    if process == 0:
        signal.alarm(20)  # a hang kills the child
        os._exit(0 if asyncio.run(child()) else 1)
    assert os.waitpid(process, 0)[1] == 0
    codes = asyncio.run(session.push(pcm))
    assert np.array_equal(codes, mimi.encode(np.tile(pcm, 2))[:, codes.shape[1]:])
    """
    run_python(script, tiny_dir)


def test_the_loop_of_a_client_may_be_gone(tiny):
    """A push of a loop that was closed does not disturb those of another."""
    pool = SessionPool(tiny, slots=2, num_codebooks=4)
    gate = Gate(pool, "encoder")

    async def first():
        session = pool.encoder()
        push = asyncio.create_task(session.push(signals.noise(HOP)))
        await until(gate.reached.is_set)
        push.cancel()

    async def second():
        gate.opened.set()
        pcm = signals.noise(3 * HOP)
        async with pool, pool.encoder() as session:
            np.testing.assert_array_equal(await encode(session, [pcm]), tiny.encode(pcm, 4))

    asyncio.run(first())
    asyncio.run(second())


def test_a_dropped_pool_ends_its_thread(tiny):
    async def main():
        pool = SessionPool(tiny, slots=1)
        thread = pool._engine._thread
        assert thread.is_alive()
        del pool
        gc.collect()
        await asyncio.to_thread(thread.join, 60)
        assert not thread.is_alive()

    asyncio.run(main())


def test_half_a_long_push_cannot_be_gone_on_from(tiny):
    """Values that overflow are found in the model. Until it is reset, a session that took a part of them is refused."""

    async def main():
        async with SessionPool(tiny, slots=2, num_codebooks=4) as pool, pool.encoder() as session:
            pcm = signals.noise(30 * HOP)
            spoiled = pcm.copy()
            spoiled[20 * HOP :] = 3e38
            with pytest.raises(MimiError, match="too large"):
                await session.push(spoiled)
            with pytest.raises(StreamError, match="reset the session first"):
                await session.push(pcm)
            await session.reset()
            np.testing.assert_array_equal(await encode(session, [pcm]), tiny.encode(pcm, 4))

    asyncio.run(main())


def test_full(tiny):
    async def main():
        async with SessionPool(tiny, slots=2) as pool:
            async with pool.encoder(), pool.encoder():
                with pytest.raises(PoolFull, match="all 2 slots"):
                    pool.encoder()
                with pytest.raises(PoolFull):
                    pool.duplex()
                assert pool.stats().decoder_slots_used == 0
                async with pool.decoder(), pool.decoder():
                    pass
            with pytest.raises(PoolFull):
                _ = [pool.duplex() for _ in range(3)]
            gc.collect()
            assert pool.stats().encoder_slots_used == 0

    asyncio.run(main())
