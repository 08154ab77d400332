"""What Transformers does to tokens, by running its models on tiny random weights: Moshi, CSM and speech-to-text."""

from types import SimpleNamespace

import numpy as np
import pytest
from token_layouts import codes

from mimi_codec.tokens import STT_2_6B, DuplexStream, csm, delay, from_config, hf_moshi, merge_rows, stt

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CODEC = {
    "model_type": "mimi",
    "hidden_size": 16,
    "num_filters": 2,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "codebook_size": 32,
    "codebook_dim": 8,
    "vector_quantization_hidden_dimension": 8,
    "upsample_groups": 16,
    "num_quantizers": 4,
}
TRANSFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 200,
}


def codec():
    """A codec whose codes spread; those of a model as it is made are all zero."""
    import synthetic

    return synthetic.build(transformers.MimiConfig(**CODEC))


class TestMoshi:
    @pytest.fixture(scope="class")
    def moshi(self):
        config = transformers.MoshiConfig(
            **TRANSFORMER,
            vocab_size=50,
            ffn_dim=32,
            num_codebooks=4,
            audio_encoder_config=dict(CODEC),
            depth_decoder_config={
                "hidden_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "ffn_dim": 32,
            },
        )
        torch.manual_seed(1)
        return transformers.MoshiForConditionalGeneration(config).eval()

    @pytest.fixture(scope="class")
    def layout(self, moshi):
        layout = from_config(moshi.config.to_dict())
        assert layout.delays == (0, 0, 1, 1, 1, 0, 1, 1, 1)
        return layout

    @pytest.mark.parametrize("frames", [0, 1, 5, 9, 10, 11, 20])
    def test_the_pattern(self, moshi, layout, frames):
        clip = codes((2, 4, frames))
        theirs = moshi.build_delay_pattern_mask(torch.tensor(clip), 32, 32, 10)
        for ours, tensor in zip(hf_moshi.delay_pattern(layout, clip, 10), theirs, strict=True):
            np.testing.assert_array_equal(ours, tensor)
        inputs, pattern = hf_moshi.delay_pattern(layout, clip[0], 10)
        assert (inputs.shape, pattern.shape) == ((4, min(frames, 9)), (4, 10))

    @pytest.mark.parametrize("length", [3, 10])
    def test_applied(self, moshi, layout, length):
        _, pattern = hf_moshi.delay_pattern(layout, codes((2, 4, 5)), 10)
        made = codes((2, 4, length), 9)
        theirs = moshi.apply_delay_pattern_mask(torch.tensor(made), torch.tensor(pattern))
        np.testing.assert_array_equal(hf_moshi.apply_pattern(made, pattern), theirs)

    @pytest.mark.parametrize("prompt", [1, 5])
    @pytest.mark.parametrize("unconditional", [True, False])
    @torch.no_grad()
    def test_generate(self, moshi, layout, monkeypatch, prompt, unconditional):
        """What `generate` hands to the decoder, from what its depth decoder made."""
        decoded, patterns = [], []
        build = moshi.build_delay_pattern_mask

        def keep_pattern(*args, **options):
            patterns.append(build(*args, **options))
            return patterns[-1]

        def keep_decoded(tokens):
            decoded.append(tokens)
            return SimpleNamespace(audio_values=None)

        monkeypatch.setattr(moshi, "build_delay_pattern_mask", keep_pattern)
        monkeypatch.setattr(moshi.audio_encoder, "decode", keep_decoded)
        user, said = codes((2, 4, prompt), 1), codes((2, 4, prompt), 2)
        moshi.generate(
            input_ids=torch.tensor(codes((2, prompt), 3, 50)),
            user_audio_codes=torch.tensor(user),
            moshi_audio_codes=torch.tensor(said),
            concat_unconditional_inputs=unconditional,
            max_new_tokens=8,
            do_sample=False,
        )
        _, pattern = patterns[-1]  # the user's is made first
        aligned = hf_moshi.undo_pattern(layout, moshi.generated_audio_codes.numpy(), pattern.numpy())
        np.testing.assert_array_equal(aligned, decoded[0])
        np.testing.assert_array_equal(aligned[:, :, :prompt], said)
        np.testing.assert_array_equal(
            hf_moshi.undo_pattern(layout, moshi.generated_audio_codes[0], pattern[0]), aligned[0]
        )

    def test_it_is_the_training_layout(self, layout):
        """With the unconditional frame in front, as `generate` puts it, both are one matrix."""
        user, said = codes((4, 6), 1), codes((4, 6), 2)
        matrix = delay(layout, merge_rows(layout, said, user))
        initial = np.full((4, 1), 32)
        for clip, rows in ((said, layout.generated_rows), (user, layout.user_rows)):
            ours, _ = hf_moshi.delay_pattern(layout, np.concatenate([initial, clip], 1), 20)
            np.testing.assert_array_equal(ours, matrix[rows])

    def test_a_generation_that_ends_early(self, layout):
        _, pattern = hf_moshi.delay_pattern(layout, codes((2, 4, 3)), 20)
        made = codes((2, 4, 9), 4)
        aligned = hf_moshi.undo_pattern(layout, made, pattern)
        applied = hf_moshi.apply_pattern(made, pattern)
        np.testing.assert_array_equal(aligned[:, 0], applied[:, 0, :8])
        np.testing.assert_array_equal(aligned[:, 1:], applied[:, 1:, 1:])

    def test_wrong_input(self, layout):
        from mimi_codec import CodesError, ConfigError

        with pytest.raises(CodesError, match="4 codebooks, got 3"):
            hf_moshi.delay_pattern(layout, codes((3, 5)), 10)
        with pytest.raises(ConfigError, match="above the largest delay, 1, got 1"):
            hf_moshi.delay_pattern(layout, codes((4, 5)), 1)
        _, pattern = hf_moshi.delay_pattern(layout, codes((4, 5)), 10)
        with pytest.raises(CodesError, match=r"\(1, 4, 11\)"):
            hf_moshi.undo_pattern(layout, codes((4, 11)), pattern)
        with pytest.raises(CodesError, match="ungenerated"):
            hf_moshi.undo_pattern(layout, np.full((4, 10), -2), pattern)
        uneven = np.stack([pattern, np.full_like(pattern, -1)])
        with pytest.raises(CodesError, match=r"same number of frames, got \[9, 10\]"):
            hf_moshi.undo_pattern(layout, codes((2, 4, 10)), uneven)


class TestCsm:
    @pytest.fixture(scope="class")
    def model(self):
        config = transformers.CsmConfig(
            **TRANSFORMER,
            intermediate_size=32,
            num_codebooks=4,
            vocab_size=35,
            text_vocab_size=60,
            pad_token_id=55,
            bos_token_id=56,
            codebook_pad_token_id=34,
            audio_token_id=50,
            audio_eos_token_id=51,
            codec_config=dict(CODEC),
            depth_decoder_config={
                "num_codebooks": 4,
                "backbone_hidden_size": 16,
                "vocab_size": 35,
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
            },
        )
        torch.manual_seed(1)
        model = transformers.CsmForConditionalGeneration(config).eval()
        model.codec_model.load_state_dict(codec().state_dict())
        return model

    @pytest.fixture(scope="class")
    def layout(self, model):
        layout = from_config(model.config.to_dict())
        assert (layout.num_columns, layout.padding_id, layout.codebook_size) == (5, 34, 32)
        return layout

    @torch.no_grad()
    def test_a_prompt(self, model, layout):
        """Our frames, embedded by their mask, are what the model makes of placeholders and audio."""
        pcm = [torch.randn(1, 1, 1920 * 3), torch.randn(1, 1, 1920 * 2 + 100)]
        parts = []
        for index, clip in enumerate(pcm):
            parts.append(csm.text_frames(codes(4, index, 49), layout))
            parts.append(csm.audio_frames(model.codec_model.encode(clip).audio_codes[0], layout))
        tokens, mask = csm.join(*parts)
        ends = torch.tensor([[clip.shape[-1] for clip in pcm]]).cumsum(-1)
        ids = torch.tensor(csm.input_ids(tokens, mask, layout))[None]
        theirs = model._merge_input_ids_with_input_values(ids, torch.cat(pcm, -1), ends)["inputs_embeds"][0]
        text = model.embed_text_tokens(torch.tensor(tokens[:, -1]))
        offsets = np.arange(4) * layout.vocab_size
        audio = model.backbone_model.embed_tokens.embed_audio_tokens(torch.tensor(tokens[:, :-1] + offsets))
        ours = torch.cat([audio, text[:, None]], 1) * torch.tensor(mask)[..., None]
        torch.testing.assert_close(ours.sum(1), theirs)

    def test_the_number_of_placeholders(self, model, layout):
        """The processor counts frames by itself: they are those of the codec."""
        from transformers.models.csm.processing_csm import CsmProcessor, CsmProcessorKwargs

        defaults = getattr(CsmProcessor, "audio_kwargs", None) or CsmProcessorKwargs._defaults["audio_kwargs"]
        kwargs = defaults["encoded_length_kwargs"]
        for samples in (1920, 1921, 5000, 24000):
            clip = codes((4, -(-samples // 1920)))
            frames = csm.audio_frames(clip, layout)
            placeholders = (csm.input_ids(*frames, layout) == layout.audio_token_id).sum()
            assert placeholders == CsmProcessor._get_encoded_length(samples, **kwargs)

    @torch.no_grad()
    def test_what_goes_to_the_decoder(self, model, layout, monkeypatch):
        """`generate(output_audio=True)`: clips that never end, end early or late, or by zeros in all but the last."""
        batch = codes((4, 7, 4), 3, 31) + 1
        batch[1, 4] = 0
        batch[1, 5:] = 34
        batch[2, 6] = 0
        batch[3, 1] = 0
        batch[3, 2:] = 34
        decoded = []

        def keep(tokens):
            decoded.append(tokens[0].numpy())
            return SimpleNamespace(audio_values=torch.zeros(1, 1, 1))

        monkeypatch.setattr(model.codec_model, "decode", keep)
        monkeypatch.setattr(transformers.GenerationMixin, "generate", lambda *_, **__: torch.tensor(batch))
        model.generate(input_ids=torch.zeros(4, 1, dtype=torch.long), output_audio=True)
        ours = csm.generated_clips(batch, layout)
        for clip, theirs in zip(ours, decoded, strict=True):
            np.testing.assert_array_equal(clip.codes, theirs)
        assert [clip.ended for clip in ours] == [False, True, True, True]

    @torch.no_grad()
    def test_a_real_generation(self, model, layout, monkeypatch):
        """Greedy on a random model, whose heads may choose ids that are no codes: those are named, the others equal."""
        decoded = []

        def keep(tokens):
            decoded.append(tokens[0].numpy())
            return SimpleNamespace(audio_values=torch.zeros(1, 1, 1))

        monkeypatch.setattr(model.codec_model, "decode", keep)
        prompt = torch.tensor(codes((2, 5), 4, 49))
        out = model.generate(
            input_ids=prompt, output_audio=True, return_dict_in_generate=True, do_sample=True, max_new_tokens=12
        )
        for clip, theirs in zip(csm.generated_clips(out.sequences, layout, sentinels="mask"), decoded, strict=True):
            np.testing.assert_array_equal(clip.codes, np.where(theirs < 32, theirs, 0))
            np.testing.assert_array_equal(clip.valid, (theirs < 32).all(axis=0))


class TestSpeechToText:
    def test_padding(self):
        extractor = transformers.KyutaiSpeechToTextFeatureExtractor(
            audio_delay_seconds=2.5, audio_silence_prefix_seconds=1.0
        )
        clips = np.random.default_rng(1).standard_normal((2, 7000)).astype(np.float32)
        theirs = extractor(list(clips), sampling_rate=24000, return_tensors="np")["input_values"]
        np.testing.assert_array_equal(stt.pad_audio(STT_2_6B, clips[:, np.newaxis]), theirs)
        np.testing.assert_array_equal(stt.pad_audio(STT_2_6B, clips[0]), theirs[0, 0])

    @torch.no_grad()
    def test_what_the_model_reads(self):
        """`generate` hears the audio as Rust and MLX do: one frame late, from the first on."""
        config = transformers.KyutaiSpeechToTextConfig(
            **TRANSFORMER,
            vocab_size=51,
            codebook_vocab_size=33,
            num_codebooks=4,
            audio_bos_token_id=32,
            audio_pad_token_id=51 + 4 * 33,
            bos_token_id=50,
            ffn_dim=32,
            codec_config=dict(CODEC),
        )
        torch.manual_seed(1)
        model = transformers.KyutaiSpeechToTextForConditionalGeneration(config).eval()
        model.codec_model.load_state_dict(codec().state_dict())
        layout = from_config(config.to_dict())
        read, forward = [], model.model.embed_tokens.forward

        def keep(ids):
            read.append(ids.numpy().copy())
            return forward(ids)

        model.model.embed_tokens.forward = keep
        pcm = torch.randn(2, 1, 1920 * 9)
        text = model.generate(input_values=pcm, do_sample=False)
        seen = np.concatenate(read, 1)
        clip = model.codec_model.encode(pcm).audio_codes.numpy()
        stream = DuplexStream(layout, 2, convention="rust")
        for step in range(seen.shape[1]):
            user = clip[:, :, step : step + 1]
            np.testing.assert_array_equal(stream.inputs(user)[:, :, 0], seen[:, step])
            stream.push(user, text[:, step + 1].numpy())
            np.testing.assert_array_equal(stream.pull().text, text[:, step + 1])
        assert seen.shape[1] == 9
