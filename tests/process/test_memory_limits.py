"""What does not fit the memory is a MemoryError, never the end of the process; clips need little besides themselves."""

import sys

import pytest

from mimi_codec.errors import MimiError, OutOfMemoryError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")

LIMITED = """
    import resource, sys
    import numpy as np
    import mimi_codec
    from mimi_codec.errors import OutOfMemoryError

    def limit(more):
        "Allows so many bytes of address space on top of what is in use."
        pages = int(open("/proc/self/statm").read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, resource.RLIM_INFINITY))

    def unlimited():
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def refused(call):
        try:
            call()
        except MemoryError as error:
            return error
        raise SystemExit(f"{call} found memory")

    tiny = mimi_codec.Mimi.from_pretrained(sys.argv[1])
    demo = mimi_codec.Mimi.demo()
    MB = 1 << 20
"""


def test_the_error_is_ours_and_python_s():
    assert issubclass(OutOfMemoryError, MimiError)
    assert issubclass(OutOfMemoryError, MemoryError)


def test_streams_of_too_many_rows(run_python, tiny_dir):
    script = (
        LIMITED
        + """
    limit(500 * MB)
    for rows in (10**6, 10**12, sys.maxsize):
        for make in (demo.encoder_stream, demo.decoder_stream):
            assert isinstance(refused(lambda: make(batch_size=rows)), OutOfMemoryError)
    stream = demo.encoder_stream(batch_size=8)
    assert stream.push(np.zeros((8, 1, 1920), np.float32)).shape == (8, 16, 1)
    """
    )
    run_python(script, tiny_dir)


def test_whole_clips(run_python, tiny_dir):
    script = (
        LIMITED
        + """
    codes = np.zeros((16, 150_000), int)
    small = demo.decode(codes[:, :2])
    limit(500 * MB)
    error = refused(lambda: demo.decode(codes))
    assert isinstance(error, OutOfMemoryError) and str(150_000 * 1920 * 4) in str(error), error
    refused(lambda: demo.decode(np.zeros((1000, 16, 200), int)))
    refused(lambda: demo.codes_to_latents(np.zeros((16, 800_000), int)))
    assert np.array_equal(demo.decode(codes[:, :2]), small)
    """
    )
    run_python(script, tiny_dir)


def test_clips_need_memory_for_input_and_output_alone(run_python, tiny_dir):
    """The output is 64 MB; half of it in addition would not be there for a second copy."""
    script = (
        LIMITED
        + """
    frames = 64 * MB // 4 // 16
    one, batch = np.zeros((1, frames), int), np.zeros((4, 1, frames // 4), int)
    tiny.decode(one[:, :100])
    for codes in (one, batch):
        # The codes come once more, as 32 bit numbers.
        limit(64 * MB + 32 * MB)
        audio = tiny.decode(codes)
        assert audio.nbytes == 64 * MB
        unlimited()
        del audio
    """
    )
    run_python(script, tiny_dir)


def test_a_stream_that_found_no_memory_is_as_before(run_python, tiny_dir):
    script = (
        LIMITED
        + """
    rows = 64
    frame = np.random.default_rng(0).standard_normal((rows, 1, 1920)).astype(np.float32) / 10
    encoder, decoder = demo.encoder_stream(batch_size=rows), demo.decoder_stream(batch_size=rows)
    codes = encoder.push(frame)
    decoder.push(codes)
    states = encoder.save(), decoder.save()
    long, many = np.tile(frame, 100), np.tile(codes, 700)
    limit(100 * MB)
    refused(lambda: encoder.push(long))
    refused(lambda: decoder.push(many))
    refused(lambda: [encoder.copy() for _ in range(100)])
    unlimited()
    assert (encoder.save(), decoder.save()) == states
    assert encoder.push(frame).shape == codes.shape
    """
    )
    run_python(script, tiny_dir)
