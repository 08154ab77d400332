"""Files of VibeVoice as Microsoft published them: other names, another configuration, two tokenizers in one model."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import mimi_codec
from mimi_codec import ConfigError, LoadError
from mimi_codec.synthetic_family import write_synthetic_family

SEMANTIC_WIDTH = 6


def microsoft_name(name: str) -> str:
    """The name in Microsoft's package for that of Transformers: its conversion read backwards."""
    name = re.sub(r"\bstem\.stage\.", "stages.0.", name)
    name = re.sub(r"conv_layers\.(\d+)\.stage\.", lambda found: f"stages.{int(found[1]) + 1}.", name)
    name = re.sub(r"mixer\.conv\.", "mixer.conv.conv.conv.", name)
    sampling = "upsample_layers" if name.startswith("decoder.") else "downsample_layers"
    name = name.replace("stem.conv.conv.", f"{sampling}.0.0.conv.conv.")
    name = re.sub(
        r"conv_layers\.(\d+)\.(conv|convtr)\.", lambda found: f"{sampling}.{int(found[1]) + 1}.0.{found[2]}.", name
    )
    return re.sub(r"\bhead\.conv\.", "head.conv.conv.", name)


def microsoft_config(config: dict, *, fix_std: float) -> dict:
    return {
        "causal": True,
        "channels": 1,
        "conv_bias": True,
        "conv_norm": "none",
        "corpus_normalize": 0.0,
        "decoder_depths": None,
        "decoder_n_filters": config["num_filters"],
        "decoder_ratios": config["downsampling_ratios"][::-1],
        "disable_last_norm": True,
        "encoder_depths": "-".join(map(str, config["depths"])),
        "encoder_n_filters": config["num_filters"],
        "encoder_ratios": config["downsampling_ratios"][::-1],
        "fix_std": fix_std,
        "layer_scale_init_value": 1e-6,
        "layernorm": "RMSNorm",
        "layernorm_elementwise_affine": True,
        "layernorm_eps": 1e-5,
        "mixer_layer": "depthwise_conv",
        "pad_mode": "constant",
        "vae_dim": config["hidden_size"],
    }


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The directories of both tokenizers, and of a model that has them in Microsoft's layout."""
    root = tmp_path_factory.mktemp("microsoft")
    acoustic = write_synthetic_family(root / "acoustic", "vibevoice", seed=1)
    semantic = write_synthetic_family(root / "semantic", "vibevoice-encoder", {"hidden_size": SEMANTIC_WIDTH}, seed=2)
    names = {f"model.acoustic_tokenizer.{microsoft_name(name)}": tensor for name, tensor in weights(acoustic).items()}
    names |= {
        f"model.semantic_tokenizer.encoder.{microsoft_name(name)}": tensor for name, tensor in weights(semantic).items()
    }
    names["model.language_model.norm.weight"] = np.ones(3, np.float32)
    whole = root / "whole"
    whole.mkdir()
    save_file(names, whole / "model.safetensors")
    read = {name: json.loads((root / name / "config.json").read_text()) for name in ("acoustic", "semantic")}
    config = {
        "model_type": "vibevoice",
        "acoustic_tokenizer_config": microsoft_config(read["acoustic"], fix_std=0.5),
        "semantic_tokenizer_config": microsoft_config(read["semantic"], fix_std=0.0),
    }
    (whole / "config.json").write_text(json.dumps(config))
    return acoustic, semantic, whole


def weights(directory):
    return load_file(directory / "model.safetensors")


def clip(codec):
    return np.random.default_rng(0).standard_normal(7 * codec.frame_size).astype(np.float32)


def test_the_acoustic_tokenizer_is_the_codec(published):
    acoustic, _, whole = published
    ours, codec = mimi_codec.load(acoustic), mimi_codec.load(whole)
    assert (codec.kind, codec.layout, codec.noise_scale) == ("vibevoice", "microsoft", 0.625)
    latents = codec.encode_latents(clip(codec))
    assert np.array_equal(latents, ours.encode_latents(clip(codec)))
    assert np.array_equal(codec.decode_latents(latents), ours.decode_latents(latents))


@pytest.mark.parametrize("module", ["semantic_tokenizer", "model.semantic_tokenizer", "semantic_tokenizer.encoder"])
def test_the_semantic_tokenizer_is_named(published, module):
    _, semantic, whole = published
    ours, codec = mimi_codec.load(semantic), mimi_codec.load(whole, module=module)
    assert (codec.kind, codec.layout, codec.latent_dim) == ("vibevoice-encoder", "microsoft", SEMANTIC_WIDTH)
    assert np.array_equal(codec.encode_latents(clip(codec)), ours.encode_latents(clip(codec)))


def test_saved_as_transformers_has_it(published, tmp_path):
    acoustic, _, whole = published
    mimi_codec.load(whole).save(tmp_path)
    saved, ours = weights(tmp_path), weights(acoustic)
    assert saved.keys() == ours.keys()
    assert all(np.array_equal(saved[name], ours[name]) for name in ours)
    assert mimi_codec.load(tmp_path).config == mimi_codec.load(whole).config


def test_names_that_are_not_there(published):
    with pytest.raises(ConfigError, match=r'`module`: expected one of "model\.acoustic_tokenizer" \(vibevoice\)'):
        mimi_codec.load(published[2], module="audio_tower")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("causal", False),
        ("pad_mode", "reflect"),
        ("layernorm", "LN"),
        ("mixer_layer", "conv"),
        ("decoder_ratios", [1, 2, 3]),
        ("decoder_n_filters", 1),
        ("decoder_depths", "1-1"),
        ("encoder_depths", "a-b"),
        ("encoder_depths", 3),
        ("channels", 2),
        ("disable_last_norm", False),
    ],
)
def test_what_is_not_computed_is_refused(published, tmp_path, field, value):
    config = json.loads((published[2] / "config.json").read_text())
    config["acoustic_tokenizer_config"][field] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").symlink_to(published[2] / "model.safetensors")
    with pytest.raises(ConfigError, match=field if field != "encoder_depths" else "depths"):
        mimi_codec.load(tmp_path)


def test_two_encoders_without_a_whole_codec(published, tmp_path):
    _, semantic, _ = published
    names = {
        f"{host}_tokenizer_encoder.{name}": tensor
        for host in ("acoustic", "semantic")
        for name, tensor in weights(semantic).items()
    }
    save_file(names, tmp_path / "model.safetensors")
    with pytest.raises(LoadError, match=r"found several.*name one of them as `module`"):
        mimi_codec.load(tmp_path)
    config = json.loads((semantic / "config.json").read_text())
    (tmp_path / "config.json").write_text(
        json.dumps({"semantic_tokenizer_encoder_config": config, "acoustic_tokenizer_encoder_config": config})
    )
    assert mimi_codec.load(tmp_path, module="acoustic_tokenizer_encoder").latent_dim == SEMANTIC_WIDTH
