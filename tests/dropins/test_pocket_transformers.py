"""The codec of Pocket TTS in a processor of Transformers: latents and audio as with its own."""

import copy
import json
import threading

import numpy as np
import pytest
import torch
from transformers import DynamicCache

import reference
import signals
import tiny_pocket
from mimi_codec import ConfigError, InputTypeError, LatentCodec, errors
from mimi_codec.transformers import MimiModel, PocketTTSAudioTokenizerModel, attach
from tiny_pocket import DIM, HOP

pytestmark = pytest.mark.filterwarnings("ignore")

TEXT = "<voice><prompt><audio> hello there"


@pytest.fixture(scope="module")
def theirs():
    return tiny_pocket.codec()


@pytest.fixture(scope="module")
def ours(theirs) -> PocketTTSAudioTokenizerModel:
    return attach(tiny_pocket.processor(theirs))


def pcm(frames: float, rows: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(signals.noise(int(frames * HOP), seed=seed, rows=rows, level=0.3))


def latents(frames: int, rows: int = 2) -> torch.Tensor:
    return torch.randn(rows, frames, DIM, generator=torch.Generator().manual_seed(frames))


def near(ours: torch.Tensor, expected: torch.Tensor) -> None:
    reference.assert_near(ours.numpy(), expected.numpy())


class TestProcessor:
    def test_a_voice_and_the_decoded_audio(self, theirs):
        """A voice that ends within a frame, a batch of two texts, and the fade that the host makes in place."""
        results = []
        for changed in (False, True):
            processor = tiny_pocket.processor(theirs)
            if changed:
                assert attach(processor) is processor.audio_tokenizer
            voices = [row[0, : HOP * 20 + 5 * i].numpy() for i, row in enumerate(pcm(21))]
            inputs = processor(text=[TEXT, TEXT], audio=voices, sampling_rate=24000, return_tensors="pt", padding=True)
            decoded = processor.decode(latents(9), torch.tensor([[1] * 9, [1] * 4 + [0] * 5]))
            results.append((inputs, decoded, processor.decode(latents(3, rows=1)[0])))
        expected, got = results
        assert got[0].keys() == expected[0].keys()
        for name, value in expected[0].items():
            if name == "audio_prompt_latents":
                near(got[0][name], value)
            else:
                assert torch.equal(got[0][name], value), name
        for one, other in zip((*got[1], got[2]), (*expected[1], expected[2]), strict=True):
            near(one, other)

    @pytest.mark.parametrize("missing", ["encoder_config", "decoder_config"])
    def test_half_a_codec(self, missing):
        """The other half works, and the host says in its own words what this one lacks."""
        original = tiny_pocket.codec(**{missing: None})
        processor = tiny_pocket.processor(original)
        ours = attach(processor)
        assert getattr(processor.audio_tokenizer.config, missing) is None
        if missing == "encoder_config":
            near(ours.decode(latents(5)).audio_values, original.decode(latents(5)).audio_values.detach())
            with pytest.raises(ValueError, match="no encoder"):
                processor(text=TEXT, audio=[pcm(3)[0, 0].numpy()], sampling_rate=24000, return_tensors="pt")
            with pytest.raises(ConfigError, match="cannot encode"):
                ours.encode(pcm(3))
        else:
            near(ours.encode(pcm(5)).latents, original.encode(pcm(5)).latents.detach())
            with pytest.raises(ValueError, match="no decoder"):
                processor.decode(latents(3))

    def test_given_codecs(self, theirs, ours, tmp_path):
        for codec in (ours.codec, _saved(theirs, tmp_path)):
            processor = tiny_pocket.processor(theirs)
            attached = attach(processor, codec)
            assert isinstance(attached.codec, LatentCodec)
            assert torch.equal(attached.encode(pcm(4)).latents, ours.encode(pcm(4)).latents)
        decoder = attach(tiny_pocket.processor(theirs), _load(tmp_path, parts="decoder"))
        assert decoder.config.encoder_config is None
        assert theirs.config.encoder_config is not None
        # a processor that has none so far
        empty = tiny_pocket.processor()
        attached = attach(empty, ours.codec)
        assert attached.config.frame_size == HOP
        assert torch.equal(empty.decode(latents(4))[0], tiny_pocket_decode(ours))
        with pytest.raises(InputTypeError, match="no audio_tokenizer"):
            attach(tiny_pocket.processor())

    def test_what_does_not_fit(self, theirs, demo):
        with pytest.raises(ConfigError, match="continuous latents"):
            attach(tiny_pocket.processor(theirs), demo)
        wider = attach(tiny_pocket.processor(tiny_pocket.codec(latent_dim=DIM + 1))).codec
        with pytest.raises(ConfigError, match="made for a codec of 8 values in a latent"):
            attach(tiny_pocket.processor(theirs), wider)
        with pytest.raises(ConfigError, match="invalid_codes"):
            attach(tiny_pocket.processor(theirs), invalid_codes="end")
        with pytest.raises(InputTypeError, match="PocketTTSProcessor"):
            attach(torch.nn.Linear(1, 1))

    def test_saved_processors_name_the_original(self, theirs, tmp_path):
        original = copy.deepcopy(theirs)
        original.name_or_path = str(tmp_path / "codec")
        original.save_pretrained(tmp_path / "codec")
        processor = tiny_pocket.processor(original)
        attach(processor)
        processor.save_pretrained(tmp_path / "processor")
        said = json.loads((tmp_path / "processor" / "processor_config.json").read_text())["audio_tokenizer"]
        assert said == {
            "audio_tokenizer_class": "PocketTTSAudioTokenizerModel",
            "audio_tokenizer_name_or_path": str(tmp_path / "codec"),
        }


class TestModel:
    @pytest.mark.parametrize("frames", [1, 7.5, 40])
    def test_whole_clips(self, theirs, ours, frames):
        x = pcm(frames)
        with torch.no_grad():
            expected = theirs.encode(x, torch.ones(2, x.shape[-1], dtype=torch.int32))
            audio = theirs.decode(expected.latents).audio_values
            both = theirs(x)
        got = ours.encode(x, torch.ones(2, x.shape[-1], dtype=torch.int32))
        near(got.latents, expected.latents)
        assert torch.equal(got.latents_mask, expected.latents_mask)
        near(ours.decode(expected.latents).audio_values, audio)
        near(ours(x).audio_values, both.audio_values)
        assert ours(x).latents_mask is None

    def test_masks(self, theirs, ours):
        mask = (torch.arange(HOP * 4) < torch.tensor([[HOP * 4], [HOP * 2 + 1]])).int()
        with torch.no_grad():
            expected = theirs.encode(pcm(4), mask).latents_mask
        got = ours.encode(pcm(4), mask).latents_mask
        assert torch.equal(got, expected)
        assert got.dtype == expected.dtype == torch.int64

    def test_results_are_fresh(self, ours):
        """The host writes into them."""
        z = latents(3)
        first = ours.decode(z).audio_values
        kept = first.clone()
        first *= 0
        assert torch.equal(ours.decode(z).audio_values, kept)
        found = ours.encode(pcm(3)).latents
        assert found.is_contiguous()
        found *= 0
        assert ours.encode(pcm(3)).latents.abs().max() > 0

    def test_float_types(self, theirs):
        model = attach(tiny_pocket.processor(copy.deepcopy(theirs).bfloat16()))
        assert model.dtype == torch.bfloat16
        assert model.encode(pcm(3).bfloat16()).latents.dtype == torch.bfloat16
        assert model.decode(latents(3).bfloat16()).audio_values.dtype == torch.bfloat16

    def test_state_dict(self, theirs):
        model = attach(tiny_pocket.processor(theirs))
        state = model.state_dict()
        assert state.keys() == theirs.state_dict().keys()
        other = tiny_pocket.codec(seed=2)
        model.load_state_dict(other.state_dict())
        near(model.decode(latents(4)).audio_values, other.decode(latents(4)).audio_values.detach())
        with pytest.raises(RuntimeError, match=r"Missing key.*latent_proj\.weight"):
            model.load_state_dict({})
        halves = tiny_pocket.codec(encoder_config=None)
        decoder = attach(tiny_pocket.processor(halves))
        decoder.load_state_dict(halves.state_dict())
        assert decoder.codec.parts == "decoder"

    def test_attached_again(self, theirs):
        """With more threads; a codec that was given stays."""
        processor = tiny_pocket.processor(theirs)
        attach(processor)
        assert attach(processor, threads=2).codec is not attach(processor, threads=1).codec
        near(processor.audio_tokenizer.decode(latents(4)).audio_values, theirs.decode(latents(4)).audio_values.detach())
        given = processor.audio_tokenizer.codec
        attach(processor, given)
        assert attach(processor).codec is given

    def test_tuples(self, ours):
        found = ours.encode(pcm(3), return_dict=False)
        assert isinstance(found, tuple)
        assert torch.equal(found[0], ours.encode(pcm(3)).latents)
        with pytest.raises(TypeError, match="unexpected keyword"):
            ours.decode(latents(3), nothing=1)
        with pytest.raises(ConfigError, match="output_attentions"):
            ours.encode(pcm(3), output_attentions=True)

    def test_refused_tensors(self, ours):
        for value in (latents(3)[0], latents(3)[..., :-1], latents(3) * np.nan):
            with pytest.raises(errors.LatentsError):
                ours.decode(value)
        for value in (latents(3).long(), latents(3).numpy()):
            with pytest.raises(InputTypeError):
                ours.decode(value)


class TestStreams:
    @pytest.mark.parametrize("names", [("encoder_cache", "decoder_cache"), ("cache", "past_key_values")])
    def test_pieces_equal_the_whole(self, ours, names):
        into, back = names
        x, cache, padding, pieces = pcm(20), None, None, []
        for piece in x.split(HOP * 2 + 7, dim=-1):
            out = ours.encode(piece, padding_cache=padding, use_streaming=True, **{into: cache})
            cache, padding = out.encoder_cache, out.padding_cache
            pieces.append(out.latents)
        found = torch.cat(pieces, dim=1)
        assert torch.equal(found, ours.encode(x).latents)
        cache, audio = None, []
        for piece in found.split([1, 2, 3, 2, 12], dim=1):
            out = ours.decode(piece, use_cache=True, **{back: cache})
            cache = out[back]
            assert cache is out.decoder_cache is out.decoder_past_key_values
            audio.append(out.audio_values)
        assert torch.equal(torch.cat(audio, dim=-1), ours.decode(found).audio_values)
        assert cache.get_seq_length() == 20 * 2

    def test_their_cache_objects(self, ours):
        cache = DynamicCache()
        first = ours.decode(latents(5)[:, :2], decoder_cache=cache).audio_values
        second = ours.decode(latents(5)[:, 2:], decoder_cache=cache).audio_values
        assert torch.equal(torch.cat([first, second], dim=-1), ours.decode(latents(5)).audio_values)

    def test_refused_caches(self, ours, demo):
        cache = ours.decode(latents(2), use_cache=True).decoder_cache
        with pytest.raises(errors.StreamError, match="batch of 2"):
            ours.decode(latents(2, rows=3), decoder_cache=cache)
        with pytest.raises(errors.StreamError, match="EncoderStream"):
            ours.encode(pcm(2), encoder_cache=cache)
        codes = MimiModel(demo).decode(torch.zeros(2, 8, 1, dtype=torch.long), use_cache=True).decoder_cache
        with pytest.raises(errors.StreamError, match="stream of latents"):
            ours.decode(latents(2), decoder_cache=codes)
        with pytest.raises(errors.StreamError, match="stream of codes"):
            MimiModel(demo).decode(torch.zeros(2, 8, 1, dtype=torch.long), decoder_cache=cache)

    def test_threads(self, ours):
        """One codec, two streams in two threads."""
        expected, found = ours.decode(latents(12)).audio_values, {}

        def decode(name):
            cache, pieces = None, []
            for piece in latents(12).split(1, dim=1):
                out = ours.decode(piece, decoder_cache=cache, use_cache=True)
                cache = out.decoder_cache
                pieces.append(out.audio_values)
            found[name] = torch.cat(pieces, dim=-1)

        threads = [threading.Thread(target=decode, args=(name,)) for name in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(torch.equal(found[name], expected) for name in range(2))


def _saved(theirs, directory) -> str:
    theirs.save_pretrained(directory)
    return str(directory)


def _load(directory, **options) -> LatentCodec:
    import mimi_codec

    return mimi_codec.load(directory, **options)


def tiny_pocket_decode(ours) -> torch.Tensor:
    processor = tiny_pocket.processor()
    processor.audio_tokenizer = ours
    return processor.decode(latents(4))[0]
