"""Streams: any chunking of a clip is the whole clip, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import signals
from mimi_codec import Mimi
from mimi_codec.errors import StreamError
from stream_cases import CHUNKS, CODEBOOKS, FRAME_CHUNKS, HOP, encode_all, random_codes, split, used


class TestChunking:
    @given(sizes=CHUNKS)
    def test_encode(self, tiny, sizes):
        pcm = signals.noise(sum(sizes), level=0.3)
        stream = tiny.encoder_stream()
        np.testing.assert_array_equal(encode_all(stream, split(pcm, sizes)), tiny.encode(pcm))

    @given(sizes=CHUNKS, count=st.integers(1, CODEBOOKS))
    def test_encode_with_some_codebooks(self, tiny, sizes, count):
        pcm = signals.noise(sum(sizes), level=0.3)
        stream = tiny.encoder_stream(num_codebooks=count)
        np.testing.assert_array_equal(encode_all(stream, split(pcm, sizes)), tiny.encode(pcm)[:count])

    @given(sizes=FRAME_CHUNKS)
    def test_decode(self, tiny, sizes):
        codes = random_codes(sum(sizes))
        stream = tiny.decoder_stream()
        pieces = [stream.push(piece) for piece in split(codes, sizes)]
        np.testing.assert_array_equal(np.concatenate([np.zeros(0, np.float32), *pieces]), tiny.decode(codes))

    @given(sizes=CHUNKS)
    def test_every_push_returns_what_is_whole(self, tiny, sizes):
        """Frames come as soon as their last sample is there, never None, and the counters agree."""
        pcm = signals.noise(sum(sizes))
        stream = tiny.encoder_stream(num_codebooks=2)
        seen = frames = 0
        for piece in split(pcm, sizes):
            codes = stream.push(piece)
            seen += len(piece)
            assert codes.dtype == np.int64
            assert codes.shape == (2, seen // HOP - frames)
            frames = seen // HOP
            assert stream.frames == [frames]
            assert stream.pending == [seen % HOP]
        assert stream.flush().shape == (2, 1 if seen % HOP else 0)

    @given(sizes=CHUNKS)
    def test_a_batch(self, tiny, sizes):
        """(B, 1, n) in, (B, K, m) out, each row as alone."""
        pcm = signals.noise(sum(sizes), rows=3)
        stream = tiny.encoder_stream(batch_size=3)
        codes = encode_all(stream, split(pcm, sizes))
        np.testing.assert_array_equal(codes, np.stack([tiny.encode(row) for row in pcm[:, 0]]))

    @given(sizes=FRAME_CHUNKS)
    def test_decode_a_batch(self, tiny, sizes):
        codes = random_codes(sum(sizes), rows=3)
        stream = tiny.decoder_stream(batch_size=3)
        pieces = [stream.push(piece) for piece in split(codes, sizes)]
        audio = np.concatenate([np.zeros((3, 1, 0), np.float32), *pieces], axis=-1)
        np.testing.assert_array_equal(audio[:, 0], np.stack([tiny.decode(row) for row in codes]))

    @pytest.mark.parametrize("size", [1, 1919, 1920, 1921, 7919, 24001])
    def test_speech_in_equal_chunks(self, demo, speech, size):
        """The demo model at its true frame size; from one sample at a time to more than ten frames."""
        pcm = speech[:4001] if size == 1 else speech[:48_001]
        pieces = [pcm[i : i + size] for i in range(0, len(pcm), size)]
        codes = encode_all(demo.encoder_stream(), pieces)
        np.testing.assert_array_equal(codes, demo.encode(pcm))
        decoder = demo.decoder_stream()
        audio = np.concatenate([decoder.push(codes[:, i : i + 1]) for i in range(codes.shape[1])])
        np.testing.assert_array_equal(audio, demo.decode(codes))

    def test_a_batch_of_one(self, tiny):
        """A stream of one row takes (n,), and (1, 1, n) too."""
        pcm = signals.noise(100)
        codes = tiny.encode(pcm)
        stream = tiny.encoder_stream()
        batched = [stream.push(pcm[None, None]), stream.flush()]
        assert batched[0].shape == (1, CODEBOOKS, 100 // HOP)
        np.testing.assert_array_equal(np.concatenate([batched[0][0], batched[1].reshape(CODEBOOKS, -1)], -1), codes)
        audio = tiny.decoder_stream().push(codes[None])
        assert audio.shape == (1, 1, 7 * HOP)
        np.testing.assert_array_equal(audio[0, 0], tiny.decode(codes))

    def test_longer_than_many_windows(self, tiny):
        pcm = signals.noise(400 * HOP + 5)
        pieces = [pcm[i : i + 777] for i in range(0, len(pcm), 777)]
        np.testing.assert_array_equal(encode_all(tiny.encoder_stream(), pieces), tiny.encode(pcm))


class TestWhole:
    """The same promises of whole clips."""

    @given(lengths=st.lists(st.integers(0, 6 * HOP), min_size=1, max_size=5))
    def test_ragged_rows_equal_single(self, tiny, lengths):
        rows = [signals.noise(length, seed=i) for i, length in enumerate(lengths)]
        pcm = np.full((len(rows), 1, max(lengths)), 0.5, np.float32)  # what lies beyond a row's length must not matter
        for target, row in zip(pcm[:, 0], rows, strict=True):
            target[: len(row)] = row
        codes = tiny.encode(pcm, lengths=lengths)
        frames = [-(-length // HOP) for length in lengths]
        audio = tiny.decode(np.where(codes < 0, 0, codes), lengths=frames)
        for i, row in enumerate(rows):
            alone = tiny.encode(row)
            np.testing.assert_array_equal(codes[i, :, : frames[i]], alone)
            assert (codes[i, :, frames[i] :] == -1).all()
            np.testing.assert_array_equal(audio[i, 0, : frames[i] * HOP], tiny.decode(alone))
            assert (audio[i, 0, frames[i] * HOP :] == 0).all()

    @pytest.mark.parametrize("threads", [2, 3])
    def test_thread_counts(self, tiny_dir, tiny, threads):
        pcm = signals.noise(1000, rows=4)
        parallel = Mimi.from_pretrained(tiny_dir, threads=threads)
        codes = tiny.encode(pcm)
        np.testing.assert_array_equal(parallel.encode(pcm), codes)
        np.testing.assert_array_equal(parallel.decode(codes), tiny.decode(codes))

    def test_a_prefix_of_the_codes_does_not_see_what_follows(self, tiny):
        """Causal: the frames of a longer clip begin with those of a shorter one of whole frames."""
        pcm = signals.noise(50 * HOP)
        np.testing.assert_array_equal(tiny.encode(pcm)[:, :20], tiny.encode(pcm[: 20 * HOP]))


class TestFlush:
    @given(length=st.integers(0, 4 * HOP + 1))
    def test_frames(self, tiny, length):
        codes = encode_all(tiny.encoder_stream(), [signals.noise(length)])
        assert codes.shape == (CODEBOOKS, -(-length // HOP))

    @pytest.mark.parametrize("length", [0, 5, HOP, HOP + 1])
    def test_shape(self, tiny, length):
        """That of the stream, whatever was pushed last, also in a copy or a stream that was loaded."""
        frames = 1 if length % HOP else 0
        for pcm in (signals.noise(length), signals.noise(length)[None, None]):
            stream = tiny.encoder_stream()
            stream.push(pcm)
            loaded = tiny.encoder_stream()
            loaded.load(stream.save())
            for other in (stream.copy(), loaded):
                assert other.flush(batched=True).shape == (1, CODEBOOKS, frames)
            assert stream.flush().shape == (CODEBOOKS, frames)
        assert tiny.encoder_stream(batch_size=2).flush().shape == (2, CODEBOOKS, 0)

    def test_ends_the_clip(self, tiny):
        stream = used(tiny.encoder_stream())
        stream.flush()
        with pytest.raises(StreamError, match="reset"):
            stream.push(signals.noise(HOP))
        stream.reset()
        np.testing.assert_array_equal(encode_all(stream, [signals.noise(50)]), tiny.encode(signals.noise(50)))

    def test_of_some_rows(self, tiny):
        """Flushed rows end; the others go on as if nothing had happened."""
        pcm = signals.noise(5 * HOP + 9, rows=2)
        stream = tiny.encoder_stream(batch_size=2)
        first = stream.push(pcm[..., : 2 * HOP + 5])
        end = stream.flush(active=np.array([True, False]))
        assert end.shape == (2, CODEBOOKS, 1)
        assert (end[1] == -1).all()
        np.testing.assert_array_equal(np.concatenate([first[0], end[0]], -1), tiny.encode(pcm[0, 0, : 2 * HOP + 5]))
        rest = stream.push(pcm[..., 2 * HOP + 5 :], active=np.array([False, True]))
        last = stream.flush(active=np.array([False, True]))
        np.testing.assert_array_equal(np.concatenate([first[1], rest[1], last[1]], -1), tiny.encode(pcm[1, 0]))
