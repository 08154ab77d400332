"""Code2Wav in a Qwen3-Omni: what `generate` says with ours in its place, and the module by itself."""

import copy

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", minversion="5.23", reason="Qwen3-Omni in batches needs Transformers 5.23")

import reference
import tiny_qwen_omni as tiny
from mimi_codec import ConfigError, InputTypeError, errors
from mimi_codec.transformers import Qwen3OmniMoeCode2Wav, attach

pytestmark = pytest.mark.filterwarnings("ignore")

HOP = 480
# a transposed convolution loses one step of its output, which later ones make longer
DELAY = 5 * 4 * 3 * 2 + 4 * 3 * 2 + 3 * 2 + 2


@pytest.fixture(scope="module")
def host():
    return tiny.model()


@pytest.fixture(scope="module")
def ours(host) -> Qwen3OmniMoeCode2Wav:
    return attach(copy.deepcopy(host))


def codes(frames: int, rows: int = 2, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, tiny.CODEBOOK_SIZE, (rows, tiny.CODEBOOKS, frames), generator=rng)


def near(ours: torch.Tensor, expected: torch.Tensor) -> None:
    reference.assert_near(ours.numpy(), expected.detach().numpy())


def speak(host, rows: int, frames: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return host.generate(**tiny.inputs(rows, frames, sampled=rows > 1))


class TestGenerate:
    @pytest.mark.parametrize("chunked", [False, True])
    @pytest.mark.parametrize(("rows", "seed"), [(1, 0), (2, 4), (3, 0), (3, 2)])
    def test_the_same_audio(self, host, rows, seed, chunked):
        """Within one chunk the original is exact. The rows of a batch end at different frames."""
        text, expected = speak(host, rows, 20, seed)
        changed = copy.deepcopy(host)
        attach(changed, chunked=chunked)
        said, got = speak(changed, rows, 20, seed)
        assert torch.equal(said, text)
        assert len(got) == len(expected) == rows
        assert rows == 1 or len({len(row) for row in expected}) > 1, "all rows have one length"
        for one, other in zip(got, expected, strict=True):
            near(one, other)

    @pytest.fixture(scope="class")
    def long(self, host):
        """A talk of two rows that takes more than a chunk, as its talker says it; the second row ends early."""
        host = copy.deepcopy(host)
        end = host.config.talker_config.codec_eos_token_id
        host.talker.codec_head.weight.data[end] = 0  # never the largest score
        said, generate = [], host.talker.generate

        def end_one(**options):
            result = generate(**options)
            result.sequences[1, 120] = end
            said.append(result)
            return result

        host.talker.generate = end_one
        host.generate(**tiny.inputs(2, 310))
        host.talker.generate = lambda **options: said[0]
        ids = torch.stack([step[-1] for step in said[0].hidden_states if step[-1] is not None], dim=2)
        assert ids.shape == (2, tiny.CODEBOOKS, 310)
        return host, ids

    def play(self, long, code2wav):
        host, _ = long
        host.code2wav = code2wav
        return host.generate(**tiny.inputs(2, 310))[1]

    def test_more_than_a_chunk_as_the_original(self, host, ours, long):
        expected = self.play(long, host.code2wav)
        got = self.play(long, Qwen3OmniMoeCode2Wav(ours.codec, ours.config, chunked=True))
        assert [len(row) for row in expected] == [310 * HOP - 2 * DELAY, 120 * HOP - DELAY]
        for one, other in zip(got, expected, strict=True):
            near(one, other)

    def test_more_than_a_chunk_exactly(self, ours, long):
        """Each row is the clip that it would be alone, all of it, behind as much silence as a chunk would lose."""
        got = self.play(long, ours)
        for row, ids, frames in zip(got, long[1].numpy(), (310, 120), strict=True):
            alone = ours.codec.decode(ids[:, :frames])
            assert len(alone) == frames * HOP - DELAY
            np.testing.assert_array_equal(row.numpy(), np.concatenate([np.zeros(DELAY, np.float32), alone]))

    def test_one_row_of_more_than_a_chunk(self, ours):
        """The host gives all of it, so nothing stands before it."""
        found = ours.chunked_decode(codes(20, rows=1), chunk_size=6)
        assert torch.equal(found, ours(codes(20, rows=1)))

    def test_a_host_in_bfloat16(self):
        """Its codec is rounded, and its audio is not."""
        host = tiny.model().to(torch.bfloat16)
        rounded = tiny.model().code2wav  # made again, as its angles have no bfloat16 in a state_dict
        rounded.load_state_dict(host.code2wav.state_dict())
        ours = attach(host)
        assert ours.dtype == torch.float32
        near(ours(codes(9)), rounded(codes(9)))
        _, audio = speak(host, 1, 5)
        assert audio.dtype == torch.float32
        assert not torch.equal(audio, audio.bfloat16().float())

    def test_without_a_talker(self, host):
        changed = copy.deepcopy(host)
        attach(changed)
        changed.disable_talker()
        assert not hasattr(changed, "code2wav")
        with pytest.raises(InputTypeError, match="Qwen3-Omni"):
            attach(changed)


class TestModel:
    @pytest.mark.parametrize("frames", [1, 2, 40])
    def test_whole_clips(self, host, ours, frames):
        near(ours(codes(frames)), host.code2wav(codes(frames)))

    @pytest.mark.parametrize(("size", "context"), [(20, 5), (10, 3), (7, 0), (1, 2), (6, 9)])
    def test_chunks(self, host, ours, size, context):
        """With their seams: more and less context than the window of 7, and chunks shorter than it."""
        given = codes(20)
        expected = host.code2wav.chunked_decode(given, size, context)
        chunked = Qwen3OmniMoeCode2Wav(ours.codec, ours.config, chunked=True)
        near(chunked.chunked_decode(given, chunk_size=size, left_context_size=context), expected)
        exact = ours.chunked_decode(given, size, context)
        if size == 20:
            near(exact, expected)
        else:
            assert exact.shape == (2, 1, 20 * HOP)
            assert not exact[..., :DELAY].any()
            assert torch.equal(exact[..., DELAY:], ours(given))

    def test_integer_types(self, ours):
        for dtype in (torch.int32, torch.uint8):
            assert torch.equal(ours(codes(3).to(dtype)), ours(codes(3)))

    def test_no_frames(self, ours):
        for found in (ours(codes(0)), ours.chunked_decode(codes(0))):
            assert found.shape == (2, 1, 0)

    def test_float_types(self, ours):
        model = copy.deepcopy(ours).to(torch.float16)
        assert torch.equal(model(codes(3)), ours(codes(3)).half())
        assert model.chunked_decode(codes(3)).dtype == torch.float16

    def test_what_hosts_read(self, host, ours):
        assert ours.total_upsample == int(host.code2wav.total_upsample) == HOP
        assert ours.config.num_quantizers == tiny.CODEBOOKS
        assert ours.device == torch.device("cpu")
        made = Qwen3OmniMoeCode2Wav(ours.codec).config
        for name in tiny.CODE2WAV.keys() - {"max_position_embeddings", "upsample_rates", "upsampling_ratios"}:
            assert getattr(made, name) == getattr(ours.config, name), name
        assert list(made.upsample_rates) == list(ours.config.upsample_rates)

    def test_results_are_fresh_and_have_no_gradient(self, ours):
        first = ours(codes(3))
        assert not first.requires_grad
        kept = first.clone()
        first *= 0
        assert torch.equal(ours(codes(3)), kept)

    def test_refused_codes(self, host, ours):
        with pytest.raises(errors.CodesError, match="codebooks") as caught:
            ours(codes(3)[:, :-1])
        assert isinstance(caught.value, ValueError)  # as the original's
        with pytest.raises(ValueError, match="layer of codes"):
            host.code2wav(codes(3)[:, :-1])
        for stray in (-1, tiny.CODEBOOK_SIZE):
            given = codes(3)
            given[1, :, 2] = stray
            for chunked in (False, True):
                model = Qwen3OmniMoeCode2Wav(ours.codec, ours.config, chunked=chunked)
                with pytest.raises(errors.CodesError, match=str(stray)):
                    model.chunked_decode(given)
        for given in (codes(3).float(), codes(3).numpy()):
            with pytest.raises(InputTypeError):
                ours(given)
        with pytest.raises(errors.CodesError, match=r"\(B, K, T\)"):
            ours(codes(3)[0])

    def test_refused_options(self, ours):
        for options in ({"chunk_size": 0}, {"left_context_size": -1}):
            with pytest.raises(ConfigError, match=next(iter(options))):
                ours.chunked_decode(codes(3), **options)
        with pytest.raises(TypeError, match="unexpected keyword"):
            ours(codes(3), nothing=1)

    def test_what_does_not_fit(self, host, demo):
        with pytest.raises(ConfigError, match="of the kind 'code2wav'"):
            attach(copy.deepcopy(host), demo)
        other = attach(tiny.model(codebook_size=64)).codec
        with pytest.raises(ConfigError, match="made for a codec of 32 entries per codebook"):
            attach(copy.deepcopy(host), other)
        with pytest.raises(ConfigError, match="invalid_codes"):
            attach(copy.deepcopy(host), invalid_codes="end")

    def test_attached_again(self, host):
        """The way of decoding stays until another is asked for."""
        changed = copy.deepcopy(host)
        attach(changed, chunked=True)
        assert attach(changed, threads=2).chunked
        assert not attach(changed, chunked=False).chunked
        near(changed.code2wav(codes(4)), host.code2wav(codes(4)))
