"""VibeVoice's tokenizers: what the models that speak and transcribe do with ours, whole clips, noise and streams."""

import copy
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("transformers", minversion="5.23", reason="VibeVoice needs Transformers 5.23")

from transformers.models.vibevoice_acoustic_tokenizer.modeling_vibevoice_acoustic_tokenizer import (
    VibeVoiceAcousticTokenizerConv1dPaddingCache as TheirCache,
)

import reference
import signals
import tiny_vibevoice as tiny
from mimi_codec import ConfigError, InputTypeError, StreamError, errors
from mimi_codec.transformers import VibeVoiceAcousticTokenizerModel, attach
from tiny_vibevoice import HOP

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def speaker():
    return tiny.speaker()


@pytest.fixture(scope="module")
def theirs(speaker) -> SimpleNamespace:
    return SimpleNamespace(acoustic=speaker.model.audio_tower, semantic=speaker.model.semantic_tokenizer_encoder)


@pytest.fixture(scope="module")
def ours(speaker) -> SimpleNamespace:
    made = attach(copy.deepcopy(speaker))
    return SimpleNamespace(acoustic=made["audio_tower"], semantic=made["semantic_tokenizer_encoder"])


def pcm(samples: int, rows: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(signals.noise(samples, seed=seed, rows=rows, level=0.3))


def latents(frames: int, rows: int = 2) -> torch.Tensor:
    return torch.randn(rows, frames, tiny.ACOUSTIC, generator=torch.Generator().manual_seed(frames))


def near(ours: torch.Tensor, expected: torch.Tensor) -> None:
    reference.assert_near(ours.numpy(), expected.detach().numpy())


def seeded(call, *arguments, **options):
    torch.manual_seed(5)
    return call(*arguments, **options)


class TestHosts:
    @pytest.mark.parametrize("rows", [1, 2, 3])
    def test_one_that_speaks(self, speaker, rows):
        """Rows of a batch pause and end at different steps, in which they get frames of zeros."""
        changed = copy.deepcopy(speaker)
        made = attach(changed)
        assert made["audio_tower"] is changed.model.audio_tower
        assert made["semantic_tokenizer_encoder"] is changed.model.semantic_tokenizer_encoder
        expected = seeded(speaker.generate, **tiny.speaker_inputs(rows))
        got = seeded(changed.generate, **tiny.speaker_inputs(rows))
        assert len(got) == rows
        assert rows == 1 or len({audio.shape for audio in expected}) > 1
        for one, other in zip(got, expected, strict=True):
            near(one, other)

    @pytest.mark.parametrize("rows", [1, 3])
    def test_one_that_transcribes(self, rows):
        """In chunks of 4 frames, with noise."""
        original = tiny.transcriber()
        changed = copy.deepcopy(original)
        assert attach(changed).keys() == {"acoustic_tokenizer_encoder", "semantic_tokenizer_encoder"}
        inputs = tiny.transcriber_inputs(rows)
        assert torch.equal(seeded(changed.generate, **inputs), seeded(original.generate, **inputs))
        features = [
            seeded(host.model.get_audio_features, inputs["input_values"], inputs["padding_mask"]).pooler_output
            for host in (changed, original)
        ]
        near(*(feature.detach() for feature in features))

    def test_the_last_chunk_is_part_of_a_frame(self):
        """The original cannot encode it; ours gives the frames that are whole."""
        original = tiny.transcriber()
        changed = copy.deepcopy(original)
        attach(changed)
        x = pcm(8 * HOP + 1)
        with pytest.raises(RuntimeError, match="Kernel size"):
            original.model.get_audio_features(x)
        found = changed.model.get_audio_features(x, sample=False).last_hidden_state
        expected = original.model.get_audio_features(x[..., : 8 * HOP], sample=False).last_hidden_state
        near(found, expected)

    def test_half_precision(self):
        """Latents and audio come in the type of the model, which its other layers need."""
        host = tiny.speaker().to(torch.bfloat16)
        made = attach(host)
        assert {module.dtype for module in made.values()} == {torch.bfloat16}
        inputs = tiny.speaker_inputs(2)
        inputs["input_values"] = inputs["input_values"].bfloat16()
        audio = seeded(host.generate, **inputs)
        assert {row.dtype for row in audio} == {torch.bfloat16}
        assert made["audio_tower"].decode(latents(2).half()).audio.dtype == torch.bfloat16


class TestWholeClips:
    @pytest.mark.parametrize("samples", [HOP, 2 * HOP + 5, 3 * HOP - 1, 40 * HOP])
    def test_encode(self, theirs, ours, samples):
        x = pcm(samples)
        expected = theirs.acoustic.encode(x, sample=False).latents
        assert expected.shape == (2, samples // HOP, tiny.ACOUSTIC)
        near(ours.acoustic.encode(x, sample=False).latents, expected)
        near(ours.semantic(x).latents, theirs.semantic(x).latents)

    @pytest.mark.parametrize("frames", [1, 2, 40])
    def test_decode(self, theirs, ours, frames):
        found = ours.acoustic.decode(latents(frames))
        near(found.audio, theirs.acoustic.decode(latents(frames)).audio)
        assert found.padding_cache is None

    def test_both(self, theirs, ours):
        x = pcm(9 * HOP + 3)
        expected, got = (seeded(model, x) for model in (theirs.acoustic, ours.acoustic))
        near(got.latents, expected.latents)
        near(got.audio, expected.audio)
        assert got.keys() == expected.keys() == {"audio", "latents"}
        cached = seeded(ours.acoustic, x, use_cache=True)
        following = ours.acoustic.decode(latents(2), cached.padding_cache).audio
        whole = ours.acoustic.decode(torch.cat([cached.latents, latents(2)], dim=1)).audio
        assert torch.equal(torch.cat([cached.audio, following], dim=-1), whole)

    def test_too_short(self, theirs, ours):
        """An error of its own where the original fails inside a convolution."""
        x = pcm(HOP - 1)
        for encode in (theirs.acoustic.encode, theirs.semantic):
            with pytest.raises(RuntimeError, match="Kernel size"):
                encode(x)
        for encode in (ours.acoustic.encode, ours.semantic, ours.acoustic):
            with pytest.raises(errors.AudioError, match=f"a whole frame, {HOP} samples, got {HOP - 1}"):
                encode(x)

    def test_tuples(self, ours):
        x = pcm(3 * HOP)
        found = ours.acoustic.encode(x, sample=False, return_dict=False)
        assert isinstance(found, tuple)
        assert torch.equal(found[0], ours.acoustic.encode(x, sample=False).latents)
        assert ours.semantic(x, return_dict=False).latents.shape == (2, 3, tiny.SEMANTIC)  # as the original
        config = copy.deepcopy(ours.acoustic.config)
        config.return_dict = False
        assert isinstance(VibeVoiceAcousticTokenizerModel(ours.acoustic.codec, config).decode(latents(1)), tuple)

    def test_float_types(self, ours):
        model = copy.deepcopy(ours.acoustic).bfloat16()
        x = pcm(3 * HOP).bfloat16()
        found = model.encode(x, sample=False).latents
        assert torch.equal(found, ours.acoustic.encode(x, sample=False).latents.bfloat16())
        assert torch.equal(model.decode(found).audio, ours.acoustic.decode(found).audio.bfloat16())

    def test_results_are_fresh_and_have_no_gradient(self, ours):
        z = latents(3).requires_grad_()
        first = ours.acoustic.decode(z).audio
        assert not first.requires_grad
        kept = first.clone()
        first *= 0
        assert torch.equal(ours.acoustic.decode(z).audio, kept)

    def test_refused(self, ours):
        for value in (latents(3)[0], latents(3)[..., :-1], latents(3) * torch.nan):
            with pytest.raises(errors.LatentsError):
                ours.acoustic.decode(value)
        for value in (pcm(3 * HOP)[0], pcm(3 * HOP) * torch.nan):
            with pytest.raises(errors.AudioError):
                ours.acoustic.encode(value)
        with pytest.raises(InputTypeError):
            ours.semantic(pcm(3 * HOP).numpy())
        for call in (ours.semantic, ours.acoustic):
            with pytest.raises(TypeError, match="unexpected keyword"):
                call(pcm(3 * HOP), nothing=1)
            with pytest.raises(ConfigError, match="output_attentions"):
                call(pcm(3 * HOP), output_attentions=True)


class TestNoise:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize(("rows", "frames"), [(1, 1), (3, 1), (1, 7), (2, 2), (3, 10)])
    def test_the_same_numbers(self, theirs, ours, rows, frames, dtype):
        """From PyTorch's generator in the order of the original, also where that depends on how latents lie."""
        original, model = (copy.deepcopy(one.acoustic).to(dtype) for one in (theirs, ours))
        x = pcm(frames * HOP, rows=rows).to(dtype)
        found, expected = (
            seeded(one.encode, x).latents - one.encode(x, sample=False).latents for one in (model, original)
        )
        assert found.abs().max() > 0.01
        # roundings of sums below 8, which a difference doubles: other noise would be off by more than 0.5
        limit = 1e-5 if dtype == torch.float32 else 2**-4
        assert (found - expected).abs().max() < limit
        following = torch.randn(1)
        seeded(original.encode, x)
        assert torch.equal(torch.randn(1), following)

    def test_its_scale_is_that_of_the_configuration(self, ours):
        x = pcm(20 * HOP)
        config = copy.deepcopy(ours.acoustic.config)
        config.vae_std = 0.0
        quiet = VibeVoiceAcousticTokenizerModel(ours.acoustic.codec, config)
        assert torch.equal(quiet.encode(x).latents, ours.acoustic.encode(x, sample=False).latents)

    def test_not_without_asking(self, ours):
        x = pcm(2 * HOP)
        torch.manual_seed(1)
        before = torch.random.get_rng_state()
        ours.semantic(x)
        ours.acoustic.encode(x, sample=False)
        assert torch.equal(torch.random.get_rng_state(), before)


class TestStreams:
    def test_steps_as_the_original(self, theirs, ours):
        """As a host makes them: a frame decoded, and its audio encoded again, for a long time."""
        results = []
        for model in (theirs, ours):
            acoustic = semantic = None
            audio, heard = [], []
            with torch.no_grad():
                for frame in latents(150).split(1, dim=1):
                    out = model.acoustic.decode(frame, padding_cache=acoustic, use_cache=True)
                    acoustic = out.padding_cache
                    audio.append(out.audio)
                    out = model.semantic(out.audio, padding_cache=semantic, use_cache=True)
                    semantic = out.padding_cache
                    heard.append(out.latents)
            results.append((torch.cat(audio, dim=-1), torch.cat(heard, dim=1)))
        for expected, got in zip(*results, strict=True):
            near(got, expected)
        assert torch.equal(results[1][0], ours.acoustic.decode(latents(150)).audio)

    @pytest.mark.parametrize("step", [1, HOP - 1, HOP, 3 * HOP + 7])
    def test_pieces_of_any_length(self, ours, step):
        """The cache has what is left over; the original loses it."""
        x, cache, pieces = pcm(9 * HOP + 5), None, []
        for piece in x.split(step, dim=-1):
            out = ours.semantic(piece, padding_cache=cache, use_cache=True)
            cache = out.padding_cache
            pieces.append(out.latents)
        assert torch.equal(torch.cat(pieces, dim=1), ours.semantic(x).latents)

    def test_what_the_original_does_with_pieces(self, theirs):
        x = pcm(9 * HOP)
        first = theirs.semantic(x[..., : HOP + 7], use_cache=True)
        second = theirs.semantic(x[..., HOP + 7 :], padding_cache=first.padding_cache)
        assert first.latents.shape[1] + second.latents.shape[1] == 8

    def test_encode(self, ours):
        x = pcm(6 * HOP)
        first = ours.acoustic.encode(x[..., : 2 * HOP], use_cache=True, sample=False)
        second = ours.acoustic.encode(x[..., 2 * HOP :], first.padding_cache, sample=False)
        assert second.padding_cache is first.padding_cache
        found = torch.cat([first.latents, second.latents], dim=1)
        assert torch.equal(found, ours.acoustic.encode(x, sample=False).latents)

    def test_rows_without_audio(self, theirs, ours):
        """A step of zeros is a step of zeros, as in the original: rows share the cache."""
        z = latents(8)
        z[1, 3:5] = 0
        pieces, cache = [], None
        for frame in z.split(1, dim=1):
            out = ours.acoustic.decode(frame, padding_cache=cache, use_cache=True)
            cache = out.padding_cache
            pieces.append(out.audio)
        near(torch.cat(pieces, dim=-1), theirs.acoustic.decode(z).audio)

    def test_their_cache_objects(self, ours):
        cache = TheirCache()
        first = ours.acoustic.decode(latents(5)[:, :2], padding_cache=cache)
        assert first.padding_cache is cache
        second = ours.acoustic.decode(latents(5)[:, 2:], padding_cache=cache)
        found = torch.cat([first.audio, second.audio], dim=-1)
        assert torch.equal(found, ours.acoustic.decode(latents(5)).audio)
        assert isinstance(ours.acoustic.decode(latents(1), use_cache=True).padding_cache, TheirCache)

    def test_a_copied_cache_is_a_fork(self, ours):
        cache = ours.acoustic.decode(latents(4), use_cache=True).padding_cache
        fork = copy.deepcopy(cache)
        first = ours.acoustic.decode(latents(3), padding_cache=cache).audio
        assert torch.equal(ours.acoustic.decode(latents(3), padding_cache=fork).audio, first)

    def test_refused_caches(self, theirs, ours):
        cache = ours.acoustic.decode(latents(2), use_cache=True).padding_cache
        with pytest.raises(StreamError, match="batch of 2"):
            ours.acoustic.decode(latents(2, rows=3), padding_cache=cache)
        with pytest.raises(StreamError, match="EncoderStream"):
            ours.acoustic.encode(pcm(2 * HOP), padding_cache=cache)
        with pytest.raises(StreamError, match="needs its own"):
            theirs.acoustic.decode(latents(2), padding_cache=cache)
        used = theirs.acoustic.decode(latents(2), use_cache=True).padding_cache
        with pytest.raises(StreamError, match="state of another codec"):
            ours.acoustic.decode(latents(2), padding_cache=used)

    def test_a_failed_step_changes_nothing(self, ours):
        cache = ours.acoustic.decode(latents(2), use_cache=True).padding_cache
        fork = copy.deepcopy(cache)
        with pytest.raises(errors.LatentsError):
            ours.acoustic.decode(latents(2) * torch.inf, padding_cache=cache)
        found, expected = (ours.acoustic.decode(latents(3), padding_cache=one).audio for one in (cache, fork))
        assert torch.equal(found, expected)
