"""Files of a model that are missing, damaged or configured otherwise: errors that name the file or the field."""

import json
import os
import struct

import numpy as np
import pytest

import signals
from mimi_codec import Mimi
from mimi_codec.errors import ConfigError, LoadError, MimiError
from model_files import change_config, one_tensor, safetensors_bytes

CLIP = signals.noise(333)


class TestCorruptFiles:
    @pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.02, 0.1, 0.5, 0.9, 0.99, 0.99999])
    def test_truncated(self, copy, share):
        path = copy / "model.safetensors"
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(LoadError, match=r"model\.safetensors"):
            Mimi.from_pretrained(copy)

    def test_truncated_within_the_first_bytes_and_the_last(self, copy):
        path = copy / "model.safetensors"
        data = path.read_bytes()
        for size in [*range(12), len(data) - 4, len(data) - 1]:
            path.write_bytes(data[:size])
            with pytest.raises(LoadError, match=r"model\.safetensors"):
                Mimi.from_pretrained(copy)

    @pytest.mark.parametrize(
        "data",
        [
            b"\0" * 4096,
            b"\xff" * 4096,
            b"this is no safetensors file at all, but some text",
            b"\x80\x02}q\x00.",
            safetensors_bytes(b"{"),
            safetensors_bytes(b"[]"),
            safetensors_bytes(b"\xff\xfe"),
            safetensors_bytes(b"{}", length=2**63 - 1),
            safetensors_bytes(b"{}", length=2**40),
            safetensors_bytes(b"{}", length=50_000_000),
            safetensors_bytes(one_tensor()),
            safetensors_bytes(one_tensor(offsets=(8, 0)), b"\0" * 8),
            safetensors_bytes(one_tensor(offsets=(0, 2**62)), b"\0" * 8),
            safetensors_bytes(one_tensor(shape=(2**33, 2**33)), b"\0" * 8),
            safetensors_bytes(one_tensor(shape=(-2,)), b"\0" * 8),
            safetensors_bytes(one_tensor(dtype="F33"), b"\0" * 8),
            safetensors_bytes(one_tensor(), b"\0" * 16),
        ],
        ids=[
            "zeros",
            "ones",
            "text",
            "pickle",
            "half a header",
            "a list for a header",
            "a header of garbage",
            "a header of 2^63 bytes",
            "a header of a terabyte",
            "a header longer than the file",
            "no data",
            "offsets in reverse",
            "offsets far outside",
            "a shape that overflows",
            "a negative size",
            "an unknown type",
            "data behind the last tensor",
        ],
    )
    def test_not_safetensors(self, copy, data):
        (copy / "model.safetensors").write_bytes(data)
        with pytest.raises(LoadError, match=r"model\.safetensors"):
            Mimi.from_pretrained(copy)

    def test_random_damage_to_the_header(self, copy):
        """Any byte of the header may be wrong: an error, or a model, never a crash."""
        path = copy / "model.safetensors"
        data = bytearray(path.read_bytes())
        header = struct.unpack("<Q", data[:8])[0] + 8
        rng = np.random.default_rng(0)
        refused = 0
        for _ in range(100):
            damaged = data.copy()
            damaged[rng.integers(header)] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                Mimi.from_pretrained(copy)
            except LoadError:
                refused += 1
        assert refused > 50  # nearly every byte carries a name, a number or a bracket

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"hidden_size": }', "\udcff"])
    def test_config_that_is_no_json_object(self, copy, text):
        (copy / "config.json").write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(MimiError, match=r"config\.json"):
            Mimi.from_pretrained(copy)

    @pytest.mark.parametrize("index", ["", "{}", '{"weight_map": 3}', '{"weight_map": {"a": "../../etc/passwd"}}'])
    def test_index_that_is_none(self, copy, index):
        (copy / "model.safetensors").unlink()
        (copy / "model.safetensors.index.json").write_text(index)
        with pytest.raises(LoadError, match=r"model\.safetensors\.index\.json"):
            Mimi.from_pretrained(copy)

    def test_missing_shard(self, tiny_pair, tmp_path):
        import synthetic

        synthetic.write(tiny_pair.theirs, tmp_path, shards=3)
        (tmp_path / "model-00002-of-00003.safetensors").unlink()
        with pytest.raises(LoadError, match=r"model-00002-of-00003\.safetensors"):
            Mimi.from_pretrained(tmp_path)


class TestMissingFiles:
    def test_no_such_path(self, tmp_path):
        with pytest.raises(LoadError, match=r"no such file or directory.*nowhere"):
            Mimi.from_pretrained(tmp_path / "nowhere")
        assert issubclass(LoadError, OSError)

    def test_an_empty_directory(self, tmp_path):
        with pytest.raises(LoadError, match=r"model\.safetensors"):
            Mimi.from_pretrained(tmp_path)

    def test_a_configuration_without_weights(self, copy):
        (copy / "model.safetensors").unlink()
        with pytest.raises(LoadError, match=r"model\.safetensors"):
            Mimi.from_pretrained(copy)

    def test_weights_without_a_configuration(self, copy):
        """The released configuration is assumed, so the shapes of another model do not fit."""
        (copy / "config.json").unlink()
        with pytest.raises(LoadError):
            Mimi.from_pretrained(copy)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
    def test_unreadable(self, copy):
        (copy / "model.safetensors").chmod(0)
        with pytest.raises(LoadError, match=r"model\.safetensors"):
            Mimi.from_pretrained(copy)


BAD_FIELDS = [
    ("use_causal_conv", False),
    ("pad_mode", "reflect"),
    ("trim_right_ratio", 0.5),
    ("audio_channels", 2),
    ("audio_channels", 0),
    ("rope_parameters", {"rope_type": "yarn", "rope_theta": 10000.0}),
    ("rope_parameters", {"rope_type": "default", "rope_theta": -1}),
    ("hidden_act", "relu"),
    ("hidden_act", 3),
    ("norm_eps", "small"),
    ("sliding_window", 0),
    ("sliding_window", -1),
    ("sliding_window", None),
    ("codebook_size", 33),
    ("codebook_size", 2**40),
    ("codebook_dim", 17),
    ("num_semantic_quantizers", 0),
    ("num_semantic_quantizers", 6),
    ("num_quantizers", 1.5),
    ("num_quantizers", 2**40),
    ("head_dim", 7),
    ("num_key_value_heads", 3),
    ("num_attention_heads", 5),
    ("num_attention_heads", 0),
    ("upsample_groups", 3),
    ("compress", 0),
    ("frame_rate", 3000.0),
    ("frame_rate", 0),
    ("upsampling_ratios", [4, 0]),
    ("upsampling_ratios", "4, 2"),
    ("upsampling_ratios", [2**40, 2]),
    ("kernel_size", 0),
    ("hidden_size", -32),
    ("hidden_size", "32"),
    ("hidden_size", 2**62),
    ("num_hidden_layers", -1),
    ("num_filters", 0),
    ("dilation_growth_rate", 0),
    ("sampling_rate", 0),
]


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS, ids=lambda value: str(value).replace(" ", "")[:32])
def test_refused_configurations_name_the_field(copy, field, value):
    change_config(copy, _frame_rate=None, **{field: value})
    with pytest.raises(ConfigError, match=field):
        Mimi.from_pretrained(copy)


class TestOldConfigurations:
    """Fields as older versions of Transformers wrote them."""

    def test_frame_rate(self, copy, tiny):
        change_config(copy, _frame_rate=None, frame_rate=tiny.frame_rate)
        np.testing.assert_array_equal(Mimi.from_pretrained(copy).encode(CLIP), tiny.encode(CLIP))

    def test_rope_theta(self, copy, tiny):
        path = copy / "config.json"
        fields = json.loads(path.read_text())
        fields.pop("rope_parameters")
        path.write_text(json.dumps(fields | {"rope_theta": 10000.0}))
        np.testing.assert_array_equal(Mimi.from_pretrained(copy).encode(CLIP), tiny.encode(CLIP))
        path.write_text(json.dumps(fields | {"rope_theta": 7.0}))
        assert not np.array_equal(Mimi.from_pretrained(copy).encode_latents(CLIP), tiny.encode_latents(CLIP))

    def test_unknown_fields_are_left_alone(self, copy, tiny):
        change_config(copy, transformers_version="4.45.0", torch_dtype="float32", something_new={"a": [1]})
        np.testing.assert_array_equal(Mimi.from_pretrained(copy).encode(CLIP), tiny.encode(CLIP))
