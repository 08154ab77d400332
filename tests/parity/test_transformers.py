"""Parity with Transformers on the CPU in float32, at the released size."""

import numpy as np
import pytest

import reference
import signals

CODEBOOKS = (1, 8, 32)
LENGTHS = (1, 1919, 1920, 1921, 4999, 9600)  # around one frame, an odd one, whole frames
LONG = 21 * signals.RATE + 777  # the attention window of 250 positions is full after 10 s


def clip(length: int) -> np.ndarray:
    return signals.chirp(length)


@pytest.fixture(scope="module")
def long_clip(speech) -> np.ndarray:
    """21 s: speech, a chirp, silence, noise."""
    rest = LONG - len(speech)
    parts = [speech, signals.chirp(rest // 2), np.zeros(rest // 4, np.float32)]
    return np.concatenate([*parts, signals.noise(LONG - sum(map(len, parts)))])


@pytest.mark.parametrize("length", LENGTHS)
def test_latents(full_pair, length):
    pcm = clip(length)
    reference.assert_near(full_pair.ours.encode_latents(pcm), reference.latents(full_pair.theirs, pcm))


@pytest.mark.parametrize("num_codebooks", CODEBOOKS)
@pytest.mark.parametrize("length", LENGTHS)
def test_codes(full_pair, length, num_codebooks):
    pcm = clip(length)
    codes = full_pair.ours.encode(pcm, num_codebooks=num_codebooks)
    assert codes.shape == (num_codebooks, -(-length // 1920))
    reference.assert_same_codes(codes, full_pair.theirs, pcm)


def test_speech_codes(full_pair, speech):
    pcm = speech[: 3 * signals.RATE]
    reference.assert_same_codes(full_pair.ours.encode(pcm), full_pair.theirs, pcm)


def test_batch(full_pair):
    pcm = np.stack([clip(7001), signals.noise(7001), np.zeros(7001, np.float32)])[:, None]
    reference.assert_near(full_pair.ours.encode_latents(pcm), reference.latents(full_pair.theirs, pcm))
    codes = full_pair.ours.encode(pcm, num_codebooks=8)
    reference.assert_same_codes(codes, full_pair.theirs, pcm)
    reference.assert_near(full_pair.ours.decode(codes), reference.decode(full_pair.theirs, codes))


def test_ragged_batch(full_pair):
    """Transformers has no ragged batches: each row against its own clip alone."""
    lengths = [1921, 6000, 1]
    rows = [signals.noise(length, seed=3) for length in lengths]
    pcm = np.zeros((3, 1, max(lengths)), np.float32)
    for row, samples in zip(pcm[:, 0], rows, strict=True):
        row[: len(samples)] = samples
    codes = full_pair.ours.encode(pcm, num_codebooks=8, lengths=lengths)
    for row, samples in zip(codes, rows, strict=True):
        frames = -(-len(samples) // 1920)
        reference.assert_same_codes(row[:, :frames], full_pair.theirs, samples)
        assert (row[:, frames:] == -1).all()


@pytest.mark.parametrize("num_codebooks", CODEBOOKS)
@pytest.mark.parametrize("frames", [1, 2, 13])
def test_decode(full_pair, num_codebooks, frames):
    codes = np.random.default_rng(frames).integers(0, 2048, (num_codebooks, frames))
    pcm = full_pair.ours.decode(codes)
    assert pcm.shape == (1920 * frames,)
    reference.assert_near(pcm, reference.decode(full_pair.theirs, codes))


def test_decode_latents(full_pair):
    latents = reference.latents(full_pair.theirs, clip(20_000))
    reference.assert_near(full_pair.ours.decode_latents(latents), reference.decode_latents(full_pair.theirs, latents))


def test_decode_latents_of_a_batch(full_pair):
    latents = reference.latents(full_pair.theirs, signals.noise(5000, rows=2))
    reference.assert_near(full_pair.ours.decode_latents(latents), reference.decode_latents(full_pair.theirs, latents))


@pytest.mark.parametrize("num_codebooks", CODEBOOKS)
def test_quantize(full_pair, num_codebooks):
    """The quantized latents are those of the codes, so that decode_latents(quantize(z)) is decode(encode(pcm))."""
    pcm = clip(9000)
    quantized = full_pair.ours.quantize(full_pair.ours.encode_latents(pcm), num_codebooks=num_codebooks)
    codes = full_pair.ours.encode(pcm, num_codebooks=num_codebooks)
    reference.assert_near(quantized, reference.dequantize(full_pair.theirs, codes))


def test_beyond_the_attention_window(full_pair, long_clip):
    ours, theirs = full_pair.ours, full_pair.theirs
    latents = reference.latents(theirs, long_clip)
    reference.assert_near(ours.encode_latents(long_clip), latents)
    codes = ours.encode(long_clip)
    reference.assert_codes_fit(codes, reference.codes(theirs, long_clip), theirs, latents)
    reference.assert_near(ours.decode(codes), reference.decode(theirs, codes))
