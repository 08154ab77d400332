"""`mimi_codec.transformers.MimiModel` against the class it stands for: methods, outputs, caches, weights."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import DynamicCache
from transformers.models.mimi.modeling_mimi import MimiConv1dPaddingCache

import reference
import signals
from mimi_codec import Mimi
from mimi_codec.errors import AudioError, CodesError, ConfigError, InputTypeError, StreamError, WeightsError
from mimi_codec.transformers import MimiModel, StreamCache

HOP = 16
CODEBOOKS = 6


@pytest.fixture
def ours(tiny_pair) -> MimiModel:
    return MimiModel(tiny_pair.ours)


@pytest.fixture
def theirs(tiny_pair):
    return tiny_pair.theirs


def pcm(length: int, rows: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(signals.noise(length, seed=seed, rows=rows, level=0.3))


def random_codes(frames: int, rows: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(frames).integers(0, 32, (rows, CODEBOOKS, frames)))


class TestWholeClips:
    @pytest.mark.parametrize("length", [1, HOP - 1, HOP, HOP + 1, 5 * HOP + 7, 60 * HOP])
    def test_encode(self, ours, theirs, length):
        x = pcm(length)
        reference.assert_same_codes(ours.encode(x).audio_codes.numpy(), theirs, x.numpy())

    @pytest.mark.parametrize("count", [1, 4, 6, None])
    def test_number_of_codebooks(self, ours, theirs, count):
        x = pcm(9 * HOP)
        codes = ours.encode(x, num_quantizers=count).audio_codes
        assert codes.shape == (2, count or 6, 9)
        reference.assert_same_codes(codes.numpy(), theirs, x.numpy())

    @pytest.mark.parametrize("count", [0, 7, -1])
    def test_number_of_codebooks_that_there_is_not(self, ours, theirs, count):
        with pytest.raises(ValueError, match="quantizers"):
            theirs.encode(pcm(HOP), num_quantizers=count)
        with pytest.raises(ConfigError, match=r"num_quantizers must be between 1 and 6"):
            ours.encode(pcm(HOP), num_quantizers=count)

    @pytest.mark.parametrize("count", [1, 3, 6])
    def test_decode(self, ours, theirs, count):
        codes = random_codes(12)[:, :count]
        audio = ours.decode(codes).audio_values
        reference.assert_near(audio.numpy(), theirs.decode(codes).audio_values.detach().numpy())

    def test_forward_is_as_long_as_the_input_or_the_mask(self, ours, theirs):
        x = pcm(5 * HOP + 3)
        assert ours(x).audio_values.shape == theirs(x).audio_values.shape == x.shape
        mask = torch.ones(2, 4 * HOP + 1)
        assert ours(x, mask).audio_values.shape == theirs(x, mask).audio_values.shape
        codes = ours(x, num_quantizers=2).audio_codes
        assert codes.shape == (2, 2, 6)
        assert torch.equal(ours(x, audio_codes=codes).audio_values, ours(x, num_quantizers=2).audio_values)

    def test_mask_trims_decoded_audio(self, ours, theirs):
        codes = random_codes(4)
        for length in (1, 3 * HOP + 5, 4 * HOP, 9 * HOP):
            mask = torch.ones(2, length)
            expected = theirs.decode(codes, mask).audio_values.shape
            assert ours.decode(codes, padding_mask=mask).audio_values.shape == expected

    def test_nothing_gives_nothing(self, ours):
        """Transformers raises here."""
        assert ours.encode(pcm(0)).audio_codes.shape == (2, CODEBOOKS, 0)
        assert ours.decode(random_codes(0)).audio_values.shape == (2, 1, 0)


class TestTensors:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_audio_of_any_float_type(self, ours, dtype):
        x = pcm(4 * HOP).to(dtype)
        codes = ours.encode(x).audio_codes
        assert codes.dtype == torch.int64
        assert torch.equal(codes, ours.encode(x.float()).audio_codes)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
    def test_codes_of_any_integer_type(self, ours, dtype):
        codes = random_codes(4)
        assert torch.equal(ours.decode(codes.to(dtype)).audio_values, ours.decode(codes).audio_values)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_audio_comes_in_the_type_of_the_module(self, ours, dtype):
        expected = ours.decode(random_codes(4)).audio_values
        ours.to(dtype)
        assert ours.dtype == dtype
        assert torch.equal(ours.decode(random_codes(4)).audio_values, expected.to(dtype))

    def test_gradients_and_strides(self, ours):
        wide = pcm(8 * HOP).requires_grad_()
        assert torch.equal(ours.encode(wide[..., ::2])[0], ours.encode(wide.detach()[..., ::2].contiguous())[0])

    def test_what_is_wrong_is_said(self, ours):
        with pytest.raises(AudioError, match=r"input_values must have shape \(B, 1, L\).*got \(2, 2, 32\)"):
            ours.encode(torch.zeros(2, 2, 32))
        with pytest.raises(AudioError, match=r"got \(32,\)"):
            ours.encode(torch.zeros(32))
        with pytest.raises(AudioError, match=r"NaN|finite"):
            ours.encode(torch.full((1, 1, 32), float("nan")))
        with pytest.raises(InputTypeError, match=r"float type, got torch\.int64"):
            ours.encode(torch.zeros(1, 1, 32, dtype=torch.int64))
        with pytest.raises(InputTypeError, match=r"torch\.Tensor, got list"):
            ours.encode([[0.0]])
        with pytest.raises(CodesError, match=r"audio_codes must have shape \(B, K, T\)"):
            ours.decode(random_codes(3)[0])
        with pytest.raises(CodesError, match="between 0 and 31"):
            ours.decode(random_codes(3) + 32)
        for use_cache in (False, True):
            with pytest.raises(CodesError, match="got -1 in codebook 0, frame 3"):
                ours.decode(torch.cat([random_codes(3), torch.full((2, 6, 1), -1)], dim=-1), use_cache=use_cache)
        with pytest.raises(CodesError, match=r"7|6"):
            ours.decode(torch.zeros(1, 7, 3, dtype=torch.int64))
        with pytest.raises(InputTypeError, match="integer type"):
            ours.decode(random_codes(3).float())
        with pytest.raises(ConfigError, match="no attentions"):
            ours.encode(pcm(HOP), output_attentions=True)
        with pytest.raises(TypeError, match="unexpected keyword argument 'n_quantizers'"):
            ours.encode(pcm(HOP), n_quantizers=2)
        with pytest.raises(ConfigError, match="invalid_codes"):
            MimiModel(ours.codec, invalid_codes="clamp")

    def test_ids_outside_can_end_the_audio(self, tiny):
        ours = MimiModel(tiny, invalid_codes="end")
        codes = random_codes(6)
        whole = ours.decode(codes).audio_values
        codes[0, 3, 4] = 32
        codes[1, 0, 2] = -1
        codes[1, 5, 4] = 34
        audio = ours.decode(codes).audio_values
        assert audio.shape == (2, 1, 4 * HOP)
        assert torch.equal(audio[0], whole[0, :, : 4 * HOP])
        assert torch.equal(audio[1, :, : 2 * HOP], whole[1, :, : 2 * HOP])
        assert (audio[1, :, 2 * HOP :] == 0).all()
        codes[:, :, 0] = 33
        assert ours.decode(codes).audio_values.shape == (2, 1, 0)


class TestOutputs:
    def test_attributes_keys_and_indices(self, ours, theirs):
        x = pcm(3 * HOP)
        for name in ("encode", "forward"):
            found, expected = getattr(ours, name)(x), getattr(theirs, name)(x)
            assert isinstance(found, type(expected))
            assert list(found.keys()) == list(expected.keys())
            assert found[0] is found.audio_codes is found["audio_codes"]
            as_tuple = getattr(ours, name)(x, return_dict=False)
            assert isinstance(as_tuple, tuple)
            assert len(as_tuple) == len(getattr(theirs, name)(x, return_dict=False))
        decoded = ours.decode(found.audio_codes)
        assert decoded[0] is decoded.audio_values
        assert isinstance(decoded, type(theirs.decode(found.audio_codes)))

    @pytest.mark.parametrize("method", ["encode", "decode", "forward", "get_audio_codes_mask", "get_encoded_length"])
    def test_arguments_have_the_same_names_and_order(self, ours, theirs, method):
        expected = list(inspect.signature(getattr(theirs, method)).parameters)
        found = list(inspect.signature(getattr(ours, method)).parameters)
        common = [name.replace("past_key_values", "cache") for name in expected if name not in ("args", "kwargs")]
        assert found[: len(common)] == common

    def test_lengths(self, ours, theirs):
        for length in (1, 15, 16, 17, 1000, 12345):
            assert ours.get_encoded_length(length) == theirs.get_encoded_length(length)
        lengths = torch.tensor([1, 16, 33])
        found = ours.get_encoded_length(lengths)
        assert found.dtype == torch.int64
        assert torch.equal(found, theirs.get_encoded_length(lengths))

    @pytest.mark.parametrize("side", ["right", "left"])
    def test_mask_of_frames(self, ours, theirs, side):
        mask = torch.arange(70) < torch.tensor([70, 33, 16, 1])[:, None]
        assert torch.equal(ours.get_audio_codes_mask(mask, side), theirs.get_audio_codes_mask(mask, side))

    def test_config(self, ours, theirs):
        for name in ("sampling_rate", "frame_rate", "num_codebooks", "codebook_size", "frame_size", "sliding_window"):
            assert getattr(ours.config, name) == getattr(theirs.config, name), name
        assert ours.bits_per_codebook == theirs.bits_per_codebook
        assert ours.device == theirs.device
        assert not ours.training
        assert not any(parameter.requires_grad for parameter in ours.parameters())


class TestEncoderStreams:
    def test_frame_by_frame_as_transformers_does_it(self, ours, theirs):
        """50 frames, with a window of 3."""
        x = pcm(50 * HOP)
        kv = cache = None
        pieces = []
        for chunk in x.split(HOP, dim=-1):
            out = ours.encode(chunk, encoder_past_key_values=kv, padding_cache=cache, use_streaming=True)
            kv, cache = out.encoder_past_key_values, out.padding_cache
            pieces.append(out.audio_codes)
        assert kv.get_seq_length() == 100
        assert torch.equal(torch.cat(pieces, -1), ours.encode(x).audio_codes)
        reference.assert_same_codes(torch.cat(pieces, -1).numpy(), theirs, x.numpy())

    def test_any_pieces(self, ours):
        """Transformers gives wrong codes, or raises, for pieces that are no whole number of frames."""
        x = pcm(20 * HOP + 5)
        cache = None
        pieces = []
        for chunk in torch.split(x, [1, 30, 0, 47, 16, 100, 131], dim=-1):
            out = ours.encode(chunk, padding_cache=cache, use_streaming=True)
            cache = out.padding_cache
            pieces.append(out.audio_codes)
        assert torch.equal(torch.cat(pieces, -1), ours.encode(x).audio_codes[..., :20])

    @pytest.mark.parametrize("which", ["padding_cache", "encoder_past_key_values", "both"])
    def test_empty_caches_of_the_caller(self, ours, which):
        x = pcm(8 * HOP)
        caches = {"padding_cache": MimiConv1dPaddingCache(0, [], [], []), "encoder_past_key_values": DynamicCache()}
        given = caches if which == "both" else {which: caches[which]}
        pieces = [ours.encode(chunk, **given).audio_codes for chunk in x.split(2 * HOP, dim=-1)]
        assert torch.equal(torch.cat(pieces, -1), ours.encode(x).audio_codes)

    def test_a_copied_cache_is_a_fork(self, ours):
        x = pcm(8 * HOP)
        cache = ours.encode(x[..., : 4 * HOP], use_streaming=True).padding_cache
        fork = copy.deepcopy(cache)
        first = ours.encode(x[..., 4 * HOP :], padding_cache=cache).audio_codes
        assert torch.equal(ours.encode(x[..., 4 * HOP :], padding_cache=fork).audio_codes, first)

    def test_reset(self, ours):
        x = pcm(4 * HOP)
        first = ours.encode(x, use_streaming=True)
        first.encoder_past_key_values.reset()
        again = ours.encode(x, padding_cache=first.padding_cache).audio_codes
        assert torch.equal(again, first.audio_codes)

    def test_fewer_codebooks_later(self, ours):
        x = pcm(4 * HOP)
        cache = ours.encode(x[..., :HOP], num_quantizers=4, use_streaming=True).padding_cache
        codes = ours.encode(x[..., HOP:], num_quantizers=2, padding_cache=cache).audio_codes
        assert torch.equal(codes, ours.encode(x).audio_codes[:, :2, 1:])
        with pytest.raises(StreamError, match="began with 4 codebooks, got num_quantizers=5"):
            ours.encode(x, num_quantizers=5, padding_cache=cache)

    def test_caches_that_do_not_fit(self, ours, theirs):
        x = pcm(4 * HOP)
        cache = ours.encode(x, use_streaming=True).padding_cache
        with pytest.raises(StreamError, match="batch of 2, got a batch of 1"):
            ours.encode(x[:1], padding_cache=cache)
        other = ours.encode(x, use_streaming=True).encoder_past_key_values
        with pytest.raises(StreamError, match="different streams"):
            ours.encode(x, padding_cache=cache, encoder_past_key_values=other)
        with pytest.raises(StreamError, match="of an EncoderStream"):
            ours.decode(random_codes(1), decoder_past_key_values=other)
        used, keys = theirs.encode(x, use_streaming=True), DynamicCache()
        keys.update(torch.zeros(2, 2, 8, 16), torch.zeros(2, 2, 8, 16), 0)
        with pytest.raises(StreamError, match="MimiConv1dPaddingCache holds the state of another codec"):
            ours.encode(x, padding_cache=used.padding_cache)
        with pytest.raises(StreamError, match="DynamicCache holds the state of another codec"):
            ours.encode(x, encoder_past_key_values=keys)

    def test_an_error_leaves_the_stream_as_it_was(self, ours):
        x = pcm(4 * HOP)
        cache = ours.encode(x[..., :HOP], use_streaming=True).padding_cache
        with pytest.raises(AudioError):
            ours.encode(torch.full((2, 1, HOP), float("inf")), padding_cache=cache)
        codes = ours.encode(x[..., HOP:], padding_cache=cache).audio_codes
        assert torch.equal(codes, ours.encode(x).audio_codes[..., 1:])

    def test_streams_by_configuration(self, tiny_pair):
        config = copy.deepcopy(tiny_pair.theirs.config)
        config.use_streaming = True
        out = MimiModel(tiny_pair.ours, config).encode(pcm(HOP))
        assert out.padding_cache is not None
        assert isinstance(out.encoder_past_key_values, StreamCache)


class TestDecoderStreams:
    """Transformers restarts its convolutions with every call; here pieces are the whole, exactly."""

    @pytest.mark.parametrize("step", [1, 2, 7])
    def test_pieces(self, ours, step):
        codes = random_codes(40)
        cache = None
        pieces = []
        for piece in codes.split(step, dim=-1):
            out = ours.decode(piece, decoder_past_key_values=cache, use_cache=True)
            cache = out.decoder_past_key_values
            pieces.append(out.audio_values)
        assert torch.equal(torch.cat(pieces, -1), ours.decode(codes).audio_values)
        assert cache.get_seq_length() == 80

    def test_by_configuration(self, tiny_pair):
        config = copy.deepcopy(tiny_pair.theirs.config)
        config.use_cache = True
        out = MimiModel(tiny_pair.ours, config).decode(random_codes(2))
        assert isinstance(out.decoder_past_key_values, StreamCache)

    def test_rows_cannot_be_reordered(self, ours):
        cache = ours.decode(random_codes(2), use_cache=True).decoder_past_key_values
        for change in (cache.reorder_cache, cache.batch_select_indices, cache.batch_repeat_interleave, cache.crop):
            with pytest.raises(StreamError, match="reordered"):
                change(torch.tensor([1, 0]))


class TestWeights:
    def test_from_a_model_in_memory(self, theirs):
        ours = MimiModel.from_state_dict(theirs.state_dict(), theirs.config)
        x = pcm(9 * HOP)
        reference.assert_same_codes(ours.encode(x).audio_codes.numpy(), theirs, x.numpy())

    def test_from_files(self, theirs, tiny_dir):
        ours = MimiModel.from_pretrained(tiny_dir, num_codebooks=4)
        assert ours.encode(pcm(HOP)).audio_codes.shape == (2, 4, 1)

    def test_half_precision_in_memory(self, theirs):
        state = {name: value.bfloat16() for name, value in theirs.state_dict().items() if value.is_floating_point()}
        rounded = {name: value.float() for name, value in state.items()}
        found, expected = (MimiModel.from_state_dict(s, theirs.config).encode(pcm(9 * HOP)) for s in (state, rounded))
        assert torch.equal(found.audio_codes, expected.audio_codes)

    def test_state_dict_is_that_of_the_files(self, ours, tiny_dir):
        found, expected = ours.state_dict(), load_file(tiny_dir / "model.safetensors")
        assert set(found) == set(expected)
        assert all(torch.equal(found[name], expected[name]) for name in found)

    def test_load_state_dict(self, ours, theirs, tmp_path):
        import synthetic

        other = synthetic.build(theirs.config, seed=8)
        ours.load_state_dict(other.state_dict())
        x = pcm(9 * HOP)
        reference.assert_same_codes(ours.encode(x).audio_codes.numpy(), other, x.numpy())
        with pytest.raises(RuntimeError, match="Missing key"):
            ours.load_state_dict({})

    def test_what_is_wrong_is_said(self, theirs):
        state = dict(theirs.state_dict())
        name, value = next(item for item in state.items() if item[0].endswith("conv.weight"))
        with pytest.raises(WeightsError, match="on the meta device"):
            MimiModel.from_state_dict(state | {name: value.to("meta")}, theirs.config)
        with pytest.raises(WeightsError, match=r"shape|expected"):
            MimiModel.from_state_dict(state | {name: value[:1]}, theirs.config)

    def test_copies_and_pickles(self, theirs):
        ours = MimiModel.from_state_dict(theirs.state_dict(), theirs.config)
        x = pcm(3 * HOP)
        for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
            assert torch.equal(other.encode(x).audio_codes, ours.encode(x).audio_codes)

    def test_files_go_with_the_model(self, theirs):
        ours = MimiModel.from_state_dict(theirs.state_dict(), theirs.config)
        twin = copy.deepcopy(ours)
        directory = ours._files.path
        assert directory.is_dir()
        del ours
        assert directory.is_dir()
        assert twin.state_dict()
        del twin
        assert not directory.exists()

    def test_a_loaded_codec_is_shared(self, tiny: Mimi):
        assert MimiModel(tiny).codec is copy.deepcopy(MimiModel(tiny)).codec is tiny


def test_import_alone_loads_nothing(run_python):
    run_python(
        """
        import sys
        import mimi_codec.transformers, mimi_codec.moshi, mimi_codec.pocket_tts, mimi_codec.rustymimi
        import mimi_codec.qwen_tts
        hosts = {"torch", "transformers", "moshi", "pocket_tts", "rustymimi", "qwen_tts"}
        assert not hosts & set(sys.modules), sys.modules.keys()
        classes = ["MimiModel", "PocketTTSAudioTokenizerModel", "Qwen3OmniMoeCode2Wav", "StreamCache"]
        classes += ["VibeVoiceAcousticTokenizerEncoderModel", "VibeVoiceAcousticTokenizerModel"]
        names = [*classes, "attach"]
        assert dir(mimi_codec.transformers) == names
        assert dir(mimi_codec.pocket_tts) == ["MimiModel", "attach"]
        assert dir(mimi_codec.qwen_tts) == ["Qwen3TTSTokenizer", "Qwen3TTSTokenizerV2Model", "attach", "live"]
        try:
            mimi_codec.transformers.Nothing
        except AttributeError as error:
            assert "has no attribute 'Nothing'" in str(error)
        """
    )
