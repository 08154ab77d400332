"""CSM's frames, and the silence of speech-to-text."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_layouts import codes

from mimi_codec import AudioError, CodesError, ConfigError, InputTypeError
from mimi_codec.tokens import CSM_1B, STT_1B, STT_2_6B, csm, stt

SMALL = csm.CsmLayout("small", 4, 32, 35, 34, text_vocab_size=60, audio_token_id=50, audio_end_token_id=51)


def clip(frames: int, seed: int = 0) -> np.ndarray:
    """Codes (4, T) without a frame of zeros."""
    return codes((4, frames), seed, 31) + 1


class TestFrames:
    def test_audio(self):
        tokens, mask = csm.audio_frames(codes((32, 5), card=2048))
        assert tokens.shape == mask.shape == (6, 33)
        np.testing.assert_array_equal(tokens[:5, :32], codes((32, 5), card=2048).T)
        assert (tokens[5] == 0).all()
        assert (tokens[:, 32] == 0).all()
        assert mask[:, :32].all()
        assert not mask[:, 32].any()

    def test_text(self):
        tokens, mask = csm.text_frames([7, 128000])
        assert tokens[:, 32].tolist() == [7, 128000]
        assert (tokens[:, :32] == 0).all()
        assert mask[:, 32].all()
        assert not mask[:, :32].any()

    @given(st.lists(st.tuples(st.booleans(), st.integers(1, 5), st.booleans()), min_size=1, max_size=5))
    def test_there_and_back(self, plan):
        """What was joined comes apart again; parts that nothing separates come out as one."""
        parts, expected = [], []
        for index, (is_text, length, end) in enumerate(plan):
            if is_text:
                ids = codes(length, index, 60)
                parts.append(csm.text_frames(ids, SMALL))
                if expected and expected[-1][0] is not None:
                    expected[-1] = (np.concatenate([expected[-1][0], ids]), None, False)
                else:
                    expected.append((ids, None, False))
            else:
                audio = clip(length, index)
                parts.append(csm.audio_frames(audio, SMALL, end=end))
                if expected and expected[-1][0] is None and not expected[-1][2]:
                    expected[-1] = (None, np.concatenate([expected[-1][1], audio], 1), end)
                else:
                    expected.append((None, audio, end))
        prompt = csm.join(*parts)
        found = csm.segments(*prompt, SMALL)
        assert len(found) == len(expected)
        for segment, (text, audio, ended) in zip(found, expected, strict=True):
            assert segment.ended == ended
            for got, wanted in ((segment.text, text), (segment.codes, audio)):
                assert (got is None) == (wanted is None)
                if wanted is not None:
                    np.testing.assert_array_equal(got, wanted)

    def test_a_clip_without_frames(self):
        (segment,) = csm.segments(*csm.audio_frames(np.zeros((4, 0), int), SMALL), SMALL)
        assert (segment.codes.shape, segment.ended) == ((4, 0), True)
        assert csm.segments(np.zeros((0, 5), int), np.zeros((0, 5), bool), SMALL) == []

    def test_transformers_ids(self):
        prompt = csm.join(csm.text_frames([1, 2], SMALL), csm.audio_frames(clip(2), SMALL), csm.text_frames([3], SMALL))
        assert csm.input_ids(*prompt, SMALL).tolist() == [1, 2, 50, 50, 51, 3]

    def test_wrong_input(self):
        with pytest.raises(CodesError, match="4 codebooks, got 3"):
            csm.audio_frames(codes((3, 2)), SMALL)
        with pytest.raises(CodesError, match=r"\(1, 4, 2\)"):
            csm.audio_frames(codes((1, 4, 2)), SMALL)
        with pytest.raises(CodesError, match=r"34 \(padding of CSM\)"):
            csm.audio_frames(np.full((4, 2), 34), SMALL)
        with pytest.raises(CodesError, match=r"between 0 and 59, got 60"):
            csm.text_frames([60], SMALL)
        with pytest.raises(CodesError, match=r"\(n,\)"):
            csm.text_frames([[1]], SMALL)
        with pytest.raises(CodesError, match="at least one"):
            csm.join()
        tokens, mask = csm.audio_frames(clip(3), SMALL)
        with pytest.raises(CodesError, match=r"\(T, 5\), got \(4, 4\)"):
            csm.segments(tokens[:, :4], mask, SMALL)
        with pytest.raises(CodesError, match=r"mask.*\(4, 5\)"):
            csm.segments(tokens, mask[:2], SMALL)
        mask[2, 1] = False
        with pytest.raises(CodesError, match="position 2"):
            csm.segments(tokens, mask, SMALL)
        with pytest.raises(InputTypeError, match="float64"):
            csm.text_frames([0.5])


class TestGenerated:
    def frames(self, *rows) -> np.ndarray:
        return np.array([[row] * 4 if isinstance(row, int) else row for row in rows])

    def test_until_the_end_frame(self):
        got = csm.generated_clips(self.frames(5, 6, 0, 7), SMALL)
        assert (got.codes.tolist(), got.ended) == ([[5, 6]] * 4, True)
        got = csm.generated_clips(self.frames(5, 6), SMALL)
        assert (got.codes.shape, got.ended) == ((4, 2), False)

    def test_an_end_at_once(self):
        got = csm.generated_clips(self.frames(0, 5), SMALL)
        assert (got.codes.shape, got.valid.shape, got.ended) == ((4, 0), (0,), True)

    def test_padding_without_an_end_frame(self):
        """Transformers stops a row at zeros in all but the last codebook, and pads it from there on."""
        got = csm.generated_clips(self.frames(5, [0, 0, 0, 9], 34, 34), SMALL)
        assert (got.codes[:, 1].tolist(), got.codes.shape, got.ended) == ([0, 0, 0, 9], (4, 2), True)

    def test_a_batch(self):
        batch = np.stack([self.frames(1, 2, 3), self.frames(1, 0, 34), self.frames(0, 34, 34)])
        got = csm.generated_clips(batch, SMALL)
        assert [clip.codes.shape[1] for clip in got] == [3, 1, 0]
        assert csm.generated_clips(batch[:0], SMALL) == []

    @pytest.mark.parametrize("code", [32, 33, 34])
    def test_ids_that_are_no_codes(self, code):
        frames = self.frames(5, [1, code, 2, 3], 6, 0)
        with pytest.raises(CodesError, match=rf"{code} .*CSM.*codebook 1 of frame 1"):
            csm.generated_clips(frames, SMALL)
        got = csm.generated_clips(frames, SMALL, sentinels="mask")
        assert (got.valid.tolist(), got.codes[:, 1].tolist()) == ([True, False, True], [1, 0, 2, 3])
        with pytest.raises(ConfigError, match="'skip'"):
            csm.generated_clips(frames, SMALL, sentinels="skip")

    def test_frame_by_frame(self):
        frames = self.frames(5, 6, 0, 7)
        got = np.concatenate(list(csm.until_end(iter(frames), SMALL)), 1)
        np.testing.assert_array_equal(got, csm.generated_clips(frames, SMALL).codes)
        with pytest.raises(CodesError, match="32"):
            list(csm.until_end(self.frames(32), SMALL))
        with pytest.raises(CodesError, match=r"\(4,\), got \(3,\)"):
            list(csm.until_end([[1, 2, 3]], SMALL))

    def test_wrong_input(self):
        for shape in [(4,), (3, 5), (1, 1, 3, 4)]:
            with pytest.raises(CodesError, match=r"\(T, 4\) or \(B, T, 4\)"):
                csm.generated_clips(np.zeros(shape, int), SMALL)


class TestSpeechToText:
    def test_padding(self):
        assert stt.padding(STT_1B) == (0, 36000)
        assert stt.padding(STT_2_6B) == (24000, 84000)

    def test_audio(self):
        pcm = np.linspace(-1, 1, 5000, dtype=np.float32)
        padded = stt.pad_audio(STT_2_6B, pcm)
        assert padded.shape == (24000 + 5000 + 84000,)
        np.testing.assert_array_equal(padded[24000:29000], pcm)
        assert not padded[:24000].any()
        assert not padded[29000:].any()
        batch = stt.pad_audio(STT_2_6B, np.stack([pcm, -pcm])[:, np.newaxis])
        np.testing.assert_array_equal(batch[:, 0], [padded, -padded])
        assert stt.num_steps(STT_2_6B, 5000) == len(padded) // 1920

    @pytest.mark.parametrize("samples", [0, 1, 1919, 1920, 1921, 24000])
    def test_steps(self, samples):
        assert stt.num_steps(STT_1B, samples) == (samples + 36000) // 1920

    def test_wrong_input(self):
        with pytest.raises(AudioError, match=r"\(2, 3\)"):
            stt.pad_audio(STT_1B, np.zeros((2, 3), np.float32))
        with pytest.raises(AudioError, match="-1"):
            stt.num_steps(STT_1B, -1)


def test_a_layout_is_a_value():
    assert dataclasses.replace(CSM_1B) == CSM_1B
    assert CSM_1B.num_columns == 33
