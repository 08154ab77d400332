"""VibeVoice's tokenizers equal those of Transformers, on the CPU in float32, its caches included."""

import numpy as np
import pytest
import torch

import family_models
import mimi_codec
import reference
import signals
from family_models import decode_latents, encode_latents, random_latents

HOP = 16  # of the tiny ones

CONFIGS = {
    "other ratios": {"downsampling_ratios": [3, 5], "depths": [1, 1, 2]},
    "a ratio of one": {"downsampling_ratios": [2, 1, 3], "depths": [1, 1, 1, 1]},
    "one ratio, other depths": {"downsampling_ratios": [8], "depths": [3, 2], "num_filters": 3},
    "no blocks in a stage": {"depths": [0, 2, 0, 1]},
    "no ratios": {"downsampling_ratios": [], "depths": [2]},
    "narrow kernels": {"kernel_size": 1, "ffn_expansion": 1},
    "even kernels": {"kernel_size": 4, "ffn_expansion": 3},
    "wide kernels": {"kernel_size": 15, "hidden_size": 1},
    "odd widths": {"num_filters": 5, "hidden_size": 33, "ffn_expansion": 2},
    "another epsilon": {"rms_norm_eps": 1e-2, "vae_std": 0.1},
    "silu": {"hidden_act": "silu"},
    "gelu of a tanh": {"hidden_act": "gelu_pytorch_tanh"},
    "gelu of a tanh by its older name": {"hidden_act": "gelu_new"},
}


def assert_same(ours: mimi_codec.VibeVoice, theirs, pcm: np.ndarray) -> None:
    latents = encode_latents(theirs, pcm)
    reference.assert_near(ours.encode_latents(pcm), latents)
    if ours.has_decoder:
        reference.assert_near(ours.decode_latents(latents), decode_latents(theirs, latents))


class TestWholeClips:
    @pytest.mark.parametrize("length", [HOP, HOP + 1, 2 * HOP - 1, 2 * HOP, 5 * HOP + 7, 32 * HOP, 100 * HOP + 3])
    @pytest.mark.parametrize("which", ["vibevoice", "semantic"])
    def test_tiny(self, which, length, request):
        pair = request.getfixturevalue(which)
        assert_same(pair.ours, pair.theirs, signals.chirp(length))

    @pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
    def test_configurations(self, changes, tmp_path):
        pair = family_models.vibevoice(tmp_path, changes, seed=3)
        hop = pair.theirs.config.hop_length
        assert (pair.ours.frame_size, pair.ours.frame_rate) == (hop, 24000 / hop)
        assert pair.ours.latent_dim == pair.ours.decoder_latent_dim == pair.theirs.config.hidden_size
        for length in (hop, 9 * hop + hop // 2, 77 * hop):
            assert_same(pair.ours, pair.theirs, signals.noise(length))

    def test_full_widths(self, tmp_path):
        """The released sizes, but for the depth: one block where there are three or eight."""
        pair = family_models.vibevoice(tmp_path, {"depths": [1] * 7}, size="full")
        assert (pair.ours.frame_size, pair.ours.frame_rate, pair.ours.latent_dim) == (3200, 7.5, 64)
        assert_same(pair.ours, pair.theirs, signals.chirp(4 * 3200 + 99))

    def test_full_depths(self, tmp_path):
        """The released depths and ratios, on an eighth of the channels."""
        pair = family_models.vibevoice_encoder(tmp_path, {"num_filters": 4}, size="full")
        assert (pair.ours.frame_size, pair.ours.latent_dim) == (3200, 128)
        assert_same(pair.ours, pair.theirs, signals.chirp(5 * 3200))

    def test_ragged_batch(self, vibevoice):
        pcm, sizes = signals.noise(30 * HOP, rows=4), [30 * HOP, HOP - 1, 7 * HOP + 9, 0]
        latents = vibevoice.ours.encode_latents(pcm, lengths=sizes)
        audio = vibevoice.ours.decode_latents(latents, lengths=[30, 0, 7, 0])
        for row, frames in enumerate([30, 0, 7, 0]):
            if frames:
                alone = encode_latents(vibevoice.theirs, pcm[row, 0, : sizes[row]])
                reference.assert_near(latents[row, :, :frames], alone)
                reference.assert_near(audio[row, 0, : frames * HOP], decode_latents(vibevoice.theirs, alone))
            assert not latents[row, :, frames:].any()
            assert not audio[row, 0, frames * HOP :].any()


class TestEnds:
    """What is not a whole frame is left out, as there, and what is left out is told."""

    @pytest.mark.parametrize("length", [0, 1, HOP - 1, HOP, HOP + 1, 9 * HOP + 15])
    def test_lengths(self, vibevoice, length):
        ours, pcm = vibevoice.ours, signals.noise(length)
        frames, rest = divmod(length, HOP)
        assert ours.left_over(length) == rest
        assert ours.encode_latents(pcm).shape == (8, frames)
        np.testing.assert_array_equal(ours.encode_latents(pcm), ours.encode_latents(pcm[: length - rest]))
        filled = np.concatenate([pcm, np.zeros(-length % HOP, np.float32)])
        np.testing.assert_array_equal(ours.encode_latents(pcm, padding="moshi"), ours.encode_latents(filled))

    @pytest.mark.parametrize("padding", ["transformers", "moshi"])
    def test_a_stream(self, vibevoice, padding):
        pcm = signals.noise(3 * HOP + 5)
        stream = vibevoice.ours.encoder_stream()
        latents = np.concatenate([stream.push(pcm), stream.flush(padding=padding)], axis=-1)
        assert latents.shape == (8, 3 if padding == "transformers" else 4)
        np.testing.assert_array_equal(latents, vibevoice.ours.encode_latents(pcm, padding=padding))

    def test_other_codecs_leave_nothing_out(self, qwen_tts, tiny):
        assert (qwen_tts.left_over(1921), tiny.left_over(5)) == (0, 0)


class TestCaches:
    """Step by step with the reference's own cache, which is exact for whole frames, and with our streams."""

    @pytest.mark.parametrize("which", ["vibevoice", "semantic"])
    @torch.no_grad()
    def test_encoders(self, which, request):
        pair, pcm, cache = request.getfixturevalue(which), signals.noise(60 * HOP, rows=2), None
        stream, at = pair.ours.encoder_stream(2), 0
        encode = getattr(pair.theirs, "encode", pair.theirs)
        options = {"sample": False} if hasattr(pair.theirs, "encode") else {}
        for frames in (1, 1, 2, 7, 1, 33, 15):
            part = pcm[:, :, at * HOP : (at + frames) * HOP]
            given = encode(torch.from_numpy(part), padding_cache=cache, use_cache=True, **options)
            cache, at = given.padding_cache, at + frames
            reference.assert_near(stream.push(part), given.latents.mT.contiguous().numpy())
        assert at == 60

    @torch.no_grad()
    def test_decoder(self, vibevoice):
        latents, cache = random_latents(vibevoice.ours, 60, rows=2), None
        stream, at = vibevoice.ours.decoder_stream(2), 0
        for frames in (1, 1, 1, 2, 7, 33, 15):
            part = latents[:, :, at : at + frames]
            given = vibevoice.theirs.decode(torch.from_numpy(part).mT, padding_cache=cache, use_cache=True)
            cache, at = given.padding_cache, at + frames
            reference.assert_near(stream.push(part), given.audio.numpy())
        assert at == 60


class TestNoise:
    def test_the_formula(self, vibevoice):
        """One scale a row, drawn before the noise."""
        latents, rng = random_latents(vibevoice.ours, 5, rows=3), np.random.default_rng(7)
        scales = 0.625 * rng.standard_normal(3, np.float32)
        noise = rng.standard_normal((3, 8, 5), np.float32)
        expected = latents + scales[:, None, None] * noise
        np.testing.assert_allclose(vibevoice.ours.sample(latents, 7), expected, rtol=1e-6)
        np.testing.assert_array_equal(
            vibevoice.ours.sample(latents, np.random.default_rng(7)), vibevoice.ours.sample(latents, 7)
        )

    @torch.no_grad()
    def test_as_the_reference_adds_it(self, vibevoice):
        """With the reference's random numbers in place of ours, its latents."""
        pcm = signals.noise(6 * HOP, rows=2)
        torch.manual_seed(3)
        theirs = vibevoice.theirs.encode(torch.from_numpy(pcm)).latents.mT.numpy()
        torch.manual_seed(3)
        scales = torch.randn(2).numpy()
        noise = torch.randn_like(torch.empty(2, 8, 6).mT).mT.numpy()  # its latents are such a view

        class Drawn(np.random.Generator):
            def __init__(self):
                super().__init__(np.random.PCG64())
                self.left = [scales.reshape(2, 1, 1), noise]

            def standard_normal(self, size=None, dtype=np.float64):
                numbers = self.left.pop(0)
                assert (numbers.shape, numbers.dtype) == (size, dtype)
                return numbers

        ours = vibevoice.ours.sample(vibevoice.ours.encode_latents(pcm), Drawn())
        reference.assert_near(ours, np.ascontiguousarray(theirs))

    def test_seeds_and_generators(self, vibevoice):
        latents = random_latents(vibevoice.ours, 4)
        assert not np.array_equal(vibevoice.ours.sample(latents, 1), vibevoice.ours.sample(latents, 2))
        generator = np.random.default_rng(1)
        first, second = vibevoice.ours.sample(latents, generator), vibevoice.ours.sample(latents, generator)
        np.testing.assert_array_equal(first, vibevoice.ours.sample(latents, 1))
        assert not np.array_equal(first, second)
        assert first.shape == (8, 4)
        assert first.dtype == np.float32

    def test_the_scale_is_the_configuration_s(self, tmp_path):
        pair = family_models.vibevoice(tmp_path, {"vae_std": 0.0})
        latents = random_latents(pair.ours, 4)
        assert pair.ours.noise_scale == 0.0
        np.testing.assert_array_equal(pair.ours.sample(latents, 1), latents)

    def test_encode_adds_none(self, vibevoice):
        pcm = signals.noise(9 * HOP)
        np.testing.assert_array_equal(vibevoice.ours.encode_latents(pcm), vibevoice.ours.encode_latents(pcm))

    @pytest.mark.parametrize(
        ("generator", "error"),
        [(-1, mimi_codec.ConfigError), (None, mimi_codec.InputTypeError), ("1", mimi_codec.InputTypeError)],
    )
    def test_refused(self, vibevoice, generator, error):
        with pytest.raises(error, match="generator"):
            vibevoice.ours.sample(random_latents(vibevoice.ours, 1), generator)
