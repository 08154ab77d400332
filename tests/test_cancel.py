"""Calls that give up: by an event, a function, a time, with an asyncio task. They are applied or not, never half."""

import asyncio
import math
import threading

import numpy as np
import pytest

import signals
from mimi_codec.errors import ConfigError, InputTypeError, MimiError, StoppedError, TimedOutError
from stream_cases import CODEBOOKS, HOP, encode_all, random_codes

BLOCK = 32  # frames of a block of work
LONG = signals.noise(10 * BLOCK * HOP + 5, level=0.3)


class After:
    """Says stop when it is asked for the nth time."""

    def __init__(self, nth: int) -> None:
        self.left = nth

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def encoder(tiny):
    stream = tiny.encoder_stream()
    stream.push(LONG[: HOP + 3])
    return stream


def decoder(tiny):
    stream = tiny.decoder_stream()
    stream.push(random_codes(2))
    return stream


CODES = random_codes(10 * BLOCK)
# What takes several blocks: of a model, and of a stream.
CLIPS = {
    "encode": lambda tiny, **limits: tiny.encode(LONG, **limits),
    "decode": lambda tiny, **limits: tiny.decode(CODES, **limits),
    "encode_latents": lambda tiny, **limits: tiny.encode_latents(LONG, **limits),
    "decode_latents": lambda tiny, **limits: tiny.decode_latents(tiny.codes_to_latents(CODES), **limits),
    "latents_to_codes": lambda tiny, **limits: tiny.latents_to_codes(tiny.codes_to_latents(CODES), **limits),
    "codes_to_latents": lambda tiny, **limits: tiny.codes_to_latents(CODES, **limits),
}
PUSHES = {
    "encoder": (encoder, lambda stream, **limits: stream.push(LONG, **limits)),
    "decoder": (decoder, lambda stream, **limits: stream.push(CODES, **limits)),
}


class TestStop:
    @pytest.mark.parametrize("call", CLIPS.values(), ids=CLIPS)
    def test_whole_clips(self, tiny, call):
        """At each block; and a stop that never comes changes nothing."""
        event = threading.Event()
        np.testing.assert_array_equal(call(tiny, stop=event, timeout=1e6), call(tiny))
        event.set()
        with pytest.raises(StoppedError, match="asked to stop"):
            call(tiny, stop=event)
        for nth in range(10):
            with pytest.raises(StoppedError):
                call(tiny, stop=After(nth))
        call(tiny, stop=After(11))

    @pytest.mark.parametrize(("make", "push"), PUSHES.values(), ids=PUSHES)
    def test_streams(self, tiny, make, push):
        """The stream is then as before, and goes on as if nothing had been."""
        stream, expected = make(tiny), make(tiny)
        before = stream.save()
        for nth in range(10):
            with pytest.raises(StoppedError):
                push(stream, stop=After(nth))
            assert stream.save() == before
        np.testing.assert_array_equal(push(stream, stop=After(11)), push(expected))
        assert stream.save() == expected.save()

    def test_each_row_of_a_batch_is_asked(self, tiny):
        pcm = signals.noise(HOP, rows=4)
        for nth in range(4):
            with pytest.raises(StoppedError):
                tiny.encode(pcm, stop=After(nth))

    def test_a_stop_that_fails(self, tiny):
        """Its error comes out, and the stream is as before."""

        def stop():
            raise KeyError("mine")

        stream = encoder(tiny)
        before = stream.save()
        with pytest.raises(KeyError, match="mine"):
            stream.push(LONG, stop=stop)
        assert stream.save() == before

    @pytest.mark.parametrize("stop", [True, 1.0, "now", object()])
    def test_what_cannot_be_asked(self, tiny, stop):
        stream = encoder(tiny)
        before = stream.save()
        for call in (lambda: stream.push(LONG, stop=stop), lambda: tiny.decode(CODES, stop=stop)):
            with pytest.raises(InputTypeError, match="stop must be"):
                call()
        assert stream.save() == before


class TestTimeout:
    @pytest.mark.parametrize("call", CLIPS.values(), ids=CLIPS)
    def test_whole_clips(self, tiny, call):
        """No time at all has always passed; an endless one never has."""
        with pytest.raises(TimedOutError, match="timeout of 0 seconds"):
            call(tiny, timeout=0)
        with pytest.raises(TimeoutError):
            call(tiny, timeout=0.0)
        np.testing.assert_array_equal(call(tiny, timeout=math.inf), call(tiny, timeout=1e300))

    @pytest.mark.parametrize(("make", "push"), PUSHES.values(), ids=PUSHES)
    def test_streams(self, tiny, make, push):
        stream, expected = make(tiny), make(tiny)
        before = stream.save()
        with pytest.raises(TimedOutError):
            push(stream, timeout=0)
        assert stream.save() == before
        np.testing.assert_array_equal(push(stream, timeout=1e6), push(expected))

    def test_in_the_middle_of_a_call(self, tiny):
        """The time passes while the call waits to be asked."""
        stream = encoder(tiny)
        before = stream.save()
        waited = threading.Event()

        def stop():
            waited.wait(0.002)
            return False

        with pytest.raises(TimedOutError):
            stream.push(LONG, stop=stop, timeout=0.001)
        assert stream.save() == before

    @pytest.mark.parametrize(
        ("timeout", "error"),
        [
            (-1, ConfigError),
            (math.nan, ConfigError),
            ("1", InputTypeError),
            (True, InputTypeError),
            ([], InputTypeError),
        ],
    )
    def test_what_is_not_a_time(self, tiny, timeout, error):
        stream = encoder(tiny)
        before = stream.save()
        for call in (lambda: stream.push(LONG, timeout=timeout), lambda: tiny.encode(LONG, timeout=timeout)):
            with pytest.raises(error, match="timeout must be"):
                call()
        assert stream.save() == before


class TestAsyncio:
    """A task that is cancelled while a thread is at work for it."""

    @pytest.mark.parametrize("nth", range(10))
    @pytest.mark.parametrize("obeys", [True, False], ids=["stopped", "cancelled too late"])
    def test_a_cancelled_push_is_applied_or_not(self, tiny, nth, obeys):
        """Cancelled at any block: with a stop nothing was taken, without one everything; then it goes on."""
        stream = encoder(tiny)
        before = stream.save()

        async def scenario():
            loop, reached = asyncio.get_running_loop(), asyncio.Event()
            stop, cancelled = threading.Event(), threading.Event()
            asked = After(nth)
            outcome = []

            def at_a_block():
                if asked():
                    loop.call_soon_threadsafe(reached.set)
                    cancelled.wait()
                    return obeys and stop.is_set()
                return False

            def work():
                try:
                    outcome.append(stream.push(LONG, stop=at_a_block))
                except MimiError as error:
                    outcome.append(error)

            thread = loop.run_in_executor(None, work)
            task = asyncio.ensure_future(asyncio.shield(thread))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            stop.set()
            cancelled.set()
            await thread
            return outcome[0]

        result = asyncio.run(scenario())
        rest = LONG
        if obeys:
            assert isinstance(result, StoppedError)
            assert stream.save() == before
            first = tiny.encode(LONG[:HOP])
        else:
            first = np.concatenate([tiny.encode(LONG[:HOP]), result], axis=1)
            rest = LONG[:0]
        codes = np.concatenate([first, encode_all(stream, [rest])], axis=1)
        np.testing.assert_array_equal(codes, tiny.encode(np.concatenate([LONG[: HOP + 3], LONG])))

    def test_pushes_after_a_cancelled_one_follow_it(self, tiny):
        """A second task waits for the thread of the cancelled one: the stream never sees both at once."""
        stream = tiny.encoder_stream()

        async def scenario():
            loop, reached, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

            def hold():
                loop.call_soon_threadsafe(reached.set)
                go_on.wait()
                return False

            first = loop.run_in_executor(None, lambda: stream.push(LONG[: 2 * HOP], stop=hold))
            await reached.wait()
            second = loop.run_in_executor(None, lambda: stream.push(LONG[2 * HOP : 4 * HOP]))
            go_on.set()
            return await asyncio.gather(first, second)

        codes = np.concatenate(asyncio.run(scenario()), axis=1)
        np.testing.assert_array_equal(codes, tiny.encode(LONG[: 4 * HOP]))
        assert codes.shape == (CODEBOOKS, 4)
