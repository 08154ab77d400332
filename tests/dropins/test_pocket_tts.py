"""Kyutai's `pocket_tts` with the codec attached: whole generations, and its calls one by one."""

import copy
import threading

import pytest
import torch

pytest.importorskip("pocket_tts", reason="the package pocket-tts is not installed; .ci/run installs it apart")

from pocket_tts.modules.stateful_module import increment_steps, init_states

import reference
import tiny_pocket_tts
from mimi_codec import ConfigError, InputTypeError, LatentCodec, errors
from mimi_codec.pocket_tts import MimiModel, attach
from tiny_pocket_tts import APART, DIM, MIMI

FRAME = 1920

# What rounding of 1e-6 in the voice becomes in audio, through a language model and its own frames heard again.
GENERATED = 1e-4


@pytest.fixture(autouse=True)
def one_thread():
    """Operations this small take longer with more; the package itself sets this when it is imported."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=[MIMI, APART], ids=["same", "apart"])
def pair(request, tmp_path_factory):
    """A model with its own codec, and the same one with ours: halves of the same sizes, and halves that differ."""
    theirs = tiny_pocket_tts.build(tmp_path_factory.mktemp("pocket_tts"), request.param)
    ours = copy.deepcopy(theirs)
    attach(ours)
    return theirs, ours


def pcm(samples: int, rows: int = 1) -> torch.Tensor:
    return 0.3 * torch.randn(rows, 1, samples, generator=torch.Generator().manual_seed(samples))


def latents(frames: int, rows: int = 1) -> torch.Tensor:
    return torch.randn(rows, frames, DIM, generator=torch.Generator().manual_seed(frames))


def near(ours: torch.Tensor, expected: torch.Tensor, limit: float = reference.RELATIVE) -> None:
    reference.assert_near(ours.numpy(), expected.numpy(), limit)


def their_decode(mimi, z: torch.Tensor, pieces: list[int]) -> torch.Tensor:
    """As `TTSModel._decode_audio_worker` calls it."""
    state, audio = init_states(mimi, batch_size=z.shape[0], sequence_length=16 * z.shape[1]), []
    with torch.no_grad():
        for piece in z.split(pieces, dim=1):
            audio.append(mimi.decode_from_latent(piece, state))
            increment_steps(mimi, state, increment=16 * piece.shape[1])
    return torch.cat(audio, dim=-1)


@torch.no_grad()
def test_generate(pair):
    """A voice, then two texts with it: prompt, queue, decoding in a thread of its own, the fade in place."""
    audio = []
    for tts in pair:
        voice = tts.get_state_for_audio_prompt(pcm(30_000)[0])
        torch.manual_seed(0)
        audio.append([tts.generate_audio(voice, text) for text in ("hello there", "there")])
    assert isinstance(pair[1].mimi, MimiModel)
    for theirs, ours in zip(*audio, strict=True):
        assert len(ours) > 20 * FRAME
        near(ours, theirs, GENERATED)


@pytest.mark.parametrize("rows", [1, 2])
def test_decode_in_pieces(pair, rows):
    theirs, ours = (tts.mimi for tts in pair)
    z = latents(8, rows)
    whole = ours.decode_from_latent(z, {})
    near(whole, their_decode(theirs, z, [8]))
    near(whole, their_decode(theirs, z, [1, 2, 3, 2]))
    assert torch.equal(their_decode(ours, z, [1, 2, 3, 2]), whole)


@pytest.mark.parametrize("samples", [1, FRAME - 1, FRAME, 10 * FRAME + 1, 20 * FRAME])
def test_encode(pair, samples):
    """Lengths that are not whole frames too: both fill up the clip with zeros."""
    theirs, ours = (tts.mimi for tts in pair)
    with torch.no_grad():
        near(ours.encode_to_latent(pcm(samples)), theirs.encode_to_latent(pcm(samples)))


def test_what_the_host_reads(pair):
    theirs, ours = (tts.mimi for tts in pair)
    for name in ("sample_rate", "frame_rate", "encoder_frame_rate", "frame_size", "channels"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert init_states(ours, 1, 100) == {}
    assert pair[1].to("cpu").eval().device == pair[0].device


def test_no_end(pair):
    """Their state is as long as the text is said to be; ours has a window and no end."""
    theirs, ours = (tts.mimi for tts in pair)
    state = init_states(theirs, 1, 16 * 5)
    with pytest.raises(RuntimeError), torch.no_grad():
        theirs.decode_from_latent(latents(6), state)
    assert ours.decode_from_latent(latents(200), init_states(ours, 1, 16 * 5)).shape == (1, 1, 200 * FRAME)


def test_fresh_audio_from_threads(pair):
    """Streams in threads of their own; what the host multiplies in place is not ours."""
    mimi = pair[1].mimi
    expected, found = mimi.decode_from_latent(latents(9), {}), {}

    def decode(name):
        state, pieces = {}, []
        for piece in latents(9).split([1, 2, 3, 2, 1], dim=1):
            audio = mimi.decode_from_latent(piece, state)
            pieces.append(audio.clone())
            audio *= 0
        found[name] = torch.cat(pieces, dim=-1)

    threads = [threading.Thread(target=decode, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[name], expected) for name in range(3))


def test_states(pair):
    mimi = pair[1].mimi
    state = {}
    first = mimi.decode_from_latent(latents(5)[:, :2], state)
    other = copy.deepcopy(state)
    rest = [mimi.decode_from_latent(latents(5)[:, 2:], each) for each in (state, other)]
    assert torch.equal(*rest)
    assert torch.equal(torch.cat([first, rest[0]], dim=-1), mimi.decode_from_latent(latents(5), {}))
    with pytest.raises(errors.StreamError, match="batch of 1, got a batch of 2"):
        mimi.decode_from_latent(latents(1, rows=2), state)
    with pytest.raises(errors.StreamError, match="another codec"):
        mimi.decode_from_latent(latents(1), init_states(pair[0].mimi, 1, 16))
    empty = {}
    with pytest.raises(errors.LatentsError):
        mimi.decode_from_latent(latents(1)[..., 1:], empty)
    assert empty == {}


def test_weights(pair, tmp_path):
    """The model around it keeps its tensors under their names, saves and loads them."""
    theirs, ours = (copy.deepcopy(tts) for tts in pair)
    before = theirs.state_dict()
    after = ours.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    with torch.no_grad():
        theirs.mimi.decoder.model[-1].conv.weight *= 2
    ours.load_state_dict(theirs.state_dict())
    near(ours.mimi.decode_from_latent(latents(3), {}), their_decode(theirs.mimi, latents(3), [3]))
    with pytest.raises(RuntimeError, match=r"Missing key.*mimi\.quantizer\.output_proj\.weight"):
        ours.load_state_dict({name: value for name, value in before.items() if not name.startswith("mimi.")})


def test_a_voice_as_wide_as_the_layers(tmp_path):
    """The package's default where the configuration says nothing of the widths between the halves."""
    tts = tiny_pocket_tts.build(tmp_path, MIMI | {"inner_dim": None, "outer_dim": None})
    theirs, ours = tts.mimi, attach(tts)
    with torch.no_grad():
        near(ours.encode_to_latent(pcm(3 * FRAME)), theirs.encode_to_latent(pcm(3 * FRAME)))
    near(ours.decode_from_latent(latents(3), {}), their_decode(theirs, latents(3), [3]))


def test_given_codecs(pair, demo):
    theirs, ours = copy.deepcopy(pair[0]), pair[1]
    again = attach(theirs, ours.mimi.codec)
    assert isinstance(again.codec, LatentCodec)
    assert torch.equal(again.decode_from_latent(latents(2), {}), ours.mimi.decode_from_latent(latents(2), {}))
    assert attach(theirs).codec is again.codec
    with pytest.raises(ConfigError, match="continuous latents"):
        attach(theirs, demo)
    with pytest.raises(InputTypeError, match=r"pocket_tts\.TTSModel"):
        attach(torch.nn.Linear(1, 1))


def test_a_codec_of_other_sizes(tmp_path):
    one, other = (tiny_pocket_tts.build(tmp_path, mimi) for mimi in (MIMI, APART))
    with pytest.raises(ConfigError, match="made for a codec of 12 values in the latents of a voice, got a codec of 8"):
        attach(other, attach(one).codec)
    assert not isinstance(other.mimi, MimiModel)
