"""Streams of Pocket TTS's latents equal whole clips bit for bit, beyond the window too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import signals
from pocket_models import HOP
from stream_cases import encode_all, split

CHUNKS = st.lists(st.one_of(st.integers(0, 3 * HOP), st.sampled_from([0, 1, HOP - 1, HOP, HOP + 1])), max_size=8)


def random_latents(codec, frames: int, rows: int | None = None, seed: int = 0) -> np.ndarray:
    shape = (codec.decoder_latent_dim, frames)
    rng = np.random.default_rng([seed, frames])
    return rng.standard_normal(shape if rows is None else (rows, *shape), np.float32)


@given(sizes=CHUNKS)
def test_encoder(pocket, sizes):
    pcm = signals.noise(sum(sizes))
    latents = encode_all(pocket.ours.encoder_stream(), split(pcm, sizes))
    assert latents.dtype == np.float32
    np.testing.assert_array_equal(latents, pocket.ours.encode_latents(pcm))


@given(sizes=st.lists(st.integers(0, 4), max_size=8))
def test_decoder(pocket, sizes):
    latents = random_latents(pocket.ours, sum(sizes))
    stream = pocket.ours.decoder_stream()
    audio = np.concatenate([np.zeros(0, np.float32), *map(stream.push, split(latents, sizes))])
    np.testing.assert_array_equal(audio, pocket.ours.decode_latents(latents))


@pytest.mark.parametrize("padding", ["transformers", "moshi"])
def test_end_of_a_clip(pocket, padding):
    pcm = signals.noise(3 * HOP + 5)
    stream = pocket.ours.encoder_stream()
    latents = np.concatenate([stream.push(pcm), stream.flush(padding=padding)], axis=-1)
    np.testing.assert_array_equal(latents, pocket.ours.encode_latents(pcm, padding=padding))


def test_rows_of_a_batch(pocket):
    """Rows rest and end by themselves; each is as it would be alone."""
    codec, pcm = pocket.ours, signals.noise(6 * HOP, rows=3)
    stream, resting = codec.encoder_stream(3), np.array([True, True, False])
    first = stream.push(pcm[:, :, : 3 * HOP])
    second = stream.push(pcm[:, :, 3 * HOP :], active=resting)
    assert stream.frames == [6, 6, 3]
    assert not second[2].any()
    latents = np.concatenate([first, second], axis=-1)
    np.testing.assert_array_equal(latents[:2], codec.encode_latents(pcm[:2]))
    decoder = codec.decoder_stream(3)
    audio = decoder.push(latents, lengths=[6, 6, 3])
    np.testing.assert_array_equal(audio, codec.decode_latents(latents, lengths=[6, 6, 3]))


def test_a_row_moves(pocket):
    codec, latents = pocket.ours, random_latents(pocket.ours, 9, rows=2)
    whole = codec.decode_latents(latents)
    two, four = codec.decoder_stream(2), codec.decoder_stream(4)
    two.push(latents[:, :, :5])
    four.push(random_latents(codec, 3, rows=4, seed=1))
    four.load(two.save([1]), rows=[2])
    rest = four.push(np.repeat(latents[1:, :, 5:], 4, axis=0))
    np.testing.assert_array_equal(rest[2, 0], whole[1, 0, 5 * HOP :])


def test_saved_and_loaded_elsewhere(pocket, run_python, tmp_path):
    codec, pcm = pocket.ours, signals.noise(7 * HOP + 9)
    stream = codec.encoder_stream()
    stream.push(pcm[: 4 * HOP + 3])
    (tmp_path / "state").write_bytes(stream.save())
    np.save(tmp_path / "rest.npy", pcm[4 * HOP + 3 :])
    script = """
        import pathlib, numpy, mimi_codec
        stream = mimi_codec.load(sys.argv[1]).encoder_stream()
        stream.load(pathlib.Path("state").read_bytes())
        numpy.save("given.npy", numpy.concatenate([stream.push(numpy.load("rest.npy")), stream.flush()], axis=-1))
    """
    run_python(script, pocket.directory)
    np.testing.assert_array_equal(np.load(tmp_path / "given.npy"), codec.encode_latents(pcm)[:, 4:])
