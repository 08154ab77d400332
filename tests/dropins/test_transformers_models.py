"""Moshi, CSM and KyutaiSpeechToText with the codec attached: the tokens and the audio they have with their own."""

import logging

import pytest
import torch
import transformers
from transformers import GenerationConfig, MimiModel, PreTrainedModel
from transformers.models.csm.generation_csm import CsmGenerationMixin

import reference
import signals
import tiny_models
from mimi_codec import ConfigError, InputTypeError, Mimi
from mimi_codec.errors import CodesError
from mimi_codec.transformers import attach
from tiny_models import CODEBOOK_SIZE, CODEBOOKS, HOP

MODELS = {
    "moshi": (tiny_models.moshi, "audio_encoder"),
    "csm": (tiny_models.csm, "codec_model"),
    "speech_to_text": (tiny_models.speech_to_text, "codec_model"),
}

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("transformers").setLevel(logging.ERROR)


@pytest.fixture(autouse=True)
def one_thread():
    """Operations this small take longer with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=MODELS)
def any_model(request):
    """A model and the name of the attribute its codec is under."""
    make, attribute = MODELS[request.param]
    return make(), attribute


def pair(make) -> tuple[PreTrainedModel, PreTrainedModel]:
    """The same model with its own codec and with ours."""
    original = make()
    changed = tiny_models.twin(original)
    attach(changed)
    return original, changed


def pcm(frames: float, rows: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(signals.noise(int(frames * HOP), seed=seed, rows=rows, level=0.3))


class TestMoshi:
    @pytest.mark.parametrize("rows", [1, 3])
    @pytest.mark.parametrize("sample", [False, True])
    def test_generate(self, rows, sample):
        results = []
        for model in pair(tiny_models.moshi):
            torch.manual_seed(2)
            results.append(
                model.generate(
                    input_ids=torch.arange(5).repeat(rows, 1) + 7,
                    user_input_values=pcm(5, rows, seed=1),
                    moshi_input_values=pcm(5, rows, seed=2),
                    max_new_tokens=16,
                    do_sample=sample,
                    return_audio_codes=True,
                )
            )
        theirs, ours = results
        assert torch.equal(ours.sequences, theirs.sequences)
        assert torch.equal(ours.audio_codes, theirs.audio_codes)
        assert len(ours.audio_codes.unique()) > CODEBOOK_SIZE // 2
        reference.assert_near(ours.audio_sequences.numpy(), theirs.audio_sequences.numpy())

    def test_forward(self):
        outputs = [
            model(
                input_ids=torch.arange(6).repeat(2, 1),
                user_input_values=pcm(5.5, seed=1),
                moshi_input_values=pcm(5.5, seed=2),
            ).logits
            for model in pair(tiny_models.moshi)
        ]
        assert torch.equal(*outputs)

    def test_freeze(self):
        model = tiny_models.moshi()
        codec = attach(model)
        codec.requires_grad_(True)
        before = codec.encode(pcm(3)).audio_codes
        model.freeze_audio_encoder()
        assert list(codec.parameters())
        assert not any(parameter.requires_grad for parameter in codec.parameters())
        assert codec._requires_grad is False
        assert torch.equal(codec.encode(pcm(3)).audio_codes, before)
        assert any(parameter.requires_grad for parameter in model.parameters())  # the rest can be trained

    def test_half_precision(self):
        """Audio comes in the type of the model, as it does from the original."""
        model = tiny_models.moshi().to(torch.bfloat16)
        codec = attach(model)
        assert codec.dtype == torch.bfloat16
        out = model.generate(
            input_ids=torch.arange(5)[None],
            user_input_values=pcm(5, 1).bfloat16(),
            moshi_input_values=pcm(5, 1).bfloat16(),
            max_new_tokens=8,
            do_sample=False,
        )
        assert out.audio_sequences.dtype == torch.bfloat16


class TestCsm:
    @staticmethod
    def prompt(rows: int, frames: float = 4.3) -> dict[str, torch.Tensor]:
        """Text, a segment of audio that ends within a frame, the end of audio, more text."""
        count = -int(-frames // 1)
        ids = torch.randint(2, 39, (rows, count + 6), generator=torch.Generator().manual_seed(rows))
        ids[:, 2 : 2 + count] = 40
        ids[:, 2 + count] = 41
        x = pcm(frames, rows)
        cutoffs = torch.full((rows, 1), x.shape[-1])
        return {"input_ids": ids, "input_values": x, "input_values_cutoffs": cutoffs}

    @pytest.mark.parametrize("rows", [1, 3])
    def test_generate(self, rows):
        theirs, ours = (
            model.generate(
                **self.prompt(rows),
                max_new_tokens=14,
                do_sample=False,
                output_audio=True,
                return_dict_in_generate=True,
            )
            for model in pair(tiny_models.csm)
        )
        assert torch.equal(ours.sequences, theirs.sequences)
        assert len(ours.sequences.unique()) > CODEBOOK_SIZE // 2
        for one, other in zip(ours.audio, theirs.audio, strict=True):
            assert one.shape == (14 * HOP,)
            reference.assert_near(one.numpy(), other.numpy())

    def test_several_segments_in_a_row(self):
        prompt = self.prompt(2)
        ids = torch.cat([prompt["input_ids"]] * 2, dim=1)
        x = pcm(8.6)
        middle = pcm(4.3).shape[-1]
        cutoffs = torch.tensor([[middle, x.shape[-1]]] * 2)
        theirs, ours = (
            model.generate(
                input_ids=ids, input_values=x, input_values_cutoffs=cutoffs, max_new_tokens=8, do_sample=False
            )
            for model in pair(tiny_models.csm)
        )
        assert torch.equal(ours, theirs)

    def test_stray_ids_end_the_audio(self):
        """The original raises IndexError."""
        original, changed = pair(lambda: tiny_models.csm(stray_ids=True))
        options = self.prompt(2) | {"max_new_tokens": 12, "do_sample": True}
        torch.manual_seed(0)
        codes = changed.generate(**options)
        assert (codes >= CODEBOOK_SIZE).any()
        torch.manual_seed(0)
        with pytest.raises(IndexError):
            original.generate(**options, output_audio=True)
        torch.manual_seed(0)
        audio = changed.generate(**options, output_audio=True)
        for row, frames in zip(audio, codes, strict=True):
            valid = (frames < CODEBOOK_SIZE).all(-1) & ~(frames == 0).all(-1)
            assert len(row) == HOP * valid.long().cumprod(0).sum()

    @pytest.mark.parametrize(
        ("end", "expected"),
        [
            pytest.param([], 6, id="no end"),
            pytest.param([0] * CODEBOOKS, 3, id="end frame"),
            pytest.param([0] * (CODEBOOKS - 1) + [5], 4, id="end frame with another last code"),
            pytest.param([CODEBOOK_SIZE + 2] * CODEBOOKS, 3, id="padding"),
        ],
    )
    def test_ends(self, monkeypatch, end, expected):
        """Where a row of 6 frames ends whose fourth is `end`, after which the batch is padded."""
        original, changed = pair(tiny_models.csm)
        codes = torch.randint(1, CODEBOOK_SIZE, (2, 6, CODEBOOKS), generator=torch.Generator().manual_seed(0))
        if end:
            codes[0, 3] = torch.tensor(end)
            codes[0, 4:] = CODEBOOK_SIZE + 2
        monkeypatch.setattr(CsmGenerationMixin, "_sample", lambda self, *a, **k: codes)
        audio = changed.generate(**self.prompt(2), output_audio=True, max_new_tokens=6)
        assert [len(row) for row in audio] == [expected * HOP, 6 * HOP]
        cut = codes[:1, :expected].transpose(1, 2)
        with torch.no_grad():
            reference.assert_near(audio[0].numpy(), original.codec_model.decode(cut).audio_values[0, 0].numpy())

    def test_an_end_at_once_is_no_audio(self, monkeypatch):
        original, changed = pair(tiny_models.csm)
        codes = torch.zeros(1, 1, CODEBOOKS, dtype=torch.long)
        monkeypatch.setattr(CsmGenerationMixin, "_sample", lambda self, *a, **k: codes)
        with pytest.raises(RuntimeError):
            original.generate(**self.prompt(1), output_audio=True, max_new_tokens=2)
        (audio,) = changed.generate(**self.prompt(1), output_audio=True, max_new_tokens=2)
        assert audio.shape == (0,)

    def test_frame_by_frame_decoding(self):
        """What Transformers has not: the audio of frames as they are generated, without clicks."""
        model = tiny_models.csm()
        codec = attach(model)
        codes = model.generate(**self.prompt(1), max_new_tokens=12, do_sample=False).transpose(1, 2)
        cache, pieces = None, []
        for frame in codes.split(1, dim=-1):
            out = codec.decode(frame, decoder_past_key_values=cache, use_cache=True)
            cache = out.decoder_past_key_values
            pieces.append(out.audio_values)
        assert torch.equal(torch.cat(pieces, -1), codec.decode(codes).audio_values)


class TestSpeechToText:
    @pytest.mark.parametrize("rows", [1, 3])
    @pytest.mark.parametrize("frames", [20, 20.4])
    @pytest.mark.parametrize("window", [None, 1, 2, 7])
    def test_generate(self, rows, frames, window):
        """Windows of frames are encoded one after another, beyond the attention window of 3 frames."""
        models = pair(tiny_models.speech_to_text)
        for model in models:
            model.generation_config.audio_window_size = window
        if transformers.__version__.startswith("4.") and (frames, window) == (20.4, None):
            for model in models:  # Transformers 4 itself cannot take what its default window leaves over
                with pytest.raises(RuntimeError, match="must match the size"):
                    model.generate(input_values=pcm(frames, rows), do_sample=False)
            return
        theirs, ours = (model.generate(input_values=pcm(frames, rows), do_sample=False) for model in models)
        assert torch.equal(ours, theirs)
        assert ours.shape[1] >= 20
        assert len(ours.unique()) > 8

    def test_every_call_begins_a_new_clip(self):
        model = tiny_models.speech_to_text()
        attach(model)
        model.generation_config.audio_window_size = 2
        first = model.generate(input_values=pcm(12), do_sample=False)
        model.generate(input_values=pcm(9, seed=3), do_sample=False)
        assert torch.equal(model.generate(input_values=pcm(12), do_sample=False), first)

    def test_codec_settings_survive_saving(self, tmp_path):
        model = tiny_models.speech_to_text()
        model.codec_model.generation_config.use_cache = True
        attach(model)
        model.save_pretrained(tmp_path)
        loaded = type(model).from_pretrained(tmp_path)
        assert isinstance(loaded.codec_model.generation_config, GenerationConfig)
        assert loaded.codec_model.generation_config.use_cache


class TestAttach:
    def test_replaces_and_returns(self, any_model):
        model, attribute = any_model
        config = getattr(model, attribute).config
        codec = attach(model, threads=2)
        assert getattr(model, attribute) is codec
        assert codec.config is config
        assert codec.codec.threads == 2

    def test_checkpoints_stay_whole(self, any_model, tmp_path):
        """Saved with ours inside, the model loads with its own codec and gives the same codes."""
        model, attribute = any_model
        x = pcm(30)
        expected = getattr(model, attribute).encode(x).audio_codes
        attach(model)
        model.save_pretrained(tmp_path)
        loaded, report = type(model).from_pretrained(tmp_path, output_loading_info=True)
        assert not any(report.values())
        assert isinstance(getattr(loaded, attribute), MimiModel)
        assert torch.equal(getattr(loaded, attribute).encode(x).audio_codes, expected)

    def test_weights_of_a_checkpoint(self, any_model, tmp_path):
        """A file of the whole model, with the codec under its prefix; also sharded."""
        model, attribute = any_model
        x = pcm(30)
        expected = getattr(model, attribute).encode(x).audio_codes
        for name, options in (("one", {}), ("shards", {"max_shard_size": "50KB"})):
            model.save_pretrained(tmp_path / name, **options)
            codec = attach(model, tmp_path / name)
            assert torch.equal(codec.encode(x).audio_codes, expected)

    def test_shared_codec(self, tiny: Mimi):
        models = [make() for make, _ in MODELS.values()]
        codecs = [attach(model, tiny) for model in models]
        assert all(codec.codec is tiny for codec in codecs)

    def test_twice(self, any_model):
        model, _ = any_model
        x = pcm(9)
        expected = attach(model).encode(x).audio_codes
        assert torch.equal(attach(model, threads=1).encode(x).audio_codes, expected)

    def test_invalid_ids_are_refused_but_in_csm(self, any_model):
        model, _ = any_model
        codec = attach(model)
        codes = torch.full((1, CODEBOOKS, 2), CODEBOOK_SIZE)
        if model.config.model_type == "csm":
            assert codec.decode(codes).audio_values.shape == (1, 1, 0)
        else:
            with pytest.raises(CodesError, match=str(CODEBOOK_SIZE)):
                codec.decode(codes)

    def test_another_codec(self, any_model, demo):
        model, _ = any_model
        with pytest.raises(ConfigError, match="the model was made for a codec of 6 codebooks, got a codec of 16"):
            attach(model, demo)

    def test_no_such_model(self):
        with pytest.raises(InputTypeError, match="expected a model with audio_encoder or codec_model"):
            attach(torch.nn.Linear(1, 1))
