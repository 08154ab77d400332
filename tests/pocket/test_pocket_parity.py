"""Pocket TTS's audio tokenizer equals Transformers' `PocketTTSAudioTokenizerModel`, on the CPU in float32."""

import numpy as np
import pytest

import mimi_codec
import pocket_models
import reference
import signals
from pocket_models import HOP, TINY

# Both compute in float32 in their own order of sums; 4e-6 was the most seen.
LIMIT = 1e-5

# Each differs from the tiny one where an assumption could hide: ratios, strides, widths, heads, windows, kernels.
CONFIGS = {
    "ratios": {"upsampling_ratios": [3, 5, 2], "latent_stride": 4},
    "one ratio": {"upsampling_ratios": [6], "num_filters": 6, "latent_stride": 3, "latent_dim": 1},
    "short frames": {"latent_stride": 2, "sliding_window": 3, "latent_dim": 40},
    "grouped heads": {"num_key_value_heads": 2, "head_dim": 12, "sliding_window": 7},
    "kernels": {"kernel_size": 3, "last_kernel_size": 5, "residual_kernel_size": 5, "compress": 1},
    "deep": {"num_hidden_layers": 3, "num_residual_layers": 2, "hidden_size": 48, "intermediate_size": 40},
    "groups and erf": {"upsample_groups": 8, "hidden_act": "gelu", "rope_theta": 500.0, "norm_eps": 1e-3},
}


def assert_same(ours: mimi_codec.LatentCodec, encoder, decoder, pcm: np.ndarray) -> None:
    latents = pocket_models.encode(encoder, pcm)
    reference.assert_near(ours.encode_latents(pcm), latents, LIMIT)
    rng = np.random.default_rng(len(pcm))
    latents = rng.standard_normal((ours.decoder_latent_dim, latents.shape[1]), np.float32)
    reference.assert_near(ours.decode_latents(latents), pocket_models.decode(decoder, latents), LIMIT)


@pytest.mark.parametrize("length", [1, HOP - 1, HOP, HOP + 1, 20 * HOP + 77])
def test_tiny(pocket, length):
    assert_same(pocket.ours, pocket.theirs, pocket.theirs, signals.chirp(length))


@pytest.mark.parametrize("length", [1, 1919, 1920, 1921, 3 * signals.RATE + 5])  # the window is 1.25 s
def test_full_size(full_pocket, length):
    assert_same(full_pocket.ours, full_pocket.theirs, full_pocket.theirs, signals.chirp(length))


@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
def test_configurations(changes, tmp_path):
    model = pocket_models.build(TINY | changes, seed=3)
    ours = mimi_codec.load(pocket_models.write(model, tmp_path))
    for length in (1, 5 * ours.frame_size, 9 * ours.frame_size + 1):
        assert_same(ours, model, model, signals.chirp(length))


def test_batch_with_a_mask(pocket):
    """Rows of different lengths, as Transformers takes them one by one."""
    pcm = signals.noise(6 * HOP, rows=2)
    latents = pocket.ours.encode_latents(pcm, lengths=[6 * HOP, 2 * HOP + 9])
    reference.assert_near(latents[0], pocket_models.encode(pocket.theirs, pcm[0, 0]), LIMIT)
    reference.assert_near(latents[1, :, :3], pocket_models.encode(pocket.theirs, pcm[1, 0, : 2 * HOP + 9]), LIMIT)
    assert not latents[1, :, 3:].any()


class TestKyutai:
    """The layout of the `pocket-tts` package, and that package itself."""

    def test_equal_bits(self, pocket, pocket_kyutai):
        ours, pcm = mimi_codec.load(pocket_kyutai), signals.chirp(11 * HOP + 5)
        assert (ours.layout, pocket.ours.layout) == ("kyutai", "transformers")
        latents = ours.encode_latents(pcm)
        np.testing.assert_array_equal(latents, pocket.ours.encode_latents(pcm))
        np.testing.assert_array_equal(ours.decode_latents(latents), pocket.ours.decode_latents(latents))

    def test_halves_of_different_sizes(self, halves):
        assert (halves.ours.latent_dim, halves.ours.decoder_latent_dim) == (10, 6)
        assert_same(halves.ours, halves.encoder, halves.decoder, signals.chirp(9 * HOP + 5))

    def test_their_package(self, pocket, pocket_kyutai):
        """Their encoder pads clips with zeros to whole frames; their decoder is streamed here in uneven pieces."""
        pytest.importorskip("pocket_tts", reason="the package pocket-tts is not installed")
        import kyutai_reference

        theirs = kyutai_reference.load(pocket_kyutai)
        for length in (1, HOP - 1, HOP, 9 * HOP + 5):
            pcm = signals.chirp(length)
            latents = pocket.ours.encode_latents(pcm, padding="moshi")
            reference.assert_near(latents, kyutai_reference.encode(theirs, pcm), LIMIT)
        latents = np.random.default_rng(1).standard_normal((6, 12), np.float32)
        pieces = np.split(latents, [1, 4, 9], axis=1)
        reference.assert_near(pocket.ours.decode_latents(latents), kyutai_reference.decode(theirs, pieces), LIMIT)
