"""What Transformers' own tests of Mimi (tests/models/mimi) assert, for the drop-in, in our words.

Those that need the released weights and a data set are done on random weights, with the original as the reference in
place of recorded sums.
"""

import inspect

import numpy as np
import pytest
import torch
from transformers import MimiConfig
from transformers import MimiModel as Original

import reference
import signals
import synthetic
from mimi_codec.transformers import MimiModel

ROWS, LENGTH = 5, 40
FRAME = 64


def suite_config(**changes) -> MimiConfig:
    """The size those tests use: 2 x 8 x 4 samples a frame, a window of 4 positions, codebooks of 64."""
    fields = {
        "hidden_size": 32,
        "num_filters": 8,
        "num_residual_layers": 1,
        "upsampling_ratios": [8, 4],
        "codebook_size": 64,
        "codebook_dim": 64,
        "vector_quantization_hidden_dimension": 64,
        "upsample_groups": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "sliding_window": 4,
    }
    return MimiConfig(**fields | changes)


@pytest.fixture(scope="module")
def original() -> Original:
    return synthetic.build(suite_config())


@pytest.fixture(scope="module")
def model(original) -> MimiModel:
    return MimiModel.from_state_dict(original.state_dict(), original.config)


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.from_numpy(signals.noise(LENGTH, rows=ROWS, level=0.3))


def clip(frames: float) -> torch.Tensor:
    return torch.from_numpy(signals.chirp(int(frames * FRAME)))[None, None]


def rmse(one: torch.Tensor, other: torch.Tensor) -> float:
    """Root mean square difference of two waveforms brought to the same loudness."""
    one, other = (audio / audio.square().mean().sqrt() for audio in (one, other))
    return float((one - other).square().mean().sqrt())


def test_model_forward(model, inputs):
    assert model(inputs).audio_values.shape == (ROWS, 1, LENGTH)


def test_forward_signature(model):
    assert list(inspect.signature(model.forward).parameters)[:3] == ["input_values", "padding_mask", "num_quantizers"]


def test_determinism(model, inputs):
    first, second = model(inputs)[0], model(inputs)[0]
    assert torch.equal(first, second)


def test_model_outputs_equivalence(model, inputs):
    by_name = model(inputs, return_dict=True).to_tuple()
    # Transformers 4.57 keeps the fields of a tuple that are None, and so does the drop-in there.
    plain = tuple(value for value in model(inputs, return_dict=False) if value is not None)
    assert len(by_name) == len(plain)
    for one, other in zip(by_name, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_identity_shortcut(inputs):
    config = suite_config(use_conv_shortcut=False)
    model = MimiModel.from_state_dict(synthetic.build(config).state_dict(), config)
    assert model(inputs).audio_values.shape == (ROWS, 1, LENGTH)


@pytest.mark.parametrize("num_quantizers", [8, 32])
def test_decode_in_two_halves_with_a_cache(model, num_quantizers):
    """Theirs allows a difference of 1e-3; ours is none."""
    codes = model.encode(clip(50), num_quantizers=num_quantizers).audio_codes
    whole = model.decode(codes).audio_values
    first = model.decode(codes[..., :25], use_cache=True)
    second = model.decode(codes[..., 25:], decoder_past_key_values=first.decoder_past_key_values, use_cache=True)
    assert torch.equal(torch.cat([first.audio_values, second.audio_values], dim=-1), whole)


@pytest.mark.parametrize("num_quantizers", [8, 32])
def test_encode_with_padding_cache(model, num_quantizers):
    x = clip(50)
    out = None
    codes = []
    for chunk in x.split(FRAME, dim=-1):
        out = model.encode(
            chunk,
            num_quantizers=num_quantizers,
            use_streaming=True,
            padding_cache=out and out.padding_cache,
            encoder_past_key_values=out and out.encoder_past_key_values,
        )
        codes.append(out.audio_codes)
    torch.testing.assert_close(torch.cat(codes, -1), model.encode(x, num_quantizers=num_quantizers).audio_codes)


@pytest.mark.parametrize("use_cache", [False, True])
@pytest.mark.parametrize("num_quantizers", [8, 32])
@pytest.mark.parametrize("frames", [56, 562.3])
def test_integration(original, num_quantizers, use_cache, frames):
    """Their clip of 56 frames, and their long one of 45 s, which shows whether the attention has its window."""
    config = suite_config(use_cache=use_cache)
    model = MimiModel.from_state_dict(original.state_dict(), config)
    x = clip(frames)
    mask = torch.ones_like(x).bool()
    codes = model.encode(x, mask, num_quantizers=num_quantizers)[0]
    reference.assert_same_codes(codes.numpy(), original, x.numpy())
    audio = model.decode(codes, mask)[0]
    again = model(x, mask, num_quantizers=num_quantizers)[1]
    torch.testing.assert_close(audio, again)
    assert audio.shape == x.shape
    with torch.no_grad():
        expected = original.decode(codes, mask)[0]
    assert abs(rmse(audio, x) - rmse(expected, x)) < 1e-5
    assert np.isfinite(audio.numpy()).all()
