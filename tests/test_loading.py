"""Weights: what is wrong with a tensor is said by name; what is right loads in every form and is saved whole."""

import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import signals
from mimi_codec import Mimi
from mimi_codec.errors import ConfigError, DeviceError, InputTypeError, LoadError, WeightsError
from model_files import change_config, change_tensors

CLIP = signals.noise(333)
LAYER = "encoder_transformer.layers.1.mlp.fc1.weight"
BOOK = "quantizer.acoustic_residual_vector_quantizer.layers.4.codebook.embed_sum"


class TestTensors:
    @pytest.mark.parametrize("name", [LAYER, BOOK, "downsample.conv.weight", "decoder.layers.0.conv.bias"])
    def test_missing(self, copy, name):
        shape = list(load_file(copy / "model.safetensors")[name].shape)
        change_tensors(copy, lambda state: state.pop(name))
        with pytest.raises(WeightsError, match=re.escape(name) + ".*missing.*" + re.escape(str(shape))):
            Mimi.from_pretrained(copy)

    @pytest.mark.parametrize("name", [LAYER, BOOK, "upsample.conv.weight", "encoder.layers.0.conv.weight"])
    def test_misshapen(self, copy, name):
        shape = load_file(copy / "model.safetensors")[name].shape
        wrong = (shape[0] + 1, *shape[1:])
        change_tensors(copy, lambda state: state.update({name: np.zeros(wrong, np.float32)}))
        message = ".*".join(map(re.escape, (name, str(list(shape)), str(list(wrong)))))
        with pytest.raises(WeightsError, match=message):
            Mimi.from_pretrained(copy)

    def test_transposed(self, copy):
        """The right number of values is not the right shape."""
        change_tensors(copy, lambda state: state.update({LAYER: np.ascontiguousarray(state[LAYER].T)}))
        with pytest.raises(WeightsError, match=re.escape(LAYER)):
            Mimi.from_pretrained(copy)

    @pytest.mark.parametrize("name", ["encoder.layers.77.conv.weight", "encoder_transformer.layers.2.mlp.fc1.weight"])
    def test_surplus(self, copy, name):
        change_tensors(copy, lambda state: state.update({name: np.zeros(3, np.float32)}))
        with pytest.raises(WeightsError, match=re.escape(name)):
            Mimi.from_pretrained(copy)

    def test_more_layers_than_the_configuration(self, copy):
        change_config(copy, num_hidden_layers=1)
        with pytest.raises(WeightsError, match=r"transformer\.layers\.1\."):
            Mimi.from_pretrained(copy)

    @pytest.mark.parametrize("dtype", [np.int64, np.float64, np.int8])
    def test_stored_types_that_are_not_read(self, copy, dtype):
        change_tensors(copy, lambda state: state.update({LAYER: state[LAYER].astype(dtype)}))
        with pytest.raises(WeightsError, match=re.escape(LAYER) + ".*(F32|float32)"):
            Mimi.from_pretrained(copy)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_values_that_are_not_finite(self, copy, bad):
        def spoil(state):
            state[LAYER][3, 2] = bad

        change_tensors(copy, spoil)
        with pytest.raises(WeightsError, match=re.escape(LAYER) + ".*finite"):
            Mimi.from_pretrained(copy)

    def test_a_checkpoint_of_something_else(self, copy):
        save_file({"bert.embeddings.weight": np.zeros((3, 3), np.float32)}, copy / "model.safetensors")
        with pytest.raises(LoadError, match=r"model\.safetensors"):
            Mimi.from_pretrained(copy)

    def test_unused_rows_of_a_codebook(self, copy):
        """A cluster that was never used has usage 0: the division is clamped at 1e-5, as in the reference."""
        name = BOOK.replace("embed_sum", "cluster_usage")

        def unuse(state):
            state[name][:] = 0
            state[BOOK] *= 1e-5

        change_tensors(copy, unuse)
        codes = Mimi.from_pretrained(copy).encode(CLIP)
        scaled = load_file(copy / "model.safetensors")
        scaled[name][:] = 1e-5
        save_file(scaled, copy / "model.safetensors")
        np.testing.assert_array_equal(codes, Mimi.from_pretrained(copy).encode(CLIP))


class TestParts:
    def test_encoder(self, tiny, tiny_dir):
        encoder = Mimi.from_pretrained(tiny_dir, parts="encoder")
        assert (encoder.has_encoder, encoder.has_decoder) == (True, False)
        assert encoder.weight_bytes < tiny.weight_bytes
        np.testing.assert_array_equal(encoder.encode(CLIP), tiny.encode(CLIP))

    def test_decoder(self, tiny, tiny_dir):
        decoder = Mimi.from_pretrained(tiny_dir, parts="decoder")
        assert (decoder.has_encoder, decoder.has_decoder) == (False, True)
        assert decoder.weight_bytes < tiny.weight_bytes
        codes = tiny.encode(CLIP)
        np.testing.assert_array_equal(decoder.decode(codes), tiny.decode(codes))
        np.testing.assert_array_equal(decoder.codes_to_latents(codes), tiny.codes_to_latents(codes))

    @pytest.mark.parametrize("part", ["encoder", "decoder"])
    def test_a_file_of_one_half(self, tiny, copy, part):
        """The other half may be missing where it is not asked for, and only there."""
        other = {"encoder": ("decoder", "upsample"), "decoder": ("encoder", "downsample")}[part]
        change_tensors(copy, lambda state: [state.pop(name) for name in list(state) if name.startswith(other)])
        half = Mimi.from_pretrained(copy, parts=part)
        codes = tiny.encode(CLIP)
        if part == "encoder":
            np.testing.assert_array_equal(half.encode(CLIP), codes)
        else:
            np.testing.assert_array_equal(half.decode(codes), tiny.decode(codes))
        with pytest.raises(WeightsError):
            Mimi.from_pretrained(copy)

    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_some_codebooks(self, tiny, tiny_dir, count):
        mimi = Mimi.from_pretrained(tiny_dir, num_codebooks=count)
        assert mimi.num_codebooks == count
        assert mimi.weight_bytes < tiny.weight_bytes
        codes = tiny.encode(CLIP, num_codebooks=count)
        np.testing.assert_array_equal(mimi.encode(CLIP), codes)
        np.testing.assert_array_equal(mimi.decode(codes), tiny.decode(codes))

    def test_a_file_without_the_codebooks_that_are_not_asked_for(self, tiny, copy):
        change_tensors(copy, lambda state: [state.pop(name) for name in list(state) if ".layers.4.codebook." in name])
        codes = Mimi.from_pretrained(copy, num_codebooks=5).encode(CLIP)
        np.testing.assert_array_equal(codes, tiny.encode(CLIP, num_codebooks=5))

    def test_options(self, tiny_dir):
        for options, error, message in (
            ({"num_codebooks": 7}, ConfigError, r"num_codebooks.*\b6\b.*\b7\b"),
            ({"num_codebooks": 0}, ConfigError, r"num_codebooks.*\b0\b"),
            ({"num_codebooks": 2.0}, InputTypeError, r"num_codebooks.*integer"),
            ({"parts": "quantizer"}, ConfigError, r"parts.*'both'.*'encoder'.*'decoder'.*'quantizer'"),
            ({"threads": 0}, ConfigError, r"threads.*\b0\b"),
            ({"dtype": "bfloat17"}, ConfigError, r"dtype.*'float32'.*'bfloat17'"),
            ({"device": "tpu"}, DeviceError, r"device.*'cpu'.*'cuda'.*'tpu'"),
        ):
            with pytest.raises(error, match=message):
                Mimi.from_pretrained(tiny_dir, **options)


class TestSave:
    def test_roundtrip(self, tiny, tmp_path):
        tiny.save(tmp_path / "saved")
        assert {path.name for path in (tmp_path / "saved").iterdir()} == {"config.json", "model.safetensors"}
        again = Mimi.from_pretrained(tmp_path / "saved")
        assert again.config == tiny.config
        codes = tiny.encode(CLIP)
        np.testing.assert_array_equal(again.encode(CLIP), codes)
        np.testing.assert_array_equal(again.decode(codes), tiny.decode(codes))

    @pytest.mark.parametrize("spelling", ["transformers", "transformers-5", "kyutai"])
    def test_transformers_reads_it(self, tiny_pair, tmp_path, spelling):
        from transformers import MimiModel

        import reference
        import synthetic

        source = synthetic.write(tiny_pair.theirs, tmp_path / "source", spelling=spelling, prefix="codec_model.")
        Mimi.from_pretrained(source).save(tmp_path / "saved")
        model, report = MimiModel.from_pretrained(tmp_path / "saved", output_loading_info=True)
        assert not any(report.values()), report
        np.testing.assert_array_equal(reference.codes(model.eval(), CLIP), reference.codes(tiny_pair.theirs, CLIP))

    def test_a_half_saves_the_whole(self, tiny, tiny_dir, tmp_path):
        """Weights come from the source files, so that nothing is lost and nothing rounded."""
        Mimi.from_pretrained(tiny_dir, parts="decoder", num_codebooks=2).save(tmp_path / "saved")
        state, expected = (load_file(path / "model.safetensors") for path in (tmp_path / "saved", tiny_dir))
        assert state.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(state[name], value)

    def test_storage_type_is_kept(self, demo, tmp_path):
        demo.save(tmp_path)
        size = (tmp_path / "model.safetensors").stat().st_size
        assert size < 5_000_000  # 2.2 million values in bfloat16; in float32 they would be 8.8 MB
        np.testing.assert_array_equal(Mimi.from_pretrained(tmp_path).encode(CLIP), demo.encode(CLIP))

    def test_where_nothing_can_be_written(self, tiny, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(LoadError, match="file"):
            tiny.save(tmp_path / "file")


def test_a_directory_given_as_text_and_as_path(tiny, tiny_dir, monkeypatch):
    monkeypatch.chdir(tiny_dir.parent)
    for name in (str(tiny_dir), tiny_dir, tiny_dir.name, tiny_dir / "model.safetensors"):
        np.testing.assert_array_equal(Mimi.from_pretrained(name).encode(CLIP), tiny.encode(CLIP))


def test_no_codebook_can_be_left_out_of_memory_bounds(copy):
    """A configuration may claim any size: what the file does not hold is not allocated."""
    change_config(copy, intermediate_size=2**20, num_hidden_layers=1000)
    with pytest.raises(LoadError):
        Mimi.from_pretrained(copy)
