"""Rows of different lengths through latents: each gives what it gives alone, and 0 beyond its end."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import signals

HOP = 16  # of the tiny model


@given(lengths=st.lists(st.integers(0, 6 * HOP), min_size=1, max_size=4))
def test_latents_of_samples(tiny, lengths):
    pcm = np.full((len(lengths), 1, max(lengths)), 0.5, np.float32)  # what lies beyond a row's length must not matter
    for row, length in enumerate(lengths):
        pcm[row, 0, :length] = signals.noise(length, seed=row)
    latents = tiny.encode_latents(pcm, lengths=lengths)
    for row, length in enumerate(lengths):
        frames = -(-length // HOP)
        np.testing.assert_array_equal(latents[row, :, :frames], tiny.encode_latents(pcm[row, 0, :length]))
        assert (latents[row, :, frames:] == 0).all()


@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4))
def test_samples_of_latents(tiny, lengths):
    rng = np.random.default_rng([len(lengths), *lengths])
    latents = rng.standard_normal((len(lengths), tiny.latent_dim, max(lengths))).astype(np.float32)
    pcm = tiny.decode_latents(latents, lengths=lengths)
    assert pcm.shape == (len(lengths), 1, max(lengths) * HOP)
    for row, frames in enumerate(lengths):
        alone = tiny.decode_latents(latents[row, :, :frames])
        np.testing.assert_array_equal(pcm[row, 0, : frames * HOP], alone)
        assert (pcm[row, 0, frames * HOP :] == 0).all()
