"""Weights that are finite but enormous: an error that says so, never a wrong code or a stream that cannot be saved."""

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import signals
from mimi_codec import Mimi
from mimi_codec.errors import AudioError, LatentsError, MimiError, NumericError

PCM = signals.noise(16 * 40)
CODES = np.random.default_rng(0).integers(0, 32, (6, 40))


@pytest.fixture
def enormous(tiny_dir, tmp_path):
    """A function that loads the tiny model with the tensors of some names made enormous."""

    def load(part: str) -> Mimi:
        tensors = load_file(tiny_dir / "model.safetensors")
        names = [name for name, value in tensors.items() if part in name and value.dtype == np.float32]
        assert names, part
        for name in names:
            # A codebook is divided by how often its entries are used, and must be finite after that too.
            size = np.float32(1e30 if part == "embed_sum" else 3e38)
            tensors[name] = np.where(tensors[name] < 0, -size, size)
        save_file(tensors, tmp_path / "model.safetensors")
        shutil.copy(tiny_dir / "config.json", tmp_path)
        return Mimi.from_pretrained(tmp_path)

    return load


def outcome(call):
    try:
        return call()
    except NumericError:
        return None


@pytest.mark.parametrize("part", ["decoder.layers.0.", "k_proj", "v_proj", "fc1", "decoder.layers", "upsample"])
def test_decoding(enormous, part):
    model = enormous(part)
    stream = model.decoder_stream()
    stream.push(CODES[:, :0])
    before = stream.save()
    for call in (lambda: model.decode(CODES), lambda: stream.push(CODES)):
        audio = outcome(call)
        assert audio is None or np.isfinite(audio).all()
        if audio is None:
            assert stream.save() == before
    stream.load(stream.save())


def test_an_overflow_is_not_rare(enormous):
    """So that the tests above test something."""
    with pytest.raises(NumericError, match="too large"):
        enormous("decoder.layers").decode(CODES)
    with pytest.raises(NumericError, match="too large"):
        enormous("encoder.layers").encode(PCM)
    with pytest.raises(NumericError, match="codebook 0"):
        enormous("embed_sum").encode(PCM)


@pytest.mark.parametrize("part", ["encoder.layers.0.", "k_proj", "fc2", "downsample", "input_proj", "embed_sum"])
def test_encoding(enormous, part):
    model = enormous(part)
    stream = model.encoder_stream()
    before = stream.save()
    for call in (lambda: model.encode(PCM), lambda: stream.push(PCM)):
        codes = outcome(call)
        assert codes is None or ((codes >= 0) & (codes < 32)).all()
        if codes is None:
            assert stream.save() == before
    stream.load(stream.save())
    latents = outcome(lambda: model.encode_latents(PCM))
    assert latents is None or np.isfinite(latents).all()


def test_latents_of_codes(enormous):
    model = enormous("output_proj")
    for call in (lambda: model.codes_to_latents(CODES), lambda: model.quantize(np.zeros((model.latent_dim, 3)))):
        with pytest.raises(NumericError, match="latents are too large"):
            call()


def test_enormous_input_is_the_input_s_fault(tiny):
    with pytest.raises(AudioError, match=r"the samples are too large: .* got 3\.4"):
        tiny.encode(np.full(99, np.finfo(np.float32).max))
    latents = np.full((tiny.latent_dim, 3), np.float32(3e38))
    for call in (tiny.latents_to_codes, tiny.decode_latents):
        with pytest.raises(LatentsError, match="the latents are too large"):
            call(latents)


def test_the_error_is_ours_and_python_s():
    assert issubclass(NumericError, MimiError)
    assert issubclass(NumericError, ArithmeticError)
