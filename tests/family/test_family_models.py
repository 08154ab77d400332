"""What `mimi_codec.load` makes of each codec of Qwen and VibeVoice: facts, files, pickling, threads, dtypes."""

import copy
import pickle

import numpy as np
import pytest

import mimi_codec
import reference
import signals
from family_models import random_codes, random_latents
from mimi_codec import QwenCodec, VibeVoice
from mimi_codec.synthetic import write_synthetic_family

KINDS = {"code2wav": QwenCodec, "qwen3-tts": QwenCodec, "vibevoice": VibeVoice, "vibevoice-encoder": VibeVoice}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def directory(kind, tmp_path):
    return write_synthetic_family(tmp_path / "model", kind)


def said(codec) -> list[np.ndarray]:
    """What it gives both ways, for one clip."""
    given = []
    if codec.has_encoder:
        given.append(codec.encode_latents(signals.chirp(9 * codec.frame_size)))
    if codec.has_decoder and isinstance(codec, QwenCodec):
        given.append(codec.decode(random_codes(codec, 12)))
    elif codec.has_decoder:
        given.append(codec.decode_latents(random_latents(codec, 40)))
    return given


def assert_equal(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for ours, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_facts(kind, directory):
    codec = mimi_codec.load(directory)
    assert (type(codec), codec.kind, codec.sample_rate) == (KINDS[kind], kind, 24000)
    assert codec.has_encoder == (kind != "code2wav")
    assert codec.has_decoder == (kind != "vibevoice-encoder")
    assert codec.delay == (555 if kind == "code2wav" else 0)
    assert repr(codec).startswith(f"{KINDS[kind].__name__}('{directory}', {kind}, 24000 Hz")
    if KINDS[kind] is VibeVoice:
        assert codec.noise_scale == 0.625
        assert not hasattr(codec, "encode")


def test_saved(directory, tmp_path):
    codec = mimi_codec.load(directory)
    codec.save(tmp_path / "saved")
    again = mimi_codec.load(tmp_path / "saved")
    assert (again.kind, again.config) == (codec.kind, codec.config)
    assert_equal(said(again), said(codec))


def test_pickled_and_copied(kind, directory):
    codec = mimi_codec.load(directory, threads=2)
    data = pickle.dumps(codec)
    again = pickle.loads(data)
    assert len(data) < 2000
    assert (type(again), repr(again)) == (KINDS[kind], repr(codec))
    assert copy.deepcopy(codec) is codec
    assert_equal(said(again), said(codec))


def test_threads_change_no_bit(directory):
    assert_equal(said(mimi_codec.load(directory, threads=2)), said(mimi_codec.load(directory)))


# Of the root mean square: bfloat16 keeps 8 bits of a weight, int8 about 7 of the largest of its row. The greatest of
# thousands of errors is a matter of chance: in int8 0.06 to 0.15 of the greatest value, for Qwen3-TTS and eight clips.
@pytest.mark.parametrize(("dtype", "limit"), [("bfloat16", 0.05), ("int8", 0.1)])
def test_dtypes(directory, dtype, limit):
    full, small = mimi_codec.load(directory), mimi_codec.load(directory, dtype=dtype)
    assert small.dtype == dtype
    assert small.weight_bytes < full.weight_bytes
    for ours, expected in zip(said(small), said(full), strict=True):
        assert np.square(ours - expected).mean() < limit**2 * np.square(expected).mean()
    if small.has_decoder:
        stream = small.decoder_stream()
        given = random_codes(small, 9) if isinstance(small, QwenCodec) else random_latents(small, 9)
        audio = np.concatenate([stream.push(given[:, :4]), stream.push(given[:, 4:])])
        whole = small.decode if isinstance(small, QwenCodec) else small.decode_latents
        np.testing.assert_array_equal(audio, whole(given))


def test_shards_and_prefixes(kind, directory, tmp_path):
    prefix = {"code2wav": "code2wav.", "vibevoice": "model.audio_tower."}.get(kind, "a.b.")
    write_synthetic_family(tmp_path / "sharded", kind, prefix=prefix, shards=5)
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) == 5
    assert_equal(said(mimi_codec.load(tmp_path / "sharded")), said(mimi_codec.load(directory)))


def test_written_in_bfloat16(kind, directory, tmp_path):
    small = mimi_codec.load(write_synthetic_family(tmp_path / "small", kind, dtype="bfloat16"))
    for ours, expected in zip(said(small), said(mimi_codec.load(directory)), strict=True):
        reference.assert_near(ours, expected, 0.05)  # as above


@pytest.mark.parametrize("options", [{"size": "huge"}, {"dtype": "float16"}, {"shards": 0}, {"shards": 10**6}], ids=str)
def test_synthetic_options_refused(kind, options, tmp_path):
    with pytest.raises(mimi_codec.ConfigError, match=next(iter(options))):
        write_synthetic_family(tmp_path, kind, **options)
    with pytest.raises(mimi_codec.ConfigError, match="kind"):
        write_synthetic_family(tmp_path, "dac")


def test_not_a_mimi(directory):
    with pytest.raises(mimi_codec.ConfigError, match=r"use mimi_codec\.load"):
        mimi_codec.Mimi.from_pretrained(directory)
