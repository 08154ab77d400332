"""Forks of a parent whose other threads are in the middle of work, as loader workers and servers make them."""

import os

import pytest

WATCHDOG = 300  # seconds after which a hang is a hang

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

BUSY = """
    import os, signal, sys, threading
    import numpy as np
    import mimi_codec
    from mimi_codec.errors import StreamError

    mimi = mimi_codec.Mimi.from_pretrained(sys.argv[1], threads=int(sys.argv[2]))
    pcm = (np.random.default_rng(0).standard_normal(16 * 20) / 10).astype(np.float32)
    codes = mimi.encode(pcm)
    audio = mimi.decode(codes)
    done = threading.Event()

    def forked(child):
        "Runs `child` in a fork: a hang or an error of it ends this process."
        process = os.fork()
        if process == 0:
            signal.alarm(20)  # a hang kills the child
            try:
                child()
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(1)
            os._exit(0)
        status = os.waitpid(process, 0)[1]
        if status:
            done.set()
            raise SystemExit(f"a child ended with {os.waitstatus_to_exitcode(status)}")
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_children_of_a_busy_parent_encode(run_python, tiny_dir, threads):
    """Threads of the parent take and give back memory of the model all the time; a child must not wait for them."""
    script = (
        BUSY
        + """
    def work():
        while not done.is_set():
            mimi.encode(pcm)

    def child():
        for _ in range(3):
            assert np.array_equal(mimi.encode(pcm), codes) and np.array_equal(mimi.decode(codes), audio)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for _ in range(300):
        forked(child)
    done.set()
    """
    )
    run_python(script, tiny_dir, threads, timeout=WATCHDOG)


def test_a_stream_in_the_middle_of_a_push(run_python, tiny_dir):
    """In the child the stream is half changed for ever: every use of it says so, and dropping it does no harm."""
    script = (
        BUSY
        + """
    encoder, decoder = mimi.encoder_stream(), mimi.decoder_stream()
    idle = mimi.encoder_stream()
    idle.push(pcm[:5])
    busy = {encoder: np.tile(pcm, 2000), decoder: np.tile(codes, 500)}
    refused = [0]

    def work(stream):
        while not done.is_set():
            stream.push(busy[stream])

    def child():
        global encoder, decoder
        uses = [
            lambda: encoder.pending, lambda: encoder.frames, lambda: encoder.push(pcm), encoder.flush, encoder.reset,
            encoder.copy, encoder.save, lambda: encoder.load(b""), lambda: repr(encoder),
            lambda: decoder.frames, lambda: decoder.push(codes), decoder.reset, decoder.copy, decoder.save,
        ]
        outcomes = []
        for use in uses:
            try:
                use()
                outcomes.append(True)
            except StreamError as error:
                outcomes.append("forked" not in str(error) and "saved state" in str(error))
        # A stream between two calls at that moment is whole, else all uses are refused.
        assert len(set(outcomes[:9])) == len(set(outcomes[9:])) == 1, outcomes
        assert idle.pending == [5] and idle.push(pcm[5:]).shape == (6, 20)
        busy.clear()
        del encoder, decoder, uses, use
        assert np.array_equal(mimi.encode(pcm), codes)
        if not all(outcomes):
            os._exit(7)

    workers = [threading.Thread(target=work, args=(stream,)) for stream in (encoder, decoder)]
    for worker in workers:
        worker.start()
    refusals = 0
    for _ in range(40):
        try:
            forked(child)
        except SystemExit as ended:
            if "with 7" not in str(ended):
                raise
            refusals += 1
            done.clear()
    done.set()
    assert refusals > 0
    """
    )
    run_python(script, tiny_dir, 1, timeout=WATCHDOG)
