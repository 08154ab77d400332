"""Parity with Transformers over the configuration: each variant small, on clips far longer than its window.

A latent stride other than 2 is expressed, as in Transformers, by `frame_rate`; there `frame_size` keeps a fixed factor
of 2, so the true number of samples a frame is counted here from the ratios and `latent_stride`.
"""

import math

import numpy as np
import pytest
import torch

import mimi_codec
import reference
import signals
import synthetic
from mimi_codec.transformers.attach import _check_same as check_same

VARIANTS = {
    "three ratios, wide kernels": {
        "upsampling_ratios": [5, 3, 2],
        "kernel_size": 9,
        "last_kernel_size": 5,
        "residual_kernel_size": 5,
    },
    "one ratio, odd filters": {"upsampling_ratios": [6], "num_filters": 7},
    "kernels of one tap": {"kernel_size": 1, "last_kernel_size": 1, "residual_kernel_size": 1},
    "dilated residual layers": {"num_residual_layers": 3, "dilation_growth_rate": 3, "compress": 4, "num_filters": 8},
    "conv shortcut": {"use_conv_shortcut": True, "num_residual_layers": 2, "compress": 1},
    "latent stride 16": {"frame_rate": 24000 / 8 / 16, "sliding_window": 20},
    "latent stride 3": {"frame_rate": 1000.0},
    "one layer, one head": {"num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1},
    "grouped heads": {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "num_hidden_layers": 3},
    "one head of keys": {"num_attention_heads": 4, "num_key_value_heads": 1, "attention_bias": True},
    "no attention, no residual layers": {"num_hidden_layers": 0, "num_residual_layers": 0},
    "upsampling in groups": {"upsample_groups": 8},
    "dense upsampling": {"upsample_groups": 1, "frame_rate": 750.0},
    "window of one": {"sliding_window": 1},
    "window of 250": {"sliding_window": 250},
    "three semantic codebooks": {"num_quantizers": 7, "num_semantic_quantizers": 3, "codebook_size": 128},
    "two codebooks of two": {"num_quantizers": 2, "codebook_size": 2},
    "no projection": {"vector_quantization_hidden_dimension": 32, "codebook_dim": 32},
    "odd widths": {
        "hidden_size": 28,
        "intermediate_size": 37,
        "codebook_dim": 11,
        "vector_quantization_hidden_dimension": 11,
        "num_filters": 3,
    },
    "tanh gelu, other rotary base": {
        "hidden_act": "gelu_pytorch_tanh",
        "norm_eps": 1e-3,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
    },
    "16 kHz": {"sampling_rate": 16000, "upsampling_ratios": [8, 5, 4, 2], "num_filters": 2},
}


@pytest.fixture(scope="module", params=VARIANTS.items(), ids=lambda item: item[0].replace(",", "").replace(" ", "-"))
def variant(request, tmp_path_factory):
    """Ours, theirs, samples of one frame, frames of one attention window (rounded up)."""
    name, changes = request.param
    config = synthetic.tiny_config(**changes)
    theirs = synthetic.build(config, seed=len(name))
    directory = synthetic.write(theirs, tmp_path_factory.mktemp("variant"))
    hop = math.prod(config.upsampling_ratios) * config.latent_stride
    window = math.ceil(config.sliding_window / config.latent_stride)
    return mimi_codec.Mimi.from_pretrained(directory), theirs, hop, window


def lengths(hop: int, window: int) -> list[int]:
    """Around one frame, an odd few, several windows and a part of a frame."""
    return [1, hop - 1, hop, hop + 1, 5 * hop + 3, (3 * window + 7) * hop + hop // 2 + 1]


def test_attributes(variant):
    ours, theirs, hop, _ = variant
    config = theirs.config
    assert ours.frame_size == ours.config.frame_size == hop
    assert ours.config.latent_stride == config.latent_stride
    # A clip of so many samples is so many frames in both, whatever config.frame_size says there.
    assert ours.encode(np.zeros(3 * hop, np.float32)).shape[1] == 3
    assert theirs.encode(torch.zeros(1, 1, 3 * hop)).audio_codes.shape[2] == 3
    check_same(ours, config)
    assert ours.sample_rate == config.sampling_rate
    # Where the ratios do not divide the sampling rate, Transformers' own frame_rate is the same quotient.
    assert ours.frame_rate == pytest.approx(config.sampling_rate / hop)
    assert ours.num_codebooks == config.num_quantizers
    assert ours.codebook_size == config.codebook_size


def test_encode(variant):
    ours, theirs, hop, window = variant
    for length in lengths(hop, window):
        pcm = signals.noise(length, level=0.2)
        reference.assert_near(ours.encode_latents(pcm), reference.latents(theirs, pcm))
        codes = ours.encode(pcm)
        assert codes.shape == (theirs.config.num_quantizers, math.ceil(length / hop))
        reference.assert_same_codes(codes, theirs, pcm)


def test_encode_a_batch_with_some_codebooks(variant):
    ours, theirs, hop, window = variant
    pcm = signals.noise((window + 2) * hop + 1, rows=3, level=0.2)
    for count in range(theirs.config.num_semantic_quantizers, theirs.config.num_quantizers + 1):
        reference.assert_same_codes(ours.encode(pcm, num_codebooks=count), theirs, pcm)


def test_decode(variant):
    ours, theirs, _, window = variant
    rng = np.random.default_rng(5)
    config = theirs.config
    for frames in (1, 2, 3 * window + 7):
        for count in (config.num_semantic_quantizers, config.num_quantizers):
            codes = rng.integers(0, config.codebook_size, (2, count, frames))
            reference.assert_near(ours.decode(codes), reference.decode(theirs, codes))


def test_decode_latents(variant):
    ours, theirs, hop, _ = variant
    latents = reference.latents(theirs, signals.noise(9 * hop, level=0.2))
    reference.assert_near(ours.decode_latents(latents), reference.decode_latents(theirs, latents))


def test_streams(variant):
    """Frame by frame as the whole, bit for bit, whatever the configuration."""
    ours, _, hop, window = variant
    pcm = signals.noise((2 * window + 3) * hop + hop // 2, level=0.2)
    encoder, decoder = ours.encoder_stream(), ours.decoder_stream()
    codes = np.concatenate(
        [*(encoder.push(part) for part in np.split(pcm, range(hop, len(pcm), hop))), encoder.flush()], 1
    )
    np.testing.assert_array_equal(codes, ours.encode(pcm))
    audio = np.concatenate([decoder.push(codes[:, i : i + 1]) for i in range(codes.shape[1])])
    np.testing.assert_array_equal(audio, ours.decode(codes))
