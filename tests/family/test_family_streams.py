"""Streams of the codecs of Qwen and VibeVoice equal whole clips bit for bit, whatever the chunks and the rows do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mimi_codec
import signals
from family_models import DELAY, random_codes, random_latents
from stream_cases import encode_all, split

FRAME = 1920
HOP = 16
FRAME_CHUNKS = st.lists(st.integers(0, 5), max_size=8)
# Around the 12 frames that a window of 8 and two layers, or VibeVoice's convolutions, look back
FEW = settings(max_examples=15)


def joined(pieces) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *pieces], axis=-1)


def settled(frames: int) -> int:
    """Samples of Code2Wav's that do not change any more after so many frames."""
    return max(0, frames * FRAME - DELAY)


@FEW
@given(sizes=FRAME_CHUNKS)
def test_code2wav(code2wav, sizes):
    codes = random_codes(code2wav.ours, sum(sizes))
    stream = code2wav.ours.decoder_stream()
    pieces = [stream.push(piece) for piece in split(codes, sizes)]
    assert stream.flush().shape == (0,)
    counts = [settled(sum(sizes[: index + 1])) for index in range(len(sizes))]
    assert [len(piece) for piece in pieces] == list(np.diff(counts, prepend=0))
    np.testing.assert_array_equal(joined(pieces), code2wav.ours.decode(codes))


@FEW
@given(sizes=FRAME_CHUNKS)
def test_qwen_tts_decoder(qwen_tts, sizes):
    codes, stream = random_codes(qwen_tts, sum(sizes)), qwen_tts.decoder_stream()
    np.testing.assert_array_equal(joined(map(stream.push, split(codes, sizes))), qwen_tts.decode(codes))


@FEW
@given(sizes=st.lists(st.integers(0, 3 * FRAME), max_size=6))
def test_qwen_tts_encoder(qwen_tts, sizes):
    pcm = signals.noise(sum(sizes))
    np.testing.assert_array_equal(encode_all(qwen_tts.encoder_stream(), split(pcm, sizes)), qwen_tts.encode(pcm))


@given(sizes=st.lists(st.one_of(st.integers(0, 3 * HOP), st.sampled_from([HOP - 1, HOP, HOP + 1])), max_size=8))
@pytest.mark.parametrize("which", ["vibevoice", "semantic"])
def test_vibevoice_encoder(vibevoice, semantic, which, sizes):
    codec = (vibevoice if which == "vibevoice" else semantic).ours
    pcm = signals.noise(sum(sizes))
    np.testing.assert_array_equal(encode_all(codec.encoder_stream(), split(pcm, sizes)), codec.encode_latents(pcm))


@given(sizes=FRAME_CHUNKS)
def test_vibevoice_decoder(vibevoice, sizes):
    latents, stream = random_latents(vibevoice.ours, sum(sizes)), vibevoice.ours.decoder_stream()
    np.testing.assert_array_equal(
        joined(map(stream.push, split(latents, sizes))), vibevoice.ours.decode_latents(latents)
    )


class TestRowsOfCode2Wav:
    """A row's first frames are 555 samples shorter, whatever the age of the others."""

    def test_reset_at_different_times(self, code2wav):
        codec, clips = code2wav.ours, random_codes(code2wav.ours, 15, rows=3)
        stream, given = codec.decoder_stream(3), [[[]], [[]], [[]]]
        ages = [0, 0, 0]
        for step, resets in enumerate([[], [], [1], [], [0, 1], [], [2], [], []]):
            mask = np.isin(np.arange(3), resets)
            stream.reset(mask)
            for row in resets:
                ages[row] = 0
                given[row].append([])
            audio = stream.push(clips[:, :, step : step + 1])
            lengths = [settled(age + 1) - settled(age) for age in ages]
            assert audio.shape == (3, 1, max(lengths))
            for row, length in enumerate(lengths):
                given[row][-1].append(audio[row, 0, :length])
                assert not audio[row, 0, length:].any()
            ages = [age + 1 for age in ages]
            assert stream.frames == ages
        starts = [[0, 4], [0, 2, 4], [0, 6]]
        for row, clip_starts in enumerate(starts):
            for start, end, pieces in zip(clip_starts, [*clip_starts[1:], 9], given[row], strict=True):
                np.testing.assert_array_equal(joined(pieces), codec.decode(clips[row, :, start:end]))

    def test_resting_rows_and_lengths(self, code2wav):
        codec, clips = code2wav.ours, random_codes(code2wav.ours, 9, rows=3)
        stream, at, given = codec.decoder_stream(3), [0, 0, 0], [[], [], []]
        for active, lengths in [
            ([True, False, True], [2, 1, 0]),
            ([True, True, True], [1, 3, 1]),
            ([False, True, True], [2, 1, 4]),
            ([True, True, True], [6, 5, 4]),
        ]:
            pushed = np.zeros((3, 16, max(lengths)), np.int64)
            for row, length in enumerate(lengths):
                pushed[row, :, :length] = clips[row, :, at[row] : at[row] + length]
            audio = stream.push(pushed, lengths=lengths, active=np.array(active))
            for row, length in enumerate(lengths):
                frames = length if active[row] else 0
                samples = settled(at[row] + frames) - settled(at[row])
                given[row].append(audio[row, 0, :samples])
                assert not audio[row, 0, samples:].any()
                at[row] += frames
        assert at == [9, 9, 9]
        for row in range(3):
            np.testing.assert_array_equal(joined(given[row]), codec.decode(clips[row]))

    def test_a_row_moves_while_it_is_young(self, code2wav):
        """A row that has not given its first sample, and an older one, go on in a stream with others."""
        codec, clips = code2wav.ours, random_codes(code2wav.ours, 8, rows=2)
        two, four = codec.decoder_stream(2), codec.decoder_stream(4)
        two.push(clips[:, :, :5], lengths=[0, 5])
        four.push(random_codes(codec, 3, rows=4, seed=1))
        four.load(two.save([1, 0]), rows=[2, 0])
        assert four.frames == [0, 3, 5, 3]
        pushed = np.zeros((4, 16, 8), np.int64)
        pushed[0], pushed[2, :, :3] = clips[0], clips[1, :, 5:]
        audio = four.push(pushed, lengths=[8, 0, 3, 0])
        np.testing.assert_array_equal(audio[0, 0], codec.decode(clips[0]))
        np.testing.assert_array_equal(audio[2, 0, : 3 * FRAME], codec.decode(clips[1])[settled(5) :])

    def test_ended(self, code2wav):
        stream = code2wav.ours.decoder_stream(2)
        codes = random_codes(code2wav.ours, 1, rows=2)
        stream.push(codes)
        assert stream.flush(active=np.array([True, False])).shape == (2, 1, 0)
        before = stream.save()
        with pytest.raises(mimi_codec.StreamError, match="after its flush"):
            stream.push(codes)
        assert stream.save() == before
        stream.reset(np.array([True, False]))
        assert stream.push(codes).shape == (2, 1, FRAME)


@pytest.fixture(params=["code2wav", "qwen3-tts", "vibevoice", "vibevoice-encoder"])
def codec(request, code2wav, qwen_tts, vibevoice, semantic):
    return {
        "code2wav": code2wav.ours,
        "qwen3-tts": qwen_tts,
        "vibevoice": vibevoice.ours,
        "vibevoice-encoder": semantic.ours,
    }[request.param]


def cases(codec):
    """Its streams, each with what it takes, split in three, and what the whole gives."""
    frames = 23
    if codec.has_encoder:
        pcm = signals.noise(frames * codec.frame_size, rows=3)
        at = [5 * codec.frame_size + 3, 11 * codec.frame_size]
        whole = codec.encode if isinstance(codec, mimi_codec.TokenCodec) else codec.encode_latents
        yield codec.encoder_stream, np.split(pcm, at, axis=-1), whole(pcm)
    if codec.has_decoder and isinstance(codec, mimi_codec.TokenCodec):
        codes = random_codes(codec, frames, rows=3)
        yield codec.decoder_stream, np.split(codes, [5, 11], axis=-1), codec.decode(codes)
    elif codec.has_decoder:
        latents = random_latents(codec, frames, rows=3)
        yield codec.decoder_stream, np.split(latents, [5, 11], axis=-1), codec.decode_latents(latents)


def test_copies_go_their_own_ways(codec):
    for make, (first, second, third), whole in cases(codec):
        stream = make(3)
        begun = stream.push(first)
        copy = stream.copy()
        copy.push(third)
        rest = [stream.push(second), stream.push(third)]
        np.testing.assert_array_equal(np.concatenate([begun, *rest], axis=-1), whole)


def test_saved_and_loaded(codec):
    for make, (first, second, third), whole in cases(codec):
        stream, other = make(3), make(3)
        begun = stream.push(first)
        other.push(second)
        other.load(stream.save())
        assert other.save() == stream.save()
        rest = [other.push(second), other.push(third)]
        np.testing.assert_array_equal(np.concatenate([begun, *rest], axis=-1), whole)
        other.reset()
        assert other.save() == make(3).save()
        damaged = bytearray(stream.save())
        damaged[-5] ^= 1
        with pytest.raises(mimi_codec.StreamError):
            other.load(bytes(damaged))
        assert other.save() == make(3).save()


def test_latents_around_the_tables(qwen_tts):
    """Streams of latents of a codec that has codes too: those of its encoder, which its decoder's are not."""
    pcm = signals.noise(7 * FRAME + 5)
    latents = encode_all(qwen_tts.encoder_stream(latents=True), [pcm[:3000], pcm[3000:]])
    np.testing.assert_array_equal(latents, qwen_tts.encode_latents(pcm))
    codes = qwen_tts.encode(pcm)
    np.testing.assert_array_equal(qwen_tts.latents_to_codes(latents), codes)
    taken = qwen_tts.codes_to_latents(codes)
    stream = qwen_tts.decoder_stream(latents=True)
    audio = joined([stream.push(taken[:, :2]), stream.push(taken[:, 2:])])
    np.testing.assert_array_equal(audio, qwen_tts.decode(codes))
