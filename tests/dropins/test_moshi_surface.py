"""`mimi_codec.moshi` by itself, without the `moshi` package: its surface, its errors, its configurations."""

from typing import Any

import pytest
import torch
from transformers import MimiConfig as TransformersConfig

import signals
from mimi_codec import ConfigError, LoadError, MimiConfig
from mimi_codec.errors import AudioError, CodesError, InputTypeError, StreamError, WeightsError
from mimi_codec.moshi import MimiModel, get_mimi
from mimi_codec.moshi.loaders import to_mimi_config
from synthetic import build, kyutai_state

HOP = 16

RELEASED = {
    "sample_rate": 24000,
    "channels": 1,
    "frame_rate": 12.5,
    "seanet": {
        "channels": 1,
        "dimension": 512,
        "causal": True,
        "n_filters": 64,
        "n_residual_layers": 1,
        "activation": "ELU",
        "compress": 2,
        "dilation_base": 2,
        "disable_norm_outer_blocks": 0,
        "kernel_size": 7,
        "residual_kernel_size": 3,
        "last_kernel_size": 3,
        "norm": "none",
        "pad_mode": "constant",
        "ratios": [8, 6, 5, 4],
        "true_skip": True,
    },
    "quantizer": {"dimension": 256, "n_q": 32, "bins": 2048, "input_dimension": 512, "output_dimension": 512},
    "transformer": {
        "d_model": 512,
        "num_heads": 8,
        "num_layers": 8,
        "causal": True,
        "layer_scale": 0.01,
        "context": 250,
        "conv_layout": True,
        "max_period": 10000,
        "gating": "none",
        "norm": "layer_norm",
        "positional_embedding": "rope",
        "dim_feedforward": 2048,
        "input_dimension": 512,
        "output_dimensions": [512],
    },
}


@pytest.fixture
def mimi(tiny) -> MimiModel:
    return MimiModel(tiny, num_codebooks=4)


def pcm(length: int, rows: int = 2) -> torch.Tensor:
    return torch.from_numpy(signals.noise(length, rows=rows, level=0.3))


def test_get_mimi(tiny_dir):
    mimi = get_mimi(tiny_dir, num_codebooks=3)
    assert (mimi.num_codebooks, mimi.total_codebooks, mimi.cardinality) == (3, 6, 32)
    assert (mimi.sample_rate, mimi.frame_size, mimi.channels) == (24000, HOP, 1)
    assert mimi.encode(pcm(40)).shape == (2, 3, 3)
    assert next(mimi.parameters()).device == mimi.device == torch.device("cpu")
    assert mimi.eval() is mimi
    assert mimi.to("cpu") is mimi
    assert mimi.state_dict() == {}


def test_whole_clips_are_padded_with_zeros(mimi, tiny):
    x = pcm(5 * HOP + 3, rows=1)
    codes = mimi.encode(x)
    assert (codes[0].numpy() == tiny.encode(x[0, 0].numpy(), 4, padding="moshi")).all()
    assert mimi.decode(codes).shape == (1, 1, 6 * HOP)
    assert mimi.encode_to_latent(x, quantize=False).shape == (1, 32, 6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_float_types(mimi, dtype):
    codes = mimi.encode(pcm(4 * HOP).to(dtype))
    assert codes.dtype == torch.int64
    mimi.to(dtype)
    assert mimi.decode(codes.int()).dtype == mimi.decode_latent(codes).dtype == dtype


class TestStreaming:
    def test_streams_are_whole_clips(self, mimi):
        x = pcm(40 * HOP)
        codes = mimi.encode(x)
        audio = mimi.decode(codes)
        with mimi.streaming(2):
            assert mimi.is_streaming
            pieces = [mimi.encode(chunk) for chunk in x.split(2 * HOP, dim=-1)]
            sound = [mimi.decode(piece) for piece in pieces]
        assert not mimi.is_streaming
        assert torch.equal(torch.cat(pieces, -1), codes)
        assert torch.equal(torch.cat(sound, -1), audio)

    def test_reset_is_a_new_stream(self, mimi):
        x = pcm(8 * HOP)
        mimi.streaming_forever(2)
        first = mimi.encode(x)
        mimi.reset_streaming()
        assert torch.equal(mimi.encode(x), first)
        mimi.reset_streaming(torch.tensor([True, False]))
        again = mimi.encode(x)
        assert torch.equal(again[0], first[0])
        assert not torch.equal(again[1], first[1])

    def test_reset_wakes_rows(self, mimi):
        mimi.streaming_forever(2)
        mimi.set_exec_mask(torch.tensor([False, False]))
        assert (mimi.encode(pcm(HOP)) == -1).all()
        mimi.reset_streaming(torch.tensor([True, False]))
        codes = mimi.encode(pcm(HOP))
        assert (codes[0] >= 0).all()
        assert (codes[1] == -1).all()

    def test_codes_of_idle_rows_are_not_read(self, mimi):
        mimi.streaming_forever(2)
        mimi.set_exec_mask(torch.tensor([True, False]))
        codes = torch.stack([torch.zeros(4, 1, dtype=torch.long), torch.full((4, 1), -2)])
        audio = mimi.decode(codes)
        assert (audio[1] == 0).all()
        assert audio[0].abs().max() > 0

    @pytest.mark.parametrize("active", [[False, False], [True, False], [True, True]])
    def test_shapes_do_not_depend_on_the_mask(self, mimi, active):
        mask, x = torch.tensor(active), pcm(3 * HOP)
        mimi.streaming_forever(2)
        mimi.set_exec_mask(mask)
        codes = mimi.encode(x)
        assert codes.shape == (2, 4, 3)
        assert codes.dtype == torch.int64
        assert (codes[~mask] == -1).all()
        audio = mimi.decode(codes)
        assert audio.shape == (2, 1, 3 * HOP)
        assert audio.dtype == torch.float32
        assert (audio[~mask] == 0).all()
        for latents in (mimi.decode_latent(codes), mimi.encode_to_latent(x)):
            assert latents.shape == (2, 32, 3)
            assert (latents[~mask] == 0).all()
        again = mimi(x)
        assert (again.codes.shape, again.x.shape) == (codes.shape, audio.shape)

    def test_codes_of_a_row_that_is_executed_are_checked(self, mimi):
        mimi.streaming_forever(2)
        mimi.set_exec_mask(torch.tensor([True, False]))
        codes = torch.full((2, 4, 1), -1)
        for call in (mimi.decode, mimi.decode_latent):
            with pytest.raises(CodesError, match="-1"):
                call(codes)
        codes = torch.ones(2, 4, 1, dtype=torch.long)
        latents = mimi.decode_latent(codes)
        assert torch.equal(latents[0], latents[1])  # codes that are there are read

    def test_rows_at_their_own_pace(self, mimi):
        """What moshi's script of missing data does: no steps, some or all rows at a time, until each has its clip."""
        rows, total = 4, 12
        x = pcm(total * HOP, rows=1)
        codes = mimi.encode(x)
        audio = mimi.decode(codes)
        rng = torch.Generator().manual_seed(1)
        done, heard, said, idle_steps = [0] * rows, [[] for _ in range(rows)], [[] for _ in range(rows)], 0
        with mimi.streaming(rows):
            while min(done) < total:
                mask = torch.rand(rows, generator=rng) < 0.3
                idle_steps += not mask.any()
                mimi.set_exec_mask(mask)
                starts = [min(count, total - 1) * HOP for count in done]
                step = mimi.encode(torch.stack([x[0, :, start : start + HOP] for start in starts]))
                sound = mimi.decode(step)
                assert (step.shape, sound.shape) == ((rows, 4, 1), (rows, 1, HOP))
                for row in mask.nonzero()[:, 0].tolist():
                    if done[row] < total:
                        heard[row].append(step[row])
                        said[row].append(sound[row])
                    done[row] += 1
        assert idle_steps > 0
        for row in range(rows):
            assert torch.equal(torch.cat(heard[row], -1), codes[0])
            assert torch.equal(torch.cat(said[row], -1), audio[0])

    def test_number_of_codebooks_while_streaming(self, mimi):
        x = pcm(2 * HOP)
        whole = mimi.encode(x)
        mimi.streaming_forever(2)
        first = mimi.encode(x[..., :HOP])
        mimi.set_num_codebooks(2)
        assert torch.equal(torch.cat([first[:, :2], mimi.encode(x[..., HOP:])], -1), whole[:, :2])
        with pytest.raises(StreamError, match="began with 4 codebooks, got 6"):
            mimi.set_num_codebooks(6)
        mimi.reset_streaming()
        mimi.set_num_codebooks(6)
        assert mimi.encode(x).shape[1] == 6

    def test_what_is_wrong_is_said(self, mimi):
        for call in (mimi.reset_streaming, lambda: mimi.set_exec_mask(torch.tensor([True]))):
            with pytest.raises(StreamError, match="not streaming"):
                call()
        mimi.streaming_forever(2)
        with pytest.raises(StreamError, match="streaming already"):
            mimi.streaming(2)
        with pytest.raises(StreamError, match="batch of 2, got a batch of 3"):
            mimi.encode(pcm(HOP, rows=3))
        with pytest.raises(StreamError, match="batch of 2, got a batch of 1"):
            mimi.decode(torch.zeros(1, 4, 1, dtype=torch.long))
        with pytest.raises(StreamError, match="positive multiple of 16 samples, got 17"):
            mimi.encode(pcm(17))
        with pytest.raises(StreamError, match="whole clips"):
            mimi.encode_to_latent(pcm(HOP), quantize=False)
        with pytest.raises(StreamError, match=r"exec_mask must have shape \(2,\), got \(3,\)"):
            mimi.set_exec_mask(torch.ones(3, dtype=torch.bool))
        with pytest.raises(InputTypeError, match=r"bool tensor, got torch\.float32"):
            mimi.set_exec_mask(torch.ones(2))
        with pytest.raises(StreamError, match="get_streaming_state"):
            mimi.set_streaming_state({"encoder": None})


def test_what_is_wrong_is_said(mimi, tiny_dir):
    with pytest.raises(AudioError, match=r"\(B, 1, L\)"):
        mimi.encode(torch.zeros(2, 2, 32))
    with pytest.raises(CodesError, match="32"):
        mimi.decode(torch.full((1, 4, 1), 32))
    for call in (mimi.decode, mimi.decode_latent):
        with pytest.raises(CodesError, match="got -1"):
            call(torch.full((2, 4, 3), -1))
    with pytest.raises(ConfigError, match=r"num_codebooks must be between 1 and 6, got 8"):
        get_mimi(tiny_dir)
    with pytest.raises(ConfigError, match="got None"):
        get_mimi(None)
    with pytest.raises(LoadError, match="no such file"):
        get_mimi("nowhere.safetensors")
    with pytest.raises(LoadError, match="no such file"):
        get_mimi("nowhere.safetensors", RELEASED)
    with pytest.raises(WeightsError):
        get_mimi(tiny_dir / "model.safetensors", RELEASED)


def test_arguments_of_another_type(tiny_dir):
    """Older versions of moshi took the device second."""
    with pytest.raises(InputTypeError, match=r"mimi_config must be a mapping .*got 'cpu'; give a device as device="):
        get_mimi(tiny_dir, "cpu")
    for wrong in (["seanet"], 5, RELEASED.items()):
        with pytest.raises(InputTypeError, match="mimi_config must be a mapping"):
            get_mimi(tiny_dir, wrong)
    with pytest.raises(InputTypeError, match="filename must be a path, got int"):
        get_mimi(3)
    with pytest.raises(ConfigError, match=r"transformer.output_dimensions must be 512 as elsewhere, got 3"):
        to_mimi_config(RELEASED | {"transformer": RELEASED["transformer"] | {"output_dimensions": 3}})


class TestConfigurations:
    def test_the_released_one(self):
        assert to_mimi_config(RELEASED) == MimiConfig()

    @pytest.mark.parametrize(
        ("part", "change", "message"),
        [
            ("seanet", {"activation": "ReLU"}, "seanet.activation must be 'ELU', got 'ReLU'"),
            ("transformer", {"gating": "silu"}, "transformer.gating must be 'none', got 'silu'"),
            ("transformer", {"surprise": 1}, "transformer.surprise is not known, got 1"),
            ("quantizer", {"input_dimension": 256}, "quantizer.input_dimension must be 512 as elsewhere, got 256"),
        ],
    )
    def test_what_this_codec_does_not_compute(self, part, change, message):
        with pytest.raises(ConfigError, match=message):
            to_mimi_config(RELEASED | {part: RELEASED[part] | change})

    def test_a_part_is_missing(self):
        with pytest.raises(ConfigError, match="parts seanet, quantizer and transformer"):
            to_mimi_config({"sample_rate": 24000, "seanet": {}})

    def test_no_checkpoint(self, tmp_path):
        path = tmp_path / "mimi.pt"
        path.write_bytes(b"nothing")
        with pytest.raises(LoadError, match="not a PyTorch checkpoint"):
            get_mimi(path, RELEASED)


def narrow(parts: dict[str, Any]) -> dict[str, Any]:
    """The configuration with hardly any width."""
    seanet = parts["seanet"] | {"dimension": 32, "n_filters": 2}
    quantizer = parts["quantizer"] | {"dimension": 16, "n_q": 8, "bins": 32}
    transformer = parts["transformer"] | {"d_model": 32, "num_heads": 2, "num_layers": 1, "dim_feedforward": 64}
    ends = {"input_dimension": 32, "output_dimension": 32}
    return parts | {
        "seanet": seanet,
        "quantizer": quantizer | ends,
        "transformer": transformer | {"input_dimension": 32, "output_dimensions": [32]},
    }


def test_checkpoints_hold_what_other_files_cannot(tmp_path):
    """Tensors that PyTorch negates by a bit of their own, and tensors that share their memory."""
    config = narrow(RELEASED)
    state = kyutai_state(build(TransformersConfig.from_dict(to_mimi_config(config).to_dict())))
    usage = [f"quantizer.rvq_rest.vq.layers.{index}._codebook.cluster_usage" for index in (0, 1)]
    state[usage[1]] = state[usage[0]].clone()
    negated = {name: torch._neg_view(-value) if value.is_floating_point() else value for name, value in state.items()}
    negated[usage[1]] = negated[usage[0]]
    codes = []
    for name, tensors in (("plain", state), ("negated", negated)):
        torch.save({"model": tensors}, tmp_path / f"{name}.pt")
        codes.append(get_mimi(tmp_path / f"{name}.pt", config).encode(pcm(1920 * 4)))
    assert torch.equal(*codes)
