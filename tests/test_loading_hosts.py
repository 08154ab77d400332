"""Codecs among the files of the models that carry them: what `mimi_codec.load` finds in a directory."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import mimi_codec
import signals
from mimi_codec.errors import LoadError
from mimi_codec.synthetic import write_synthetic_family

CLIP = signals.noise(333)
LANGUAGE_MODEL = {
    "lfm.embed_tokens.weight": np.zeros((4, 2), np.float32),
    "conformer.layers.0.conv.pointwise_conv1.weight": np.zeros((4, 2), np.float32),
}


@pytest.fixture
def host(tiny_dir, tmp_path):
    """A language model's directory without a codec, whose configuration has that of the tiny codec in it."""
    save_file(LANGUAGE_MODEL, tmp_path / "model.safetensors")
    codec = json.loads((tiny_dir / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({"codebooks": 8, "lfm": {}, "codec_config": codec}))
    return tmp_path


@pytest.mark.parametrize("prefix", ["codec_model.", "audio_tokenizer.", "model.audio_tokenizer.mimi."])
def test_under_a_prefix(tiny, tiny_dir, host, prefix):
    state = load_file(tiny_dir / "model.safetensors")
    renamed = {prefix + name: value for name, value in state.items()}
    save_file(LANGUAGE_MODEL | renamed, host / "model.safetensors")
    np.testing.assert_array_equal(mimi_codec.load(host).encode(CLIP), tiny.encode(CLIP))


def test_in_a_file_of_its_own(tiny, tiny_dir, host):
    shutil.copy(tiny_dir / "model.safetensors", host / "audio.safetensors")
    (host / "voice.safetensors").write_bytes(b"damaged, and nobody asked for it")
    codec = mimi_codec.load(host)
    np.testing.assert_array_equal(codec.encode(CLIP), tiny.encode(CLIP))
    shutil.copy(host / "audio.safetensors", host / "sound.safetensors")
    with pytest.raises(LoadError, match=re.escape("found 2: audio.safetensors, sound.safetensors")):
        mimi_codec.load(host)
    assert mimi_codec.load(host / "sound.safetensors").layout == codec.layout


def test_kyutais_file_beside_lfm2_audio(full_kyutai, full_pair, host):
    """As LiquidAI/LFM2-Audio-1.5B has it: nothing in its configuration names the file or the codec."""
    (host / "config.json").write_text(json.dumps({"codebooks": 8, "encoder": {}, "lfm": {}, "preprocessor": {}}))
    (host / "tokenizer-e351c8d8-checkpoint125.safetensors").symlink_to(full_kyutai)
    codec = mimi_codec.load(host, parts="encoder", num_codebooks=8)
    assert (codec.layout, codec.num_codebooks) == ("kyutai", 8)
    pcm = signals.noise(2000)
    np.testing.assert_array_equal(codec.encode(pcm), full_pair.ours.encode(pcm, num_codebooks=8))


def test_in_a_folder_of_its_own(tiny_dir, host):
    """As Qwen/Qwen3-TTS-12Hz-1.7B-Base has it."""
    source = write_synthetic_family(host / "speech_tokenizer", "qwen3-tts")
    codec, alone = mimi_codec.load(host), mimi_codec.load(source)
    assert (codec.kind, codec.layout) == ("qwen3-tts", "qwen-tts")
    pcm = signals.noise(2000)
    np.testing.assert_array_equal(codec.encode(pcm), alone.encode(pcm))
    again = pickle.loads(pickle.dumps(codec))
    np.testing.assert_array_equal(again.encode(pcm), alone.encode(pcm))
    (host / "model.safetensors").unlink()  # the tokenizer alone was fetched
    assert mimi_codec.load(host).kind == "qwen3-tts"
    shutil.copy(tiny_dir / "model.safetensors", host / "audio.safetensors")  # a codec beside the model itself
    assert mimi_codec.load(host).kind == "mimi"


def test_a_folder_without_a_codec(host):
    (host / "speech_tokenizer").mkdir()
    with pytest.raises(LoadError, match=r"speech_tokenizer.*expected model\.safetensors"):
        mimi_codec.load(host)
    save_file(LANGUAGE_MODEL, host / "speech_tokenizer" / "model.safetensors")
    with pytest.raises(LoadError, match=r"speech_tokenizer.*expected the tensors of a codec"):
        mimi_codec.load(host)


def test_no_codec(host):
    with pytest.raises(LoadError, match="expected the tensors of a codec"):
        mimi_codec.load(host)
