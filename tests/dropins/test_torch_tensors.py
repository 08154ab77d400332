"""What PyTorch hands over: tensors whose sign is a bit of their own, and calls from within a compiled graph."""

import numpy as np
import pytest
import torch

import signals
from mimi_codec import Mimi, rustymimi
from mimi_codec.errors import InputTypeError
from mimi_codec.moshi import MimiModel as MoshiModel
from mimi_codec.transformers import MimiModel

HOP = 16


def sound(frames: int = 6) -> torch.Tensor:
    return torch.from_numpy(signals.noise(frames * HOP, rows=1, level=0.3))


def lazily_negated(x: torch.Tensor) -> torch.Tensor:
    """The values of `x`, in memory that holds -x."""
    lazy = torch.complex(torch.zeros_like(x), -x).conj().imag
    assert lazy.is_neg()
    assert torch.equal(lazy, x)
    return lazy


def first(result) -> torch.Tensor:
    """The tensor of a result: moshi's methods give it, those of Transformers an output around it."""
    return result if isinstance(result, torch.Tensor) else result[0]


class TestNegativeBit:
    def test_clips(self, tiny):
        x = sound()
        expected = tiny.encode(x)
        np.testing.assert_array_equal(tiny.encode(lazily_negated(x)), expected)
        codes = torch.from_numpy(expected)
        np.testing.assert_array_equal(tiny.decode(torch._neg_view(-codes)), tiny.decode(codes))
        latents = torch.from_numpy(tiny.encode_latents(x))
        np.testing.assert_array_equal(tiny.latents_to_codes(lazily_negated(latents)), expected)

    def test_streams(self, tiny):
        x = sound()
        codes = tiny.encoder_stream(1).push(x)
        np.testing.assert_array_equal(tiny.encoder_stream(1).push(lazily_negated(x)), codes)
        view = torch._neg_view(-torch.from_numpy(codes))
        np.testing.assert_array_equal(tiny.decoder_stream(1).push(view), tiny.decoder_stream(1).push(codes))

    @pytest.mark.parametrize("make", [MimiModel, lambda codec: MoshiModel(codec, 6)])
    def test_drop_ins(self, tiny, make):
        model, x = make(tiny), sound()
        codes = first(model.encode(x))
        assert torch.equal(first(model.encode(lazily_negated(x))), codes)
        assert torch.equal(first(model.decode(torch._neg_view(-codes))), first(model.decode(codes)))

    def test_rustymimi(self, tiny_dir):
        tokenizer, x = rustymimi.Tokenizer(tiny_dir, num_codebooks=4), sound()
        np.testing.assert_array_equal(tokenizer.encode(lazily_negated(x)), tokenizer.encode(x))

    def test_weights(self, tiny_pair):
        """Files hold the memory of a tensor."""
        state = {
            name: lazily_negated(value) if value.is_floating_point() else value
            for name, value in tiny_pair.theirs.state_dict().items()
        }
        ours = MimiModel.from_state_dict(state, tiny_pair.theirs.config)
        assert torch.equal(ours.encode(sound())[0], MimiModel(tiny_pair.ours).encode(sound())[0])

    @pytest.mark.parametrize("kind", ["sparse", "complex"])
    def test_other_memory_is_refused(self, tiny, kind):
        x = sound().to_sparse() if kind == "sparse" else torch.complex(sound(), sound()).conj()
        with pytest.raises(InputTypeError):
            tiny.encode(x)


class Around(torch.nn.Module):
    """What someone compiles: a codec between other operations."""

    def __init__(self, model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        codes = first(self.model.encode(x * 2))
        return first(self.model.decode(codes)) / 2


@pytest.mark.filterwarnings("ignore")  # what PyTorch says of its compiler differs from version to version
class TestCompile:
    @pytest.fixture(autouse=True)
    def fresh(self):
        torch._dynamo.reset()
        yield
        torch._dynamo.reset()

    @pytest.mark.parametrize("make", [MimiModel, lambda codec: MoshiModel(codec, 6)])
    def test_the_graph_breaks(self, tiny: Mimi, make):
        around, x = Around(make(tiny)), sound()
        compiled = torch.compile(around, backend="eager")
        assert torch.equal(compiled(x), around(x))

    @pytest.mark.parametrize("make", [MimiModel, lambda codec: MoshiModel(codec, 6)])
    def test_a_method_by_itself(self, tiny: Mimi, make):
        model, x = make(tiny), sound()
        assert torch.equal(first(torch.compile(model.encode, backend="eager")(x)), first(model.encode(x)))
        found, expected = torch.compile(model, backend="eager")(x), model(x)
        names = [name for name in ("audio_codes", "audio_values", "codes", "x") if hasattr(expected, name)]
        assert len(names) == 2
        for name in names:
            assert torch.equal(getattr(found, name), getattr(expected, name))

    def test_streams(self, tiny: Mimi):
        model, x = MoshiModel(tiny, 6), sound()
        expected = Around(model)(x)
        compiled = torch.compile(Around(model), backend="eager")
        with model.streaming(1):
            model.set_exec_mask(torch.tensor([True]))
            pieces = [compiled(piece) for piece in x.split(HOP, dim=-1)]
        assert torch.equal(torch.cat(pieces, -1), expected)
