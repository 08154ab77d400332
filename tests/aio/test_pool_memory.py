"""Memory stays flat while conversations come and go for hours, in fast forward."""

import json
import sys

import pytest

from mimi_codec.config import MimiConfig
from mimi_codec.synthetic import write_synthetic

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SECONDS = 1800
"""Of audio in each of four slots."""
# Samples of these alone are 69 MB; a pool that kept a thousandth of them for each call would show.
ROOM = 3_000_000

SCRIPT = """
import asyncio, json, sys
import numpy as np
from mimi_codec import Mimi
from mimi_codec.aio import SessionPool

def resident():
    return 4096 * int(open("/proc/self/statm").read().split()[1])

second = np.random.default_rng(0).standard_normal(2400).astype(np.float32) / 10

async def talk(pool, seconds):
    # a conversation of a minute at most, and now and then one that goes without a word
    while seconds > 0:
        session = pool.duplex()
        for _ in range(min(60, seconds)):
            await session.decoder.push(await session.encoder.push(second))
        seconds -= 60
        if seconds % 120:
            await session.close()
        del session

async def main():
    mimi = Mimi.from_pretrained(sys.argv[1])
    async with SessionPool(mimi, slots=8, num_codebooks=8, max_wait=0.0) as pool:
        async def all_four(seconds):
            await asyncio.gather(*(talk(pool, seconds) for _ in range(4)))
        await all_four(120)
        before = resident()
        await all_four(int(sys.argv[2]))
        return resident() - before

print(json.dumps(asyncio.run(main())))
"""


def test_hours_of_conversations(run_python, tmp_path):
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
    assert json.loads(run_python(SCRIPT, model, SECONDS)) < ROOM
