"""A call that fails leaves the stream as it was."""

import numpy as np
import pytest

import signals
from mimi_codec import MimiError
from mimi_codec.errors import AudioError, CodesError, StreamError
from stream_cases import CODEBOOKS, random_codes, used


class TestFailedCalls:
    """A call that fails leaves the stream as it was."""

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("position", [0, 50, 199])
    def test_encoder_push(self, tiny, bad, position):
        stream = used(tiny.encoder_stream(batch_size=2))
        before = stream.save()
        pcm = signals.noise(200, rows=2)
        pcm[1, 0, position] = bad
        with pytest.raises(AudioError):
            stream.push(pcm)
        assert stream.save() == before

    @pytest.mark.parametrize("bad", [-1, -2, 32, 2048, 2**40])
    def test_decoder_push(self, tiny, bad):
        stream = tiny.decoder_stream(batch_size=2)
        stream.push(random_codes(3, rows=2))
        before = stream.save()
        codes = random_codes(5, rows=2)
        codes[1, 2, 4] = bad
        with pytest.raises(CodesError):
            stream.push(codes)
        assert stream.save() == before

    def test_wrong_shapes_and_masks(self, tiny):
        stream = used(tiny.encoder_stream(batch_size=2))
        before = stream.save()
        pcm = signals.noise(50, rows=2)
        calls = [
            lambda: stream.push(signals.noise(50)),
            lambda: stream.push(signals.noise(50, rows=3)),
            lambda: stream.push(pcm[:, 0]),
            lambda: stream.push(pcm.astype(np.int64)),
            lambda: stream.push(None),
            lambda: stream.push(pcm, active=np.array([True])),
            lambda: stream.push(pcm, active=np.array([1.0, 0.0])),
            lambda: stream.flush(active=np.array([True, True, True])),
            lambda: stream.reset(np.array([[True, False]])),
        ]
        for number, call in enumerate(calls):
            with pytest.raises(MimiError):
                call()
            assert stream.save() == before, f"call {number} changed the stream"

    def test_decoder_shapes(self, tiny):
        stream = tiny.decoder_stream(batch_size=2)
        before = stream.save()
        for codes in (random_codes(2), random_codes(2, rows=3), np.zeros((2, CODEBOOKS + 1, 2), int), 1.0):
            with pytest.raises(MimiError):
                stream.push(codes)
            assert stream.save() == before

    def test_push_after_flush(self, tiny):
        stream = used(tiny.encoder_stream(batch_size=2))
        stream.flush(active=np.array([True, False]))
        before = stream.save()
        with pytest.raises(StreamError):
            stream.push(signals.noise(50, rows=2))
        assert stream.save() == before
