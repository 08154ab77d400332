"""The public face: names, docstrings, attributes, errors."""

import dataclasses
import inspect
import json
import pickle

import pytest

import mimi_codec
from mimi_codec import DecoderStream, EncoderStream, Mimi, MimiConfig, MimiError

PUBLIC = [name for name in mimi_codec.__all__ if not name.startswith("__")]
BUILTIN = {
    "AudioError": ValueError,
    "CodesError": ValueError,
    "ConfigError": ValueError,
    "DeviceError": RuntimeError,
    "InputTypeError": TypeError,
    "LatentsError": ValueError,
    "LoadError": OSError,
    "MimiError": Exception,
    "NumericError": ArithmeticError,
    "OutOfMemoryError": MemoryError,
    "PoolClosed": RuntimeError,
    "PoolFull": RuntimeError,
    "SessionFull": RuntimeError,
    "StoppedError": RuntimeError,
    "StreamError": RuntimeError,
    "TimedOutError": TimeoutError,
    "WeightsError": ValueError,
}


def members(name: str):
    """The public members that a class defines, itself or in a base of this package."""
    for base in getattr(mimi_codec, name).__mro__:
        if base.__module__.startswith("mimi_codec"):
            yield from ((member, value) for member, value in vars(base).items() if not member.startswith("_"))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name):
    value = getattr(mimi_codec, name)
    assert inspect.getdoc(value), name
    # A dataclass without a docstring gets its signature for one.
    assert not inspect.getdoc(value).startswith(f"{name}("), name


@pytest.mark.parametrize("name", ["Mimi", "EncoderStream", "DecoderStream", "Tokens"])
def test_every_public_member_is_documented(name):
    undocumented = [
        member
        for member, value in members(name)
        if (callable(value) or isinstance(value, property | classmethod)) and not inspect.getdoc(value)
    ]
    assert undocumented == []


def test_all_is_complete():
    exported = {name for name, value in vars(mimi_codec).items() if inspect.isclass(value) or inspect.isfunction(value)}
    assert {name for name in exported if not name.startswith("_")} <= set(mimi_codec.__all__)
    assert len(set(mimi_codec.__all__)) == len(mimi_codec.__all__)


def test_every_error_is_tested():
    raised = (getattr(mimi_codec, name) for name in PUBLIC)
    errors = {
        value.__name__
        for value in raised
        if inspect.isclass(value) and issubclass(value, Exception) and not issubclass(value, Warning)
    }
    assert errors == BUILTIN.keys()


@pytest.mark.parametrize(("name", "builtin"), BUILTIN.items())
def test_errors_are_also_builtin_ones(name, builtin):
    error = getattr(mimi_codec, name)
    assert issubclass(error, MimiError)
    assert issubclass(error, builtin)
    assert str(pickle.loads(pickle.dumps(error("expected 1, got 2")))) == "expected 1, got 2"


def test_errors_from_the_extension_are_the_same_classes(tiny):
    with pytest.raises(mimi_codec.CodesError) as caught:
        tiny.decode([[99]])
    assert type(caught.value) is mimi_codec.CodesError


def test_demo(demo):
    assert (demo.sample_rate, demo.frame_rate, demo.frame_size) == (24000, 12.5, 1920)
    assert (demo.num_codebooks, demo.codebook_size, demo.num_semantic_codebooks) == (16, 1024, 1)
    assert (demo.latent_dim, demo.dtype, demo.device, demo.threads) == (128, "float32", "cpu", 1)
    assert (demo.has_encoder, demo.has_decoder, demo.layout, demo.name) == (True, True, "transformers", "demo")
    assert demo.revision is None
    assert demo.simd in {"avx512", "avx2", "neon", "portable"}
    assert demo.bits_per_second() == 2000  # 16 codebooks of 10 bits, 12.5 times a second
    assert demo.bits_per_second(8) == 1000


def test_the_demo_makes_sound(demo, speech):
    """Trained weights: the decoded speech follows the loudness of the original."""
    import numpy as np

    def loudness(pcm):
        return np.sqrt((pcm[: len(pcm) // 480 * 480].reshape(-1, 480) ** 2).mean(axis=1))

    original, decoded = loudness(speech), loudness(demo.decode(demo.encode(speech))[: len(speech)])
    # Speech and pauses alternate, so unrelated audio of the same kind stays far below (about 0.1).
    assert np.corrcoef(original, decoded)[0, 1] > 0.8


def test_types_of_attributes(tiny):
    for name, kind in {
        "sample_rate": int,
        "frame_rate": float,
        "frame_size": int,
        "num_codebooks": int,
        "codebook_size": int,
        "latent_dim": int,
        "weight_bytes": int,
        "has_encoder": bool,
        "config": MimiConfig,
        "simd": str,
    }.items():
        assert type(getattr(tiny, name)) is kind, name


def test_models_are_immutable(tiny):
    for name in ("threads", "config", "num_codebooks", "anything"):
        with pytest.raises(AttributeError):
            setattr(tiny, name, 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny.config.hidden_size = 3


def test_weights_are_counted(tiny, tiny_pair):
    """Float32 weights, packed: not less than the parameters, and padded to panels by not more than this small model's
    narrow layers need."""
    parameters = sum(parameter.numel() for parameter in tiny_pair.theirs.parameters())
    books = 6 * 32 * 16
    assert 4 * (parameters + books) * 0.9 < tiny.weight_bytes < 4 * (parameters + books) * 10


def test_config_has_every_field_of_transformers(tiny, tiny_pair):
    theirs = tiny_pair.theirs.config
    for field in dataclasses.fields(MimiConfig):
        if field.name == "rope_theta":
            assert tiny.config.rope_theta == theirs.rope_parameters["rope_theta"]
        elif field.name == "upsampling_ratios":
            assert list(tiny.config.upsampling_ratios) == list(theirs.upsampling_ratios)
        else:
            assert getattr(tiny.config, field.name) == getattr(theirs, field.name), field.name
    ours = {field.name for field in dataclasses.fields(MimiConfig)}
    assert set(type(theirs).__annotations__) - {"model_type", "rope_parameters"} <= ours
    assert (tiny.config.frame_size, tiny.config.latent_dim) == (theirs.frame_size, theirs.latent_dim)
    assert (tiny.config.encodec_frame_rate, tiny.config.latent_stride) == (
        theirs.encodec_frame_rate,
        theirs.latent_stride,
    )


def test_config_roundtrip(tiny):
    assert MimiConfig.from_dict(json.loads(json.dumps(tiny.config.to_dict()))) == tiny.config
    assert MimiConfig.from_json("{}") == MimiConfig()


def test_config_defaults_are_those_of_transformers():
    from transformers import MimiConfig as Theirs

    assert MimiConfig.from_dict(Theirs().to_dict()) == MimiConfig()


def test_config_repr_can_be_evaluated(tiny):
    assert eval(repr(tiny.config), {"MimiConfig": MimiConfig}) == tiny.config


def test_reprs(tiny, demo):
    assert "16 codebooks of 1024" in repr(demo)
    assert "'demo'" in repr(demo)
    stream = tiny.encoder_stream(batch_size=2, num_codebooks=3)
    assert "batch_size=2" in repr(stream)
    assert "num_codebooks=3" in repr(stream)
    assert "batch_size=1" in repr(tiny.decoder_stream())


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Mimi, r"from_pretrained.*demo"),
        (EncoderStream, r"EncoderStream\(\) has no model; use Mimi\.encoder_stream"),
        (DecoderStream, r"DecoderStream\(\) has no model; use Mimi\.decoder_stream"),
    ],
)
def test_made_by_their_makers_only(made, words):
    with pytest.raises(TypeError, match=words):
        made()


def test_version_and_build():
    from importlib.metadata import version

    assert mimi_codec.__version__ == version("mimi-codec")
    info = mimi_codec.build_info()
    assert info["version"] == mimi_codec.__version__
    assert info["simd"] == Mimi.demo().simd
    assert info["profile"] in {"release", "debug"}


def test_streams(tiny):
    stream = tiny.encoder_stream(batch_size=2, num_codebooks=3)
    assert (stream.batch_size, stream.num_codebooks) == (2, 3)
    assert (stream.frames, stream.pending) == ([0, 0], [0, 0])
    assert tiny.encoder_stream().num_codebooks == 6
    assert tiny.decoder_stream(batch_size=2).batch_size == 2


def test_package_is_typed():
    from importlib.resources import files

    assert files("mimi_codec").joinpath("py.typed").is_file()
    assert files("mimi_codec").joinpath("_core.pyi").is_file()
