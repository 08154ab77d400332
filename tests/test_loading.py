"""Files: what is wrong with them is said by name; what is right loads in every form."""

import json
import os
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import signals
from mimi_codec import Mimi
from mimi_codec.errors import ConfigError, DeviceError, InputTypeError, LoadError, MimiError, WeightsError

CLIP = signals.noise(333)
LAYER = "encoder_transformer.layers.1.mlp.fc1.weight"
BOOK = "quantizer.acoustic_residual_vector_quantizer.layers.4.codebook.embed_sum"


@pytest.fixture
def copy(tiny_dir, tmp_path) -> Path:
    """A copy of the tiny model to spoil."""
    return shutil.copytree(tiny_dir, tmp_path / "model")


def change_config(directory: Path, **changes) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(directory: Path, change) -> None:
    path = directory / "model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)


def safetensors_bytes(header: bytes | dict, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def one_tensor(dtype="F32", shape=(2,), offsets=(0, 8)) -> dict:
    return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


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

    @pytest.mark.parametrize("name", ["", " ", "a/b/c", "kyutai/", "/mimi", "mi mi", "weights.safetensors", "\0"])
    def test_what_is_neither_path_nor_repository(self, name):
        with pytest.raises(LoadError):
            Mimi.from_pretrained(name, local_files_only=True)

    def test_revision_of_a_path(self, tiny_dir):
        with pytest.raises(LoadError, match="revision"):
            Mimi.from_pretrained(tiny_dir, revision="main")


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
            ({"device": "cuda"}, DeviceError, r"device.*'cpu'.*'cuda'"),
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


class TestHub:
    """`kyutai/mimi` in a hub cache built by hand; no network."""

    COMMIT = "0123456789abcdef0123456789abcdef01234567"

    @pytest.fixture
    def cache(self, tmp_path):
        """A cache that holds one snapshot of a repository."""

        def build(files: dict[str, Path], repository: str = "kyutai/mimi") -> Path:
            root = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
            snapshot = root / "snapshots" / self.COMMIT
            snapshot.mkdir(parents=True)
            (root / "refs").mkdir()
            (root / "refs" / "main").write_text(self.COMMIT)
            for name, source in files.items():
                shutil.copy(source, snapshot / name)
            return tmp_path / "hub"

        return build

    LOAD = """
        import sys
        import numpy as np
        import mimi_codec
        mimi = mimi_codec.Mimi.from_pretrained(sys.argv[1])
        print(mimi.revision, mimi.name, mimi.encode(np.linspace(-1, 1, 200, dtype=np.float32)).tolist())
    """

    def test_cached_repository(self, tiny, tiny_dir, cache, run_python):
        hub = cache({name: tiny_dir / name for name in ("config.json", "model.safetensors")})
        printed = run_python(self.LOAD, "kyutai/mimi", HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(hub))
        codes = tiny.encode(np.linspace(-1, 1, 200, dtype=np.float32)).tolist()
        assert printed.strip() == f"{self.COMMIT} kyutai/mimi {codes}"

    def test_local_files_only_and_cache_dir(self, tiny, tiny_dir, cache):
        hub = cache({name: tiny_dir / name for name in ("config.json", "model.safetensors")})
        options = {"local_files_only": True, "cache_dir": hub}
        for revision in (None, "main", self.COMMIT):
            mimi = Mimi.from_pretrained("kyutai/mimi", revision=revision, **options)
            assert (mimi.name, mimi.revision) == ("kyutai/mimi", self.COMMIT)
        np.testing.assert_array_equal(mimi.encode(CLIP), tiny.encode(CLIP))
        with pytest.raises(LoadError, match=r"kyutai/mimi.*'elsewhere'"):
            Mimi.from_pretrained("kyutai/mimi", revision="elsewhere", **options)

    def test_cached_shards(self, tiny, tiny_pair, cache, tmp_path):
        import synthetic

        source = synthetic.write(tiny_pair.theirs, tmp_path / "sharded", shards=2)
        hub = cache({path.name: path for path in source.iterdir()})
        mimi = Mimi.from_pretrained("kyutai/mimi", local_files_only=True, cache_dir=hub)
        np.testing.assert_array_equal(mimi.encode(CLIP), tiny.encode(CLIP))

    def test_cached_repository_of_kyutai(self, full_kyutai, full_pair, cache, tmp_path):
        """Their repositories hold the codec's file next to a language model with a configuration of its own."""
        (tmp_path / "config.json").write_text('{"model_type": "moshi", "dim": 4096}')
        name = "tokenizer-e351c8d8-checkpoint125.safetensors"
        hub = cache({name: full_kyutai, "config.json": tmp_path / "config.json"}, "kyutai/moshika-pytorch-bf16")
        mimi = Mimi.from_pretrained(
            "kyutai/moshika-pytorch-bf16", local_files_only=True, cache_dir=hub, num_codebooks=8, parts="encoder"
        )
        assert mimi.layout == "kyutai"
        pcm = signals.noise(2000)
        np.testing.assert_array_equal(mimi.encode(pcm), full_pair.ours.encode(pcm, num_codebooks=8))
        shutil.rmtree(hub)

    def test_empty_cache(self, run_python, tmp_path):
        """Offline with nothing cached: the message says what it looked for and what to do."""
        script = """
            import mimi_codec
            try:
                mimi_codec.Mimi.from_pretrained("kyutai/mimi")
            except mimi_codec.LoadError as error:
                print(error)
        """
        printed = run_python(script, HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(tmp_path / "empty"))
        assert "kyutai/mimi" in printed
        assert "cache" in printed
        assert "download" in printed

    def test_a_repository_without_mimi(self, cache, tiny_dir):
        hub = cache({"config.json": tiny_dir / "config.json"}, "someone/else")
        with pytest.raises(LoadError, match=r"someone/else.*model\.safetensors"):
            Mimi.from_pretrained("someone/else", local_files_only=True, cache_dir=hub)


def test_a_directory_given_as_text_and_as_path(tiny, tiny_dir, monkeypatch):
    monkeypatch.chdir(tiny_dir.parent)
    for name in (str(tiny_dir), tiny_dir, tiny_dir.name, tiny_dir / "model.safetensors"):
        np.testing.assert_array_equal(Mimi.from_pretrained(name).encode(CLIP), tiny.encode(CLIP))


def test_no_codebook_can_be_left_out_of_memory_bounds(copy):
    """A configuration may claim any size: what the file does not hold is not allocated."""
    change_config(copy, intermediate_size=2**20, num_hidden_layers=1000)
    with pytest.raises(LoadError):
        Mimi.from_pretrained(copy)
