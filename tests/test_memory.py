"""Memory does not grow with the length of a clip beyond the clip itself, nor with the age of a stream.

An hour at 2,400 Hz, so that the tests take seconds: of 35 MB of samples, any layer that kept its output for the whole
clip would hold at least twice as much.
"""

import json
import sys

import pytest

from mimi_codec.config import MimiConfig
from mimi_codec.synthetic import write_synthetic

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is the system's own")

SAMPLES = 4 * 2400 * 3600  # bytes
CODES = 8 * 8 * 4500
# Blocks of a few frames, freed pages that the allocator keeps, and the pages of code that run for the first time.
ROOM = 6_000_000

SCRIPT = """
import json, resource, sys
import numpy as np
from mimi_codec import Mimi

def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

mimi = Mimi.from_pretrained(sys.argv[1])
second = np.random.default_rng(0).standard_normal(2400).astype(np.float32) / 10
hour = np.tile(second, 3600)
mimi.decode(mimi.encode(hour[:96_000]))
encoder, decoder = mimi.encoder_stream(), mimi.decoder_stream()

def stream(seconds):
    for _ in range(seconds):
        decoder.push(encoder.push(second))

stream(60)
peaks = [peak()]
stream(3540)
peaks.append(peak())
codes = mimi.encode(hour)
peaks.append(peak())
pcm = mimi.decode(codes)
peaks.append(peak())
assert (encoder.frames, decoder.frames) == ([4500], [4500])
assert (codes.nbytes, pcm.nbytes) == (int(sys.argv[2]), int(sys.argv[3]))
print(json.dumps(np.diff(peaks).tolist()))
"""


def test_an_hour(run_python, tmp_path):
    config = MimiConfig(
        sampling_rate=2400,
        num_filters=2,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=16,
        codebook_size=8,
        codebook_dim=4,
        vector_quantization_hidden_dimension=4,
        num_quantizers=8,
        upsample_groups=8,
    )
    model = write_synthetic(tmp_path / "model", config)
    streams, encode, decode = json.loads(run_python(SCRIPT, model, CODES, SAMPLES))
    assert streams < ROOM / 10
    assert encode < CODES + ROOM
    assert decode < SAMPLES + ROOM
