"""The methods that vLLM-Omni's full-duplex service calls, slot by slot against whole clips."""

import numpy as np
import pytest
import torch

from mimi_codec import AudioError, CodesError, ConfigError, InputTypeError, Mimi, StreamError
from mimi_codec.vllm_omni import FrameCodec

SLOTS, FRAMES = 3, 9


@pytest.fixture
def codec():
    codec = FrameCodec(Mimi.demo())
    codec.streaming_init(SLOTS)
    return codec


def clips(codec):
    return (0.1 * np.random.default_rng(0).standard_normal((SLOTS, FRAMES * codec.frame_size))).astype(np.float32)


def test_conversations_that_rest_and_end(codec):
    pcm = clips(codec)
    # The second conversation rests in every third step, and the third one is another from the fifth frame on.
    taken = [[], [], []]
    heard = [[], [], []]
    at = [0, 0, 0]
    for step in range(FRAMES):
        if step == 5:
            codec.reset_slot(2)
        active = torch.tensor([True, step % 3 != 0, True])
        frame = np.full((SLOTS, codec.frame_size), np.nan, np.float32)
        for row in np.flatnonzero(active.numpy()):
            frame[row] = pcm[row, at[row] * codec.frame_size :][: codec.frame_size]
            at[row] += 1
        codes = codec.encode_frame(torch.from_numpy(frame), active)
        audio = codec.decode_frame(torch.where(active[:, None], codes, -7), active)
        assert codes.shape == (SLOTS, 8)
        assert not codes[~active].any()
        assert not audio[~active].any()
        for row in np.flatnonzero(active.numpy()):
            taken[row].append(codes[row].numpy())
            heard[row].append(audio[row].numpy())
    for row, first, last in ((0, 0, 9), (1, 0, 6), (2, 0, 5), (2, 5, 9)):
        clip = pcm[row, first * codec.frame_size : last * codec.frame_size]
        expected = codec.codec.encode(clip, 8)
        assert np.array_equal(np.stack(taken[row][first:last], axis=1), expected)
        assert np.array_equal(np.concatenate(heard[row][first:last]), codec.codec.decode(expected))


def test_several_frames_at_once(codec):
    codes = torch.from_numpy(codec.codec.encode(clips(codec)[:, None], 8))
    audio = codec.decode_frames(codes)
    codec.reset_streaming()
    parts = [codec.decode_frames(codes[:, :, :2]), codec.decode_frames(codes[:, :, 2:])]
    assert torch.equal(audio, torch.cat(parts, dim=1))
    codec.capture_cuda_graphs(SLOTS)


def test_nobody_is_active(codec):
    nobody = torch.zeros(SLOTS, dtype=torch.bool)
    assert codec.encode_frame(torch.zeros(SLOTS, 1920), nobody).shape == (SLOTS, 8)
    assert not codec.decode_frame(torch.zeros(SLOTS, 8, dtype=torch.long), nobody).any()


def test_refusals(codec):
    for pcm, error in (
        (torch.zeros(SLOTS, 100), AudioError),
        (torch.zeros(SLOTS, 1920).long(), InputTypeError),
        (3, AudioError),
    ):
        with pytest.raises(error):
            codec.encode_frame(pcm)
    with pytest.raises(AudioError):
        codec.encode_frame(torch.full((SLOTS, 1920), torch.nan))
    with pytest.raises(CodesError):
        codec.decode_frame(torch.zeros(SLOTS, 8, 1, dtype=torch.long))
    with pytest.raises(StreamError, match=r"active must have shape \(3,\)"):
        codec.encode_frame(torch.zeros(SLOTS, 1920), torch.ones(2, dtype=torch.bool))
    with pytest.raises(InputTypeError, match="active must be a tensor of bool"):
        codec.encode_frame(torch.zeros(SLOTS, 1920), torch.ones(3))
    with pytest.raises(StreamError, match="a slot below 3, got 3"):
        codec.reset_slot(3)
    with pytest.raises(ConfigError):
        FrameCodec(Mimi.demo(), num_codebooks=99)
    with pytest.raises(StreamError, match="streaming_init before"):
        FrameCodec(Mimi.demo()).reset_streaming()
    codec.streaming_init(2, decode=False)
    with pytest.raises(StreamError, match=r"streaming_init\(decode=False\)"):
        codec.decode_frame(torch.zeros(2, 8, dtype=torch.long))
