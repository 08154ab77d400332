"""Whole clips on a CUDA device give what they give on the CPU."""

import threading

import numpy as np
import pytest

import signals
from gpu_cases import assert_same
from mimi_codec import Mimi, StoppedError, TimedOutError, TokenCodec, load
from mimi_codec.errors import AudioError
from mimi_codec.synthetic import write_synthetic_family
from stream_cases import HOP, random_codes


@pytest.mark.parametrize("padding", ["transformers", "moshi"])
@pytest.mark.parametrize("length", [1, HOP, 7 * HOP + 5, 40 * HOP])
def test_a_clip(tiny, tiny_gpu, length, padding):
    pcm = signals.chirp(length)
    codes = tiny.encode(pcm, padding=padding)
    assert_same(tiny_gpu.encode(pcm, padding=padding), codes)
    assert_same(tiny_gpu.encode_latents(pcm, padding=padding), tiny.encode_latents(pcm, padding=padding))
    assert_same(tiny_gpu.decode(codes), tiny.decode(codes))


def test_latents(tiny, tiny_gpu):
    latents = tiny.encode_latents(signals.chirp(9 * HOP))
    codes = tiny.latents_to_codes(latents)
    assert_same(tiny_gpu.latents_to_codes(latents), codes)
    assert_same(tiny_gpu.codes_to_latents(codes), tiny.codes_to_latents(codes))
    assert_same(tiny_gpu.decode_latents(latents), tiny.decode_latents(latents))


def test_ragged_batches(tiny, tiny_gpu):
    lengths = [50, 3 * HOP, 1, 20 * HOP + 3]
    pcm = signals.noise(max(lengths), rows=4)
    codes = tiny.encode(pcm, 3, lengths=lengths)
    assert_same(tiny_gpu.encode(pcm, 3, lengths=lengths), codes)
    frames = (codes[:, 0] >= 0).sum(axis=1)
    assert_same(tiny_gpu.decode(codes, lengths=frames), tiny.decode(codes, lengths=frames))


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_compact_weights(gpu, tiny_dir, dtype):
    here, there = (Mimi.from_pretrained(tiny_dir, dtype=dtype, device=device) for device in ("cpu", "cuda"))
    assert (there.dtype, there.device) == (dtype, "cuda:0")
    pcm = signals.chirp(5 * HOP)
    codes = here.encode(pcm)
    assert_same(there.encode(pcm), codes)
    assert_same(there.decode(codes), here.decode(codes))


def test_real_speech(gpu, demo, speech):
    """The embedded model, whose layers have other widths than the tiny one's."""
    there = Mimi.demo(device="cuda")
    pcm = speech[24_000 : 24_000 + 3 * demo.frame_size]
    codes = demo.encode(pcm, 8)
    assert_same(there.encode(pcm, 8), codes)
    assert_same(there.decode(codes), demo.decode(codes))


@pytest.mark.parametrize("kind", ["code2wav", "qwen3-tts", "vibevoice", "vibevoice-encoder"])
def test_other_codecs(gpu, tmp_path, kind):
    here, there = (load(write_synthetic_family(tmp_path, kind), device=device) for device in ("cpu", "cuda"))
    frames = 4
    if here.has_encoder:
        pcm = signals.chirp(frames * here.frame_size)
        assert_same(there.encode_latents(pcm), here.encode_latents(pcm))
    if here.has_encoder and isinstance(here, TokenCodec):
        assert_same(there.encode(pcm), here.encode(pcm))
    if here.has_decoder and isinstance(here, TokenCodec):
        codes = np.random.default_rng(1).integers(0, here.codebook_size, (here.num_codebooks, frames))
        assert_same(there.decode(codes), here.decode(codes))
    elif here.has_decoder:
        latents = np.random.default_rng(1).standard_normal((here.decoder_latent_dim, frames)).astype(np.float32)
        assert_same(there.decode_latents(latents), here.decode_latents(latents))


def test_bad_samples(tiny, tiny_gpu):
    pcm = signals.noise(200)
    pcm[150] = np.nan
    with pytest.raises(AudioError) as there:
        tiny_gpu.encode(pcm)
    with pytest.raises(AudioError) as here:
        tiny.encode(pcm)
    assert str(there.value) == str(here.value)
    assert_same(tiny_gpu.encode(signals.noise(200)), tiny.encode(signals.noise(200)))


def test_a_wish_to_stop(tiny_gpu):
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        tiny_gpu.encode(signals.noise(200 * HOP), stop=stop)
    with pytest.raises(TimedOutError):
        tiny_gpu.decode(random_codes(200), timeout=0)
