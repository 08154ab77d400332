"""The end of a clip: Transformers pads at each convolution, moshi pads the waveform with zeros to whole frames."""

import numpy as np
import pytest

import reference
import signals

LENGTHS = (1, 1919, 1920, 1921, 3000, 5001)


@pytest.mark.parametrize("length", LENGTHS)
def test_moshi_is_transformers_on_the_padded_clip(full_pair, length):
    pcm = signals.noise(length)
    padded = np.pad(pcm, (0, -length % 1920))
    codes = full_pair.ours.encode(pcm, padding="moshi")
    reference.assert_same_codes(codes, full_pair.theirs, padded)
    latents = full_pair.ours.encode_latents(pcm, padding="moshi")
    reference.assert_near(latents, reference.latents(full_pair.theirs, padded))


def test_the_rules_differ_in_the_last_frame_only(full_pair):
    """So that the tests above cannot pass with one rule for both."""
    pcm = signals.noise(3001)
    ours = full_pair.ours
    transformers, moshi = ours.encode_latents(pcm), ours.encode_latents(pcm, padding="moshi")
    np.testing.assert_array_equal(transformers[:, :-1], moshi[:, :-1])
    assert np.abs(transformers - moshi)[:, -1].max() > 1e-3 * np.abs(moshi).max()  # a hundred times the limit of parity


def test_whole_frames_are_padded_by_neither(full_pair):
    pcm = signals.noise(2 * 1920)
    np.testing.assert_array_equal(full_pair.ours.encode(pcm), full_pair.ours.encode(pcm, padding="moshi"))


def test_rows_of_a_batch(tiny):
    """Each row by the rule at its own end."""
    lengths = [5, 16, 33, 100]
    pcm = signals.noise(100, rows=4)
    codes = tiny.encode(pcm, padding="moshi", lengths=lengths)
    for row, samples, length in zip(codes, pcm[:, 0], lengths, strict=True):
        alone = tiny.encode(samples[:length], padding="moshi")
        np.testing.assert_array_equal(row[:, : alone.shape[1]], alone)
        assert (row[:, alone.shape[1] :] == -1).all()


def test_transformers_is_the_default(tiny):
    pcm = signals.noise(37)
    np.testing.assert_array_equal(tiny.encode_latents(pcm), tiny.encode_latents(pcm, padding="transformers"))
