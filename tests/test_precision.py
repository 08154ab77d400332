"""Weights in bfloat16 and int8: smaller, close to float32, and as exact between chunkings."""

from __future__ import annotations

import numpy as np
import pytest

from mimi_codec import ConfigError, Mimi, read_audio
from mimi_codec.demo_files import demo_clip, demo_directory

# Rounding a weight to bfloat16 errs by at most 2^-9 of it, to int8 by 1/254 of the largest of 128 weights, which is
# about three times their deviation: relative errors of 1e-3 and 7e-3 of a product. Through a dozen layers each they add
# up to a few times that: 1 % and 5 % of the signal.
SIGNAL_TO_NOISE = {"bfloat16": 40.0, "int8": 26.0}
SMALLER = {"bfloat16": 0.8, "int8": 0.7}


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read_audio(demo_clip(), 24000)


@pytest.fixture(scope="module", params=["bfloat16", "int8"])
def small(request: pytest.FixtureRequest) -> Mimi:
    return Mimi.from_pretrained(demo_directory(), dtype=request.param)


def test_weights_take_less(small, demo):
    assert small.weight_bytes < SMALLER[small.dtype] * demo.weight_bytes


def test_decoder_is_close_to_float32(small, demo, speech):
    codes = demo.encode(speech, num_codebooks=8)
    exact, rounded = demo.decode(codes), small.decode(codes)
    noise = np.square(exact - rounded).mean()
    assert noise > 0
    assert 10 * np.log10(np.square(exact).mean() / noise) > SIGNAL_TO_NOISE[small.dtype]


def test_most_codes_are_those_of_float32(small, demo, speech):
    """A code flips where two entries are about as near. Each codebook sees a smaller residual, with the same error, and
    a flip sends the later codebooks of its frame another way: so this is asked of the first ones.
    """
    equal = (small.encode(speech, 4) == demo.encode(speech, 4)).mean(axis=1)
    assert equal[0] > 0.9
    assert equal.mean() > 0.8


def test_streams_equal_the_whole(small, speech):
    codes = small.encode(speech, num_codebooks=4)
    stream = small.encoder_stream(num_codebooks=4)
    pieces = [stream.push(piece) for piece in np.array_split(speech, 23)]
    np.testing.assert_array_equal(np.concatenate([*pieces, stream.flush()], axis=1), codes)
    decoder = small.decoder_stream()
    frames = [decoder.push(codes[:, t : t + 1]) for t in range(codes.shape[1])]
    np.testing.assert_array_equal(np.concatenate(frames), small.decode(codes))


def test_other_precisions_are_refused():
    with pytest.raises(ConfigError, match=r"dtype.*'int8'.*'float16'"):
        Mimi.from_pretrained(demo_directory(), dtype="float16")
