"""Streams of hours, and far positions."""

import json

import numpy as np
import pytest

import signals
from stream_cases import HOP, random_codes, sealed


class TestEndurance:
    def test_hours_of_stream(self, run_python, tmp_path):
        """Two hours of frames and positions at the rates of the released model; memory must not grow.

        8 samples a frame stand for 1920, so that it takes seconds. The limit of 4 MB is above the noise of the
        allocator; one kept key and value of 8 floats per position would already be 23 MB.
        """
        import synthetic

        config = synthetic.tiny_config(upsampling_ratios=[2, 2], sampling_rate=100, num_filters=2, sliding_window=250)
        directory = synthetic.write(synthetic.build(config), tmp_path / "slow")
        printed = run_python(
            """
            import sys
            import numpy as np
            import mimi_codec

            def resident():
                return int(open("/proc/self/statm").read().split()[1]) * 4096

            mimi = mimi_codec.Mimi.from_pretrained(sys.argv[1])
            assert mimi.frame_rate == 12.5
            encoder, decoder = mimi.encoder_stream(), mimi.decoder_stream()
            minute = np.random.default_rng(0).standard_normal(60 * mimi.sample_rate).astype(np.float32)
            sizes = []
            for _ in range(120):
                decoder.push(encoder.push(minute))
                sizes.append(resident())
            assert encoder.frames == decoder.frames == [90_000]
            print(sizes[-1] - sizes[10])
            """,
            directory,
        )
        assert int(printed) < 4 << 20

    def test_a_long_stream_forgets(self, tiny):
        """After its windows have passed, a stream depends on the recent input only: no drift, no growing error."""
        layers, window = 2, 3
        recent = 2 * layers * window + 20  # frames; more than the receptive field of all layers together
        pcm = signals.noise(3000 * HOP)
        far = tiny.encode(pcm)[:, -8:]
        near = tiny.encode(pcm[-recent * HOP :])[:, -8:]
        # Positions differ by thousands, and angles are rounded to float32 before the rotation: codes may differ only at
        # near-ties, of which these 48 have none.
        np.testing.assert_array_equal(far, near)


class TestPositions:
    """Attention sees differences of positions: a stream moved far ahead is the same stream.

    The state is a safetensors file whose `frames` count what each row has seen. After a move the cached keys still
    carry the rotation of their old place, so both streams take 60 frames, ten windows of both layers, before they are
    compared.
    """

    @pytest.mark.parametrize("start", [10**5, 10**7 + 1, 2**31 - 7, 10**12])
    def test_encoder(self, tiny, start):
        stream, moved = tiny.encoder_stream(), tiny.encoder_stream()
        stream.push(signals.noise(10 * HOP))
        moved.load(move(stream.save(), start))
        for other in (stream, moved):
            other.push(signals.noise(60 * HOP, seed=1))
        pcm = signals.noise(60 * HOP, seed=2)
        # Rotations are rounded to float32, so codes could differ at near-ties, of which these 360 codes have none.
        np.testing.assert_array_equal(moved.push(pcm), stream.push(pcm))
        assert min(positions(moved.save())) > start

    @pytest.mark.parametrize("start", [10**5, 10**7 + 1, 2**31 - 7, 10**12])
    def test_decoder(self, tiny, start):
        stream, moved = tiny.decoder_stream(), tiny.decoder_stream()
        stream.push(random_codes(10))
        moved.load(move(stream.save(), start))
        for other in (stream, moved):
            other.push(random_codes(60, seed=1))
        codes = random_codes(60, seed=2)
        expected = stream.push(codes)
        # float32 rounding of the rotations; float32 angles would be off by 0.5 at 10^7 and wrong at 10^12.
        assert np.abs(moved.push(codes) - expected).max() < 1e-5 * np.abs(expected).max()
        assert min(positions(moved.save())) > start


def position_entries(state: bytes) -> list[slice]:
    """Where the frames that each row of a saved state has seen are counted, 8 bytes each."""
    size = int.from_bytes(state[:8], "little")
    header = json.loads(state[8 : 8 + size])
    spans = [entry["data_offsets"] for name, entry in header.items() if name == "frames"]
    places = [slice(8 + size + at, 8 + size + at + 8) for begin, end in spans for at in range(begin, end, 8)]
    assert places, f"no positions among {list(header)}"
    return places


def positions(state: bytes) -> list[int]:
    return [int.from_bytes(state[place], "little") for place in position_entries(state)]


def move(state: bytes, frames: int) -> bytes:
    """A saved state with every position `frames` further on."""
    moved = bytearray(state)
    for place in position_entries(state):
        moved[place] = (int.from_bytes(state[place], "little") + frames).to_bytes(8, "little")
    return sealed(bytes(moved))
