"""Streams of Mimi's latents equal whole clips, and rows move between streams of any batch size."""

import numpy as np
import pytest
from hypothesis import given

import signals
from mimi_codec import ConfigError, InputTypeError, LatentsError, StreamError
from stream_cases import CHUNKS, FRAME_CHUNKS, HOP, encode_all, random_codes, split, used


class TestLatents:
    @given(sizes=CHUNKS)
    def test_encoder(self, tiny, sizes):
        pcm = signals.noise(sum(sizes))
        latents = encode_all(tiny.encoder_stream(latents=True), split(pcm, sizes))
        assert latents.dtype == np.float32
        np.testing.assert_array_equal(latents, tiny.encode_latents(pcm))

    @given(sizes=FRAME_CHUNKS)
    def test_decoder(self, tiny, sizes):
        latents = tiny.codes_to_latents(random_codes(sum(sizes)))
        stream = tiny.decoder_stream(latents=True)
        audio = np.concatenate([np.zeros(0, np.float32), *map(stream.push, split(latents, sizes))])
        np.testing.assert_array_equal(audio, tiny.decode_latents(latents))

    def test_what_they_say(self, tiny):
        encoder, decoder = tiny.encoder_stream(latents=True), tiny.decoder_stream(latents=True)
        assert repr(encoder) == "EncoderStream(batch_size=1, latents, frames=[0], pending=[0])"
        assert repr(decoder) == "DecoderStream(batch_size=1, latents, frames=[0])"
        assert encoder.of_latents
        assert decoder.of_latents
        assert not tiny.encoder_stream().of_latents
        assert encoder.num_codebooks == 0

    def test_codebooks_of_latents(self, tiny):
        with pytest.raises(ConfigError, match="num_codebooks must be None for a stream of latents, got 3"):
            tiny.encoder_stream(1, 3, latents=True)

    def test_ragged_rows(self, tiny):
        """What lies beyond a row's frames is not read; rows at rest give 0."""
        latents = tiny.codes_to_latents(random_codes(4, rows=3))
        latents[1, :, 2:] = np.nan
        latents[2] = np.nan
        stream = tiny.decoder_stream(3, latents=True)
        audio = stream.push(latents, lengths=[4, 2, 4], active=np.array([True, True, False]))
        np.testing.assert_array_equal(audio[0, 0], tiny.decode_latents(latents[0]))
        np.testing.assert_array_equal(audio[1, 0, : 2 * HOP], tiny.decode_latents(latents[1, :, :2]))
        assert not audio[1, 0, 2 * HOP :].any()
        assert not audio[2].any()
        assert stream.frames == [4, 2, 0]

    @pytest.mark.parametrize(
        ("latents", "error", "words"),
        [
            (np.zeros((5, 2), np.float32), LatentsError, "latents of 32 channels, got 5"),
            (np.zeros((2, 32, 1), np.float32), LatentsError, r"\(D, m\) or \(1, D, m\).*got a batch of 2"),
            (np.zeros((32, 2), np.int64), InputTypeError, "latents must be float32, float64 or float16, got int64"),
            (np.full((32, 2), np.inf, np.float32), LatentsError, "finite"),
        ],
    )
    def test_refused(self, tiny, latents, error, words):
        stream = tiny.decoder_stream(latents=True)
        with pytest.raises(error, match=words):
            stream.push(latents)
        assert stream.frames == [0]

    @pytest.mark.parametrize("padding", ["transformers", "moshi"])
    @pytest.mark.parametrize("latents", [True, False])
    def test_padding_of_the_end(self, tiny, padding, latents):
        pcm = signals.noise(3 * HOP + 5)
        stream = tiny.encoder_stream(latents=latents)
        given = np.concatenate([stream.push(pcm), stream.flush(padding=padding)], axis=-1)
        whole = tiny.encode_latents if latents else tiny.encode
        np.testing.assert_array_equal(given, whole(pcm, padding=padding))

    def test_another_padding(self, tiny):
        with pytest.raises(ConfigError, match="padding must be one of 'transformers', 'moshi', got 'zeros'"):
            tiny.encoder_stream().flush(padding="zeros")


class TestMoves:
    """A row goes on bit for bit in a stream of another batch size, and the rows beside it stay as they are."""

    @pytest.mark.parametrize("latents", [True, False])
    def test_encoder(self, tiny, latents):
        pcm, cut = signals.noise(20 * HOP, rows=3), 7 * HOP + 5
        three = tiny.encoder_stream(3, latents=latents)
        first = three.push(pcm[:, :, :cut])
        five = used(tiny.encoder_stream(5, latents=latents))
        before = five.save([0, 2, 3])
        five.load(three.save([2, 0]), rows=[1, 4])
        assert five.save([0, 2, 3]) == before
        rest = five.push(np.broadcast_to(pcm[[0, 2, 0, 0, 0], :, cut:], (5, 1, 20 * HOP - cut)))
        whole = tiny.encode_latents if latents else tiny.encode
        for old, new in ((2, 1), (0, 4)):
            given = np.concatenate([first[old], rest[new][:, :13]], axis=-1)
            np.testing.assert_array_equal(given, whole(pcm[old, 0]))

    @pytest.mark.parametrize("latents", [True, False])
    def test_decoder(self, tiny, latents):
        frames = random_codes(12, rows=4)
        whole = tiny.decode(frames)
        if latents:
            frames = tiny.codes_to_latents(frames)
        four = tiny.decoder_stream(4, latents=latents)
        four.push(frames[:, :, :5])
        one = tiny.decoder_stream(latents=latents)
        one.load(four.save([3]))
        np.testing.assert_array_equal(one.push(frames[3, :, 5:]), whole[3, 0, 5 * HOP :])

    @pytest.mark.parametrize(
        ("rows", "error", "words"),
        [
            ([3], StreamError, r"different numbers between 0 and 2, got \[3\]"),
            ([-1], StreamError, "different numbers between 0 and 2"),
            ([0, 0], StreamError, "different numbers between 0 and 2"),
            ([[0]], StreamError, "a list of row numbers, got an array of shape"),
            ([0.5], InputTypeError, "a list of integers, got float64"),
            ([True, False, True], InputTypeError, "a list of integers, got bool"),
            (1, StreamError, "a list of row numbers"),
            ("1", InputTypeError, "an array, got str"),
        ],
    )
    def test_rows_that_are_not_there(self, tiny, rows, error, words):
        stream = used(tiny.encoder_stream(3))
        state, other = stream.save(), tiny.encoder_stream().save()
        with pytest.raises(error, match=words):
            stream.save(rows)
        with pytest.raises(error, match=words):
            stream.load(other, rows)
        assert stream.save() == state

    def test_another_number_of_rows(self, tiny):
        stream = tiny.decoder_stream(3)
        with pytest.raises(StreamError):
            stream.load(stream.save([0, 1]), rows=[2])
        with pytest.raises(StreamError):
            stream.load(stream.save([0, 1]))
