"""Rows of a batch are independent of each other: reset, active, ended early."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import signals
from mimi_codec.errors import CodesError
from stream_cases import HOP, encode_all, random_codes, used


class TestReset:
    def test_encoder_equals_fresh(self, tiny):
        stream = used(tiny.encoder_stream())
        stream.reset()
        assert (stream.frames, stream.pending) == ([0], [0])
        assert stream.save() == tiny.encoder_stream().save()
        pcm = signals.noise(10 * HOP + 3)
        np.testing.assert_array_equal(encode_all(stream, [pcm]), tiny.encode(pcm))

    def test_decoder_equals_fresh(self, tiny):
        codes = random_codes(12)
        stream = tiny.decoder_stream()
        stream.push(random_codes(9, seed=1))
        stream.reset()
        assert stream.frames == [0]
        assert stream.save() == tiny.decoder_stream().save()
        np.testing.assert_array_equal(stream.push(codes), tiny.decode(codes))

    @given(before=st.integers(1, 90), mask=st.lists(st.booleans(), min_size=3, max_size=3))
    def test_rows_of_an_encoder(self, tiny, before, mask):
        """Reset rows begin anew, the others go on, all bit for bit."""
        head, tail = signals.noise(before, rows=3), signals.noise(5 * HOP, rows=3, seed=1)
        stream = tiny.encoder_stream(batch_size=3)
        first = stream.push(head)
        stream.reset(np.array(mask))
        second = stream.push(tail)
        for row, fresh in enumerate(mask):
            end = second[row][:, : stream.frames[row] - (0 if fresh else first.shape[-1])]
            if fresh:
                np.testing.assert_array_equal(end, tiny.encode(tail[row, 0]))
            else:
                alone = tiny.encoder_stream()
                np.testing.assert_array_equal(first[row], alone.push(head[row, 0]))
                np.testing.assert_array_equal(end, alone.push(tail[row, 0]))

    @given(before=st.integers(1, 9), mask=st.lists(st.booleans(), min_size=3, max_size=3))
    def test_rows_of_a_decoder(self, tiny, before, mask):
        head, tail = random_codes(before, rows=3), random_codes(5, rows=3, seed=1)
        stream = tiny.decoder_stream(batch_size=3)
        stream.push(head)
        stream.reset(np.array(mask))
        audio = stream.push(tail)
        for row, fresh in enumerate(mask):
            codes = tail[row] if fresh else np.concatenate([head[row], tail[row]], -1)
            np.testing.assert_array_equal(audio[row, 0], tiny.decode(codes)[-5 * HOP :])


class TestActive:
    @given(plan=st.lists(st.tuples(st.integers(0, 40), st.lists(st.booleans(), min_size=3, max_size=3)), max_size=10))
    def test_rows_of_an_encoder_run_on_their_own_clock(self, tiny, plan):
        """Inactive rows neither advance nor return codes, and what their input holds does not matter."""
        stream = tiny.encoder_stream(batch_size=3)
        alone = [tiny.encoder_stream() for _ in range(3)]
        for step, (size, mask) in enumerate(plan):
            pcm = signals.noise(size, rows=3, seed=step)
            codes = stream.push(pcm, active=np.array(mask))
            for row, active in enumerate(mask):
                expected = alone[row].push(pcm[row, 0] if active else pcm[row, 0, :0])
                frames = expected.shape[1]
                np.testing.assert_array_equal(codes[row, :, :frames], expected)
                assert (codes[row, :, frames:] == -1).all()
        assert stream.frames == [single.frames[0] for single in alone]
        assert stream.pending == [single.pending[0] for single in alone]

    @given(plan=st.lists(st.tuples(st.integers(0, 3), st.lists(st.booleans(), min_size=3, max_size=3)), max_size=10))
    def test_rows_of_a_decoder_run_on_their_own_clock(self, tiny, plan):
        stream = tiny.decoder_stream(batch_size=3)
        alone = [tiny.decoder_stream() for _ in range(3)]
        for step, (frames, mask) in enumerate(plan):
            codes = random_codes(frames, rows=3, seed=step)
            audio = stream.push(codes, active=np.array(mask))
            assert audio.shape == (3, 1, frames * HOP)
            for row, active in enumerate(mask):
                expected = alone[row].push(codes[row]) if active else np.zeros(frames * HOP, np.float32)
                np.testing.assert_array_equal(audio[row, 0], expected)

    def test_no_row_at_all(self, tiny):
        stream = used(tiny.encoder_stream(batch_size=2))
        before = stream.save()
        assert (stream.push(signals.noise(40, rows=2), active=np.array([False, False])) == -1).all()
        assert stream.save() == before

    def test_inactive_rows_may_hold_anything(self, tiny):
        """A free place in a batch of sessions holds no audio worth checking."""
        pcm = signals.noise(HOP, rows=2)
        pcm[1] = np.nan
        codes = tiny.encoder_stream(batch_size=2).push(pcm, active=np.array([True, False]))
        np.testing.assert_array_equal(codes[0], tiny.encode(pcm[0, 0]))
        mixed = random_codes(2, rows=2)
        mixed[1] = -1  # what an encoder stream returns for its inactive rows
        audio = tiny.decoder_stream(batch_size=2).push(mixed, active=np.array([True, False]))
        np.testing.assert_array_equal(audio[0, 0], tiny.decode(mixed[0]))


class TestRagged:
    """Rows with different numbers of frames, by -1 or by `lengths`."""

    @given(plan=st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), max_size=6), by_lengths=st.booleans())
    def test_rows_of_a_decoder(self, tiny, plan, by_lengths):
        stream = tiny.decoder_stream(batch_size=3)
        alone = [tiny.decoder_stream() for _ in range(3)]
        for step, lengths in enumerate(plan):
            codes = random_codes(4, rows=3, seed=step)
            for row, length in zip(codes, lengths, strict=True):
                row[:, length:] = -7 if by_lengths else -1  # beyond `lengths` nothing is read
            audio = stream.push(codes, lengths=lengths) if by_lengths else stream.push(codes)
            assert audio.shape == (3, 1, 4 * HOP)
            for row, length in enumerate(lengths):
                np.testing.assert_array_equal(audio[row, 0, : length * HOP], alone[row].push(codes[row, :, :length]))
                assert (audio[row, 0, length * HOP :] == 0).all()
        assert stream.frames == [single.frames[0] for single in alone]

    @given(plan=st.lists(st.tuples(st.integers(0, 60), st.lists(st.booleans(), min_size=2, max_size=2)), max_size=8))
    def test_an_encoder_into_a_decoder(self, tiny, plan):
        """What an encoder stream gives is what a decoder stream takes, whatever its rows do."""
        encoder, decoder = tiny.encoder_stream(batch_size=2), tiny.decoder_stream(batch_size=2)
        heard, said = [[], []], [[], []]
        pieces = [encoder.push(signals.noise(n, rows=2, seed=i), active=np.array(on)) for i, (n, on) in enumerate(plan)]
        for codes in [*pieces, encoder.flush()]:
            before = decoder.frames
            audio = decoder.push(codes)
            for row in range(2):
                frames = decoder.frames[row] - before[row]
                heard[row].append(audio[row, 0, : frames * HOP])
                said[row].append(codes[row, :, :frames])
        for row in range(2):
            np.testing.assert_array_equal(np.concatenate(heard[row]), tiny.decode(np.concatenate(said[row], axis=1)))
        assert decoder.frames == encoder.frames

    @pytest.mark.parametrize(("codebook", "frame"), [(0, 2), (slice(None), 1), (slice(1, None), 3)])
    def test_only_whole_frames_at_the_end_are_missing(self, tiny, codebook, frame):
        codes = random_codes(4, rows=2)
        codes[1, codebook, frame] = -1
        stream = tiny.decoder_stream(batch_size=2)
        before = stream.save()
        for call in (stream.push, tiny.decode, tiny.codes_to_latents):
            with pytest.raises(CodesError, match="got -1"):
                call(codes)
        with pytest.raises(CodesError, match="got -1"):
            stream.push(codes, lengths=[4, 4])
        assert stream.save() == before

    @pytest.mark.parametrize("lengths", [[1], [1, 2, 3], [5, 0], [-1, 0], [[1, 1]]])
    def test_lengths_that_cannot_be(self, tiny, lengths):
        stream = tiny.decoder_stream(batch_size=2)
        before = stream.save()
        with pytest.raises(CodesError, match="lengths"):
            stream.push(random_codes(4, rows=2), lengths=lengths)
        assert stream.save() == before

    def test_whole_clips(self, tiny):
        """`decode` and `codes_to_latents` take what `encode` gives for a batch of unequal clips."""
        codes = tiny.encode(signals.noise(100, rows=3), lengths=[100, 33, 0])
        frames = [7, 3, 0]
        audio, latents = tiny.decode(codes), tiny.codes_to_latents(codes)
        np.testing.assert_array_equal(audio, tiny.decode(codes, lengths=frames))
        for row, length in enumerate(frames):
            np.testing.assert_array_equal(latents[row, :, :length], tiny.codes_to_latents(codes[row, :, :length]))
            assert (latents[row, :, length:] == 0).all()
        with pytest.raises(CodesError, match="got -1"):  # a clip by itself has no missing frames
            tiny.decode(codes[1])
