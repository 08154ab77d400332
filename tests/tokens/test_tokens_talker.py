"""The tokens of Qwen3-Omni's and Qwen3-TTS's talkers, without the hosts; tests/dropins compares them with the hosts."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_layouts import codes

from mimi_codec import CodesError, ConfigError, InputTypeError, LoadError, Mimi
from mimi_codec.tokens import QWEN3_OMNI, QWEN3_TTS, TalkerLayout, from_config, talker, talker_prompts

SMALL = TalkerLayout(
    "small", 4, 32, 32 + 1024, 32, 33, 34, 35, 36, 37, 38, tts_pad_id=100, tts_bos_id=101, tts_eos_id=102
)
END = SMALL.codec_eos_id
ROLE = [7, 8, 9]

RELEASED = {
    "num_code_groups": 16,
    "codec_pad_id": 2148,
    "codec_bos_id": 2149,
    "codec_eos_token_id": 2150,
    "codec_nothink_id": 2155,
    "codec_think_bos_id": 2156,
    "codec_think_eos_id": 2157,
    "code_predictor_config": {"vocab_size": 2048},
}
TEXT = {"tts_pad_token_id": 151671, "tts_bos_token_id": 151672, "tts_eos_token_id": 151673}
OMNI = {"model_type": "qwen3_omni_moe", "talker_config": RELEASED | {"text_config": {"vocab_size": 3072}}, **TEXT}
TTS = {"model_type": "qwen3_tts", "talker_config": RELEASED | {"vocab_size": 3072, "codec_think_id": 2154}, **TEXT}


class TestLayout:
    @pytest.mark.parametrize(("config", "layout"), [(OMNI, QWEN3_OMNI), (TTS, QWEN3_TTS)])
    def test_from_config(self, config, layout):
        assert from_config(config, name=layout.name) == layout
        assert from_config(config).name == config["model_type"]

    @pytest.mark.parametrize("key", sorted(RELEASED))
    def test_a_missing_id_is_not_made_up(self, key):
        """Transformers' own defaults (32 codebooks, 4198 for the end) are not those of released models."""
        rest = {name: value for name, value in TTS["talker_config"].items() if name != key}
        with pytest.raises(ConfigError, match="vocab_size" if key == "code_predictor_config" else key):
            from_config(TTS | {"talker_config": rest})

    def test_suppressed(self):
        ids = QWEN3_TTS.suppressed_ids
        assert ids.dtype == np.int64
        assert ids.tolist() == [i for i in range(2048, 3072) if i != 2150]

    @pytest.mark.parametrize(
        ("field", "value"),
        [("num_codebooks", 0), ("frame_rate", 0), ("vocab_size", 3071), ("codec_eos_id", 2047), ("codec_pad_id", 3072)],
    )
    def test_outside_of_its_range(self, field, value):
        with pytest.raises(ConfigError, match=field):
            dataclasses.replace(QWEN3_TTS, **{field: value})


def with_end(clip: np.ndarray, at: int) -> np.ndarray:
    ids = clip.copy()
    ids[0, at:] = END
    return ids


class TestSaid:
    @given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(0, 9))
    def test_rows_end_by_themselves(self, ends, seed):
        ids = np.stack([with_end(codes((4, 6), seed + row), end) for row, end in enumerate(ends)])
        assert talker.frame_counts(ids, SMALL).tolist() == ends
        clips = talker.generated_clips(ids, SMALL)
        handed, counts = talker.vocoder_codes(ids, SMALL)
        assert counts.tolist() == ends
        assert len(clips) == len(ends)
        for row, (clip, end) in enumerate(zip(clips, ends, strict=True)):
            assert clip.ended == (end < 6)
            np.testing.assert_array_equal(clip.codes, ids[row, :, :end])
            np.testing.assert_array_equal(handed[row, :, :end], ids[row, :, :end])
            assert not handed[row, :, end:].any()
            alone = talker.generated_clips(ids[row], SMALL)
            np.testing.assert_array_equal(alone.codes, clip.codes)
            streamed = list(talker.until_end(ids[row].T, SMALL))
            assert len(streamed) == end
            np.testing.assert_array_equal(np.concatenate([clip.codes[:, :0], *streamed], 1), clip.codes)

    def test_steps(self):
        frames = codes((3, 5, 4))
        stacked = talker.stack_steps([None, *frames], SMALL)
        assert (stacked.shape, stacked.dtype) == ((5, 4, 3), np.int64)
        np.testing.assert_array_equal(stacked[:, :, 1], frames[1])
        assert talker.stack_steps([None], SMALL).shape == (0, 4, 0)
        assert talker.frame_counts(np.zeros((2, 4, 0), int), SMALL).tolist() == [0, 0]
        with pytest.raises(CodesError, match=r"\(5, 4\), got \(4, 4\)"):
            talker.stack_steps([frames[0], frames[1, :4]], SMALL)
        with pytest.raises(CodesError, match=r"got \(3, 4, 2\)"):
            talker.stack_steps([codes((3, 4, 2))], SMALL)

    def test_ids_that_are_not_codes(self):
        ids = codes((2, 4, 5))
        ids[1, 0, 3] = SMALL.codec_pad_id
        for function in (talker.generated_clips, talker.vocoder_codes):
            with pytest.raises(CodesError, match="32"):
                function(ids, SMALL)
        with pytest.raises(CodesError, match="32"):
            list(talker.until_end(ids[1].T, SMALL))
        ids[1, 0, 2] = END  # nothing after the end matters
        assert talker.generated_clips(ids, SMALL)[1].codes.shape == (4, 2)

    def test_an_end_in_another_codebook_is_not_an_end(self):
        ids = codes((4, 5))
        ids[2, 1] = END
        assert talker.frame_counts(ids, SMALL).tolist() == [5]
        with pytest.raises(CodesError, match=str(END)):
            talker.generated_clips(ids, SMALL)

    def test_wrong_input(self):
        with pytest.raises(CodesError, match="4 codes, got 3"):
            talker.frame_counts(codes((3, 5)), SMALL)
        with pytest.raises(CodesError, match=r"\(4,\)"):
            next(talker.until_end([codes(3)], SMALL))
        with pytest.raises(InputTypeError, match="integer"):
            talker.generated_clips(np.zeros((4, 5)), SMALL)


class TestRead:
    @given(
        frames=st.integers(0, 8),
        words=st.integers(1, 8),
        language=st.sampled_from([None, 40]),
        speaker=st.sampled_from([None, 41, "voice"]),
        streaming=st.booleans(),
        end=st.booleans(),
    )
    def test_there_and_back(self, frames, words, language, speaker, streaming, end):
        clip, text = codes((4, frames)), codes(words, 5, 60)
        options = {"language": language, "streaming": streaming, "end": end}
        options |= {"voice": True} if speaker == "voice" else {"speaker": speaker}
        if end and streaming and words > frames + 1:
            with pytest.raises(CodesError, match=f"{words} text ids do not fit beside {frames} frames"):
                talker_prompts.positions(clip, text, SMALL, role=ROLE, **options)
            return
        read = talker_prompts.positions(clip, text, SMALL, role=ROLE, **options)
        assert {len(part) for part in (read.text, read.codec, read.codes.T, read.has_codec, read.is_frame)} == {
            len(read.labels)
        }
        np.testing.assert_array_equal(read.codes[:, read.is_frame], clip)
        assert not read.codes[:, ~read.is_frame].any()
        np.testing.assert_array_equal(read.codes[0], np.where(read.is_frame, read.codec, 0))
        scored = read.labels != talker_prompts.NO_LABEL
        assert read.labels[scored].tolist() == [*clip[0], *[END] * end]
        assert (read.speaker is None) == (speaker != "voice")
        if speaker == "voice":
            assert not read.has_codec[read.speaker]
            assert read.codec[read.speaker + 1] == SMALL.codec_pad_id
        spoken = talker_prompts.split(read.text, read.codec, read.codes, SMALL)
        np.testing.assert_array_equal(spoken.codes, clip)
        assert spoken.ended == end
        rest = read.rest.tolist()
        assert [*spoken.text.tolist(), *rest[:-1]] == text.tolist()
        assert rest[-1:] in ([], [SMALL.tts_eos_id])

    def test_the_picture(self):
        """That of the module's first lines."""
        clip = codes((4, 4))
        read = talker_prompts.positions(clip, [60, 61, 62], SMALL, role=ROLE, speaker=50)
        pad, bos, eos = SMALL.tts_pad_id, SMALL.tts_bos_id, SMALL.tts_eos_id
        assert read.text.tolist() == [*ROLE, pad, pad, pad, pad, bos, 60, 61, 62, eos, pad, pad]
        assert read.codec.tolist() == [0, 0, 0, 36, 37, 38, 50, 32, 33, *clip[0], END]
        read = talker_prompts.positions(clip, [60, 61, 62], SMALL, role=ROLE, speaker=50, streaming=False)
        assert read.text.tolist() == [*ROLE, pad, pad, pad, pad, bos, 60, 61, 62, eos, *[pad] * 6]
        assert read.codec.tolist() == [0, 0, 0, 36, 37, 38, 50, *[32] * 5, 33, *clip[0], END]

    def test_more_codebooks_than_it_reads(self):
        read = talker_prompts.positions(codes((9, 5)), [60], SMALL, role=ROLE)
        np.testing.assert_array_equal(read.codes[:, read.is_frame], codes((9, 5))[:4])

    @pytest.mark.parametrize(
        ("error", "words", "changes"),
        [
            (CodesError, "3 text ids, got 2", {"role": [1, 2]}),
            (CodesError, r"got \(0,\)", {"text": np.zeros(0, int)}),
            (CodesError, "none of", {"text": [SMALL.tts_eos_id]}),
            (CodesError, "at least 0", {"text": [-1]}),
            (CodesError, "4 codebooks, got 3", {"codes": codes((3, 5))}),
            (CodesError, "one clip", {"codes": codes((1, 4, 5))}),
            (CodesError, "codes must be between 0 and 31|cannot take", {"codes": codes((4, 5)) + 32}),
            (ConfigError, "speaker or a voice", {"speaker": 50, "voice": True}),
            (ConfigError, "the id of a speaker must be between 32 and 1055", {"speaker": 31}),
            (ConfigError, "the id of a language must be between 32 and 1055", {"language": 1056}),
            (InputTypeError, "integer", {"text": [0.5]}),
        ],
    )
    def test_wrong_input(self, error, words, changes):
        arguments = {"codes": codes((4, 5)), "text": [60], "role": ROLE} | changes
        with pytest.raises(error, match=words):
            talker_prompts.positions(layout=SMALL, **arguments)

    def test_a_talker_without_languages(self):
        with pytest.raises(ConfigError, match="has no languages"):
            talker_prompts.positions(np.zeros((16, 5), int), [60], QWEN3_OMNI, role=ROLE, language=2050)

    def test_wrong_positions(self):
        read = talker_prompts.positions(codes((4, 5)), [60], SMALL, role=ROLE)
        with pytest.raises(CodesError, match=r"\(4, L\)"):
            talker_prompts.split(read.text, read.codec, read.codes[:3], SMALL)
        with pytest.raises(CodesError, match="33 before the first frame"):
            talker_prompts.split(read.text[:5], read.codec[:5], read.codes[:, :5], SMALL)
        other = np.where(read.is_frame, (read.codes + 1) % 32, 0)
        with pytest.raises(CodesError, match="first codebook"):
            talker_prompts.split(read.text, read.codec, other, SMALL)


def test_mimi_at_both_ends(demo: Mimi, speech):
    """A clip becomes training data, and what a talker that learned it by heart says is the same sound again."""
    layout = TalkerLayout("small", codebook_size=demo.codebook_size)
    clip = demo.encode(speech[:24000])
    read = talker_prompts.positions(clip, [60, 61], layout, role=ROLE, speaker=2301)
    frames = [*read.codes[:, read.is_frame].T, np.full(16, layout.codec_eos_id)]
    stream = demo.decoder_stream()
    played = np.concatenate([stream.push(codes) for codes in talker.until_end(frames, layout)])
    np.testing.assert_array_equal(played, demo.decode(clip))


def test_no_configuration(tmp_path):
    with pytest.raises(LoadError, match="there is no configuration"):
        from_config(tmp_path)
