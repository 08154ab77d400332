"""What fails on a CUDA device is told, and leaves streams as they were."""

import threading

import numpy as np
import pytest

import signals
from gpu_cases import assert_same
from mimi_codec import Mimi, OutOfMemoryError, StoppedError
from mimi_codec.errors import AudioError, CodesError, DeviceError
from stream_cases import HOP, random_codes


def test_wrong_input_leaves_a_stream_as_it_was(tiny_gpu):
    encoder, decoder = tiny_gpu.encoder_stream(2), tiny_gpu.decoder_stream(2)
    encoder.push(signals.noise(5 * HOP + 3, rows=2))
    decoder.push(random_codes(5, rows=2))
    before = encoder.save(), decoder.save()
    pcm, codes = signals.noise(3 * HOP, rows=2), random_codes(3, rows=2)
    pcm[1, 0, 2 * HOP], codes[1, 2, 2] = np.inf, 10_000
    with pytest.raises(AudioError):
        encoder.push(pcm)
    with pytest.raises(CodesError):
        decoder.push(codes)
    assert (encoder.save(), decoder.save()) == before


@pytest.mark.parametrize(
    ("kind", "pushed", "frames"),
    # memory is asked for by a model's first block, and then there is enough
    [("allocation", 40, 0), *((kind, pushed, n) for kind, pushed in (("launch", 8), ("replay", 1)) for n in (0, 3, 9))],
)
def test_a_device_that_fails_leaves_a_stream_as_it_was(test_driver, tiny, tiny_dir, kind, pushed, frames):
    """In a step and in a long block, before and after the window of the attention is full."""
    codec, pcm = Mimi.from_pretrained(tiny_dir, device="cuda"), signals.chirp((frames + pushed) * HOP)
    if kind == "replay":
        other = codec.encoder_stream()
        for _ in range(3):
            other.push(pcm[:HOP])
    stream = codec.encoder_stream()
    for number in range(frames):
        stream.push(pcm[number * HOP : (number + 1) * HOP])
    before, rest, failures, got = stream.save(), pcm[frames * HOP :], 0, None
    while got is None:
        test_driver.fail(kind, 3**failures)
        try:
            got = stream.push(rest)
        except (DeviceError, OutOfMemoryError):
            failures += 1
            assert stream.save() == before
        finally:
            test_driver.fail(kind, 0)
    assert failures > 0
    assert_same(got, tiny.encode(pcm, padding="moshi")[:, frames:])


def test_no_memory_for_a_stream(test_driver, tiny_gpu):
    test_driver.fail("allocation", 1)
    with pytest.raises(OutOfMemoryError, match="memory"):
        tiny_gpu.encoder_stream(8)
    test_driver.fail("allocation", 0)
    with pytest.raises(OutOfMemoryError):
        tiny_gpu.decoder_stream(10**12)
    assert tiny_gpu.encoder_stream(8).push(signals.noise(HOP, rows=8)).shape[2] == 1


def test_no_memory_for_weights(test_driver, tiny_dir):
    test_driver.fail("allocation", 5)
    try:
        with pytest.raises(OutOfMemoryError):
            Mimi.from_pretrained(tiny_dir, device="cuda")
    finally:
        test_driver.fail("allocation", 0)


def test_a_push_that_is_stopped(tiny_gpu):
    stream = tiny_gpu.encoder_stream()
    stream.push(signals.noise(4 * HOP))
    before, stop = stream.save(), threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        stream.push(signals.noise(300 * HOP), stop=stop)
    assert stream.save() == before


def test_ctrl_c(test_driver, run_python, tiny_dir):
    """The main thread gets its KeyboardInterrupt between blocks, and the model works on."""
    said = run_python(
        """
        import _thread, sys, threading
        import numpy as np
        from mimi_codec import Mimi

        codec = Mimi.from_pretrained(sys.argv[1], device="cuda")
        stream = codec.encoder_stream()
        before = stream.save()
        asked = []

        def interrupt():
            asked.append(1)
            if len(asked) == 2:
                _thread.interrupt_main()

        try:
            stream.push(np.zeros(2000 * codec.frame_size, np.float32), stop=interrupt)
        except KeyboardInterrupt:
            print("interrupted", stream.save() == before, stream.push(np.zeros(codec.frame_size, np.float32)).shape)
        """,
        tiny_dir,
        LD_LIBRARY_PATH=str(test_driver.folder),
        MIMI_CODEC_CACHE="",
    )
    assert said == "interrupted True (6, 1)\n"
