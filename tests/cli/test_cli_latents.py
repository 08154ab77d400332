"""The command line and a codec that has latents and no codes."""

import json

import numpy as np
import pytest
from command import FAILED, WRONG_USAGE, mimi

import mimi_codec
import signals
from mimi_codec import MimiConfig, read_audio
from mimi_codec.synthetic import write_synthetic_latents
from mimi_codec.token_files import read_latents


@pytest.fixture(scope="module")
def pocket(tmp_path_factory):
    config = MimiConfig(
        num_filters=4,
        upsampling_ratios=(4, 2),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        upsample_groups=32,
        frame_rate=24000 / 8 / 4,
    )
    return write_synthetic_latents(tmp_path_factory.mktemp("pocket"), config, latent_dim=5)


@pytest.fixture
def wav(tmp_path):
    signals.write_wav(tmp_path / "clip.wav", signals.chirp(7000))
    return tmp_path / "clip.wav"


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
@pytest.mark.parametrize("padding", ["transformers", "moshi"])
def test_encode_and_decode(pocket, wav, tmp_path, suffix, padding):
    codec, file, out = mimi_codec.load(pocket), tmp_path / f"clip.{suffix}", tmp_path / "out.wav"
    mimi("encode", wav, "-o", file, "--model", pocket, "--padding", padding)
    content = read_latents(file)
    pcm = read_audio(wav, 24000)
    np.testing.assert_array_equal(content.latents, codec.encode_latents(pcm, padding=padding))
    assert (content.model, content.num_samples, content.frame_rate) == (str(pocket), 7000, 750.0)
    mimi("decode", file, "-o", out, "--float")
    np.testing.assert_array_equal(read_audio(out, 24000), codec.decode_latents(content.latents)[:7000])


def test_info(pocket, wav, tmp_path):
    file = tmp_path / "clip.npz"
    mimi("encode", wav, "-o", file, "--model", pocket)
    found = json.loads(mimi("info", file, "--json").stdout)
    assert (found["kind"], found["latent_dim"], found["frames"], found["samples"]) == ("latents", 5, 219, 7000)
    found = json.loads(mimi("info", pocket, "--json").stdout)
    assert (found["kind"], found["codec"], found["latent_dim"]) == ("model", "pocket-tts", 5)
    assert found["decoder_latent_dim"] == 5
    assert found["config"]["latent_stride"] == 4
    assert "codebooks" not in found
    lines = mimi("info", file, pocket, wav).stdout.decode()
    assert f"{pocket}: model, pocket-tts, latents of 5" in lines
    assert "latents of 5 x 219 frames" in lines


def test_bench(pocket):
    command = ["bench", "--model", pocket, "--seconds", 1, "--frames", 2, "--repeats", 1]
    found = json.loads(mimi(*command, "--json").stdout)
    assert found["latent_dim"] == 5
    assert "codebooks" not in found
    assert "latents of 5" in mimi(*command).stdout.decode()
    assert "has latents and no codebooks" in mimi(*command, "-k", 3, code=WRONG_USAGE).stderr


@pytest.mark.parametrize("suffix", ["mcs", "mimi"])
def test_formats_of_codes(pocket, wav, tmp_path, suffix):
    done = mimi("encode", wav, "-o", tmp_path / f"clip.{suffix}", "--model", pocket, code=WRONG_USAGE)
    assert f"gives latents, which go into .safetensors, .npz files, got .{suffix}" in done.stderr


def test_codebooks(pocket, wav, tmp_path):
    done = mimi("encode", wav, "-o", tmp_path / "clip.npz", "--model", pocket, "-k", 3, code=WRONG_USAGE)
    assert "-k 3" in done.stderr
    assert not (tmp_path / "clip.npz").exists()


def test_files_of_another_codec(pocket, wav, tmp_path):
    latents, codes = tmp_path / "latents.npz", tmp_path / "codes.npz"
    mimi("encode", wav, "-o", latents, "--model", pocket)
    mimi("encode", wav, "-o", codes, "--model", "demo")
    done = mimi("decode", latents, "-o", tmp_path / "out.wav", "--model", "demo", code=FAILED)
    assert "demo cannot decode the latents: expected (sample rate, frame rate, width)" in done.stderr
    done = mimi("decode", codes, "-o", tmp_path / "out.wav", "--model", pocket, code=FAILED)
    assert "has latents and no codes, got a file of codes" in done.stderr
    done = mimi("tokens", latents, code=FAILED)
    assert "it holds latents and no codes" in done.stderr
