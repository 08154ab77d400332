"""The same weights in every spelling, under every prefix, in one file or several, give the same codes bit for bit."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import reference
import signals
import synthetic
from mimi_codec import Mimi

PREFIXES = ("codec_model.", "audio_encoder.", "mimi.")
CLIP = signals.chirp(1500)  # 94 frames of 16 samples: the window of 3 frames many times over


@pytest.fixture(scope="module")
def expected(tiny) -> tuple[np.ndarray, np.ndarray]:
    codes = tiny.encode(CLIP)
    return codes, tiny.decode(codes)


def assert_same_model(mimi: Mimi, expected) -> None:
    codes, audio = expected
    np.testing.assert_array_equal(mimi.encode(CLIP), codes)
    np.testing.assert_array_equal(mimi.decode(codes), audio)


@pytest.mark.parametrize("spelling", synthetic.SPELLINGS)
def test_spellings(tiny_pair, expected, spelling, tmp_path):
    synthetic.write(tiny_pair.theirs, tmp_path, spelling=spelling)
    assert_same_model(Mimi.from_pretrained(tmp_path), expected)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("spelling", synthetic.SPELLINGS)
def test_prefixes(tiny_pair, expected, spelling, prefix, tmp_path):
    """The codec inside a larger checkpoint, next to a language model, named as in Moshi."""
    others = {"decoder.model.layers.0.mlp.fc1.weight": torch.ones(3, 5), "embed_tokens.weight": torch.ones(2)}
    synthetic.write(tiny_pair.theirs, tmp_path, spelling=spelling, prefix=prefix, others=others)
    assert_same_model(Mimi.from_pretrained(tmp_path), expected)


@pytest.mark.parametrize("field", ["codec_config", "audio_encoder_config"])
def test_configuration_inside_a_larger_one(tiny_pair, expected, field, tmp_path):
    synthetic.write(tiny_pair.theirs, tmp_path, prefix="codec_model.")
    config = json.loads((tmp_path / "config.json").read_text())
    outer = {"model_type": "csm", "hidden_size": 4096, field: config}
    (tmp_path / "config.json").write_text(json.dumps(outer))
    assert_same_model(Mimi.from_pretrained(tmp_path), expected)


@pytest.mark.parametrize("spelling", synthetic.SPELLINGS)
@pytest.mark.parametrize("prefix", ["", "codec_model."])
def test_shards(tiny_pair, expected, spelling, prefix, tmp_path):
    synthetic.write(tiny_pair.theirs, tmp_path, spelling=spelling, prefix=prefix, shards=3)
    assert_same_model(Mimi.from_pretrained(tmp_path), expected)


def test_shards_without_the_codec_are_not_needed(tiny_pair, expected, tmp_path):
    """A shard that holds only the language model need not be there."""
    synthetic.write(tiny_pair.theirs, tmp_path, prefix="codec_model.")
    names = load_file(tmp_path / "model.safetensors")
    placed = dict.fromkeys(names, "model.safetensors") | {"lm.weight": "lm.safetensors"}
    (tmp_path / "model.safetensors").rename(tmp_path / "codec.safetensors")
    placed = {name: file.replace("model.", "codec.") for name, file in placed.items()}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    assert_same_model(Mimi.from_pretrained(tmp_path), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("spelling", synthetic.SPELLINGS)
def test_stored_dtypes(tiny_pair, spelling, dtype, tmp_path):
    """16-bit storage, float32 arithmetic: as the same rounded values stored in float32, and as in Transformers."""
    theirs = synthetic.build(tiny_pair.theirs.config)
    with torch.no_grad():
        for tensor in [*theirs.parameters(), *theirs.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(tensor.to(dtype))
    for module in theirs.modules():
        if hasattr(module, "_embed"):
            module._embed = None  # computed once from the buffers, so stale by now
    wide = Mimi.from_pretrained(synthetic.write(theirs, tmp_path / "wide", spelling=spelling))
    narrow = Mimi.from_pretrained(synthetic.write(theirs, tmp_path / "narrow", spelling=spelling, dtype=dtype))
    codes = wide.encode(CLIP)
    np.testing.assert_array_equal(narrow.encode(CLIP), codes)
    np.testing.assert_array_equal(narrow.decode(codes), wide.decode(codes))
    reference.assert_same_codes(codes, theirs, CLIP)
    # Without this the rounding above could have been without effect.
    unrounded = Mimi.from_pretrained(tiny_pair.directory).encode_latents(CLIP)
    assert not np.array_equal(wide.encode_latents(CLIP), unrounded)


def test_a_file_alone_beside_its_configuration(tiny_dir, expected):
    assert_same_model(Mimi.from_pretrained(tiny_dir / "model.safetensors"), expected)


def test_scalar_buffers_are_optional(tiny_dir, expected, tmp_path):
    """`initialized` is a flag of training that no arithmetic reads; not every converter keeps it."""
    state = load_file(tiny_dir / "model.safetensors")
    kept = {name: value for name, value in state.items() if not name.endswith("initialized")}
    assert len(kept) < len(state)
    save_file(kept, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((tiny_dir / "config.json").read_text())
    assert_same_model(Mimi.from_pretrained(tmp_path), expected)


def test_released_size_in_both_layouts(full_pair, full_kyutai):
    """Kyutai's file has no configuration: it gets the released one."""
    kyutai = Mimi.from_pretrained(full_kyutai, num_codebooks=8)
    pcm = signals.chirp(9001)
    codes = full_pair.ours.encode(pcm, num_codebooks=8)
    np.testing.assert_array_equal(kyutai.encode(pcm), codes)
    np.testing.assert_array_equal(kyutai.decode(codes), full_pair.ours.decode(codes))
