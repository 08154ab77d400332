"""Layouts as values, and out of configurations."""

import dataclasses
import json

import numpy as np
import pytest

from mimi_codec import ConfigError, LoadError
from mimi_codec.tokens import (
    CSM_1B,
    HIBIKI_1B,
    HIBIKI_2B,
    MOSHI_7B,
    PERSONAPLEX,
    STT_1B,
    STT_2_6B,
    TTS_1_6B,
    CsmLayout,
    StreamLayout,
    from_config,
)

MOSHI_JSON = {
    "text_card": 32000,
    "existing_text_padding_id": 3,
    "n_q": 16,
    "dep_q": 8,
    "card": 2048,
    "delays": [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1],
    "dim": 4096,
}
STT_JSON = {
    "model_type": "stt",
    "card": 2048,
    "n_q": 32,
    "dep_q": 0,
    "text_card": 4000,
    "delays": [0] * 33,
    "stt_config": {"audio_delay_seconds": 2.5, "audio_silence_prefix_seconds": 1.0},
}
TTS_JSON = {
    "model_type": "tts",
    "card": 2048,
    "n_q": 32,
    "dep_q": 32,
    "text_card": 8000,
    "delays": [0, 0] + [2] * 31,
    "demux_second_stream": True,
    "tts_config": {"audio_delay": 1.28, "second_stream_ahead": 2},
}


def same(made: StreamLayout | CsmLayout, expected: StreamLayout | CsmLayout) -> bool:
    return dataclasses.replace(made, name="") == dataclasses.replace(expected, name="")


@pytest.mark.parametrize(
    ("layout", "generated", "user", "text_card", "max_delay"),
    [
        (MOSHI_7B, 8, 8, 32000, 1),
        (PERSONAPLEX, 8, 8, 32000, 1),
        (HIBIKI_2B, 16, 16, 48000, 2),
        (HIBIKI_1B, 8, 8, 48000, 2),
        (STT_1B, 0, 32, 8000, 0),
        (STT_2_6B, 0, 32, 4000, 0),
        (TTS_1_6B, 32, 0, 8000, 2),
    ],
)
def test_the_published_models(layout, generated, user, text_card, max_delay):
    assert (layout.num_generated, layout.num_user, layout.text_card) == (generated, user, text_card)
    assert (layout.max_delay, layout.card, layout.frame_size) == (max_delay, 2048, 1920)
    # the text and each speaker's first codebook are on time
    firsts = {0, 1, 1 + generated} if generated and user else {0, 1}
    assert {row for row, late in enumerate(layout.delays) if late == 0} >= firsts
    assert layout.initial_ids().tolist() == [text_card] + [2048] * (generated + user)
    assert layout.initial_ids()[layout.generated_rows].shape == (generated,)
    assert layout.initial_ids()[layout.user_rows].shape == (user,)


def test_seconds_in_frames():
    assert (STT_1B.text_delay_frames, TTS_1_6B.audio_delay_frames, TTS_1_6B.warm_up_steps) == (6, 16, 18)
    assert (MOSHI_7B.num_codebooks, STT_1B.num_codebooks, HIBIKI_2B.num_codebooks) == (8, 32, 16)


def test_fewer_codebooks_of_a_tts():
    """As moshi's `dep_q = n_q`: the other rows are fed."""
    small = TTS_1_6B.with_generated(8)
    assert (small.num_generated, small.num_user, small.delays) == (8, 24, TTS_1_6B.delays)
    with pytest.raises(ConfigError, match=r"\b32\b.*\b33\b"):
        TTS_1_6B.with_generated(33)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delays": (0,) * 16}, r"17 delays.*got 16"),
        ({"delays": (0,) * 16 + (-1,)}, "at least 0"),
        ({"num_generated": -1}, "num_generated.*-1"),
        ({"card": 0}, "card.*0"),
        ({"frame_rate": 0.0}, "frame_rate"),
        ({"audio_delay_seconds": -1.0}, "audio_delay_seconds"),
        ({"text_delay_seconds": float("nan")}, "text_delay_seconds"),
    ],
)
def test_what_no_layout_can_be(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(MOSHI_7B, **changes)


class TestKyutaiConfig:
    def test_moshi(self):
        assert same(from_config(MOSHI_JSON), MOSHI_7B)
        assert from_config(MOSHI_JSON).name == "moshi"

    def test_stt(self):
        assert same(from_config(STT_JSON), STT_2_6B)

    def test_tts(self):
        assert same(from_config(TTS_JSON), TTS_1_6B)

    def test_other_delays(self):
        """Nothing is taken from the ready layouts."""
        delays = [1, 0, *[3] * 7, 2, *[4] * 7]
        layout = from_config(MOSHI_JSON | {"delays": delays, "model_type": "hibiki", "card": 1024}, name="mine")
        assert (layout.delays, layout.max_delay, layout.card, layout.name) == (tuple(delays), 4, 1024, "mine")

    def test_files(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps(MOSHI_JSON))
        assert from_config(tmp_path) == from_config(tmp_path / "config.json") == from_config(MOSHI_JSON)

    @pytest.mark.parametrize("key", ["n_q", "dep_q", "card", "text_card", "delays"])
    def test_missing(self, key):
        with pytest.raises(ConfigError, match=key):
            from_config({name: value for name, value in MOSHI_JSON.items() if name != key})

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"n_q": "16"}, "n_q.*'16'"),
            ({"dep_q": 17}, "dep_q 17 and n_q 16"),
            ({"dep_q": True}, "dep_q.*True"),
            ({"card": -1}, "card.*-1"),
            ({"delays": "0"}, "delays.*'0'"),
            ({"delays": [0.5] * 17}, "delays.*integers"),
            ({"delays": [0]}, "17 delays.*got 1"),
            ({"stt_config": []}, "stt_config"),
            ({"stt_config": {"audio_delay_seconds": "2"}}, "audio_delay_seconds.*'2'"),
        ],
    )
    def test_wrong(self, changes, message):
        with pytest.raises(ConfigError, match=message):
            from_config(MOSHI_JSON | changes)


class TestOtherConfigs:
    def test_sesame(self):
        fields = {"audio_num_codebooks": 32, "audio_vocab_size": 2051, "text_vocab_size": 128256}
        assert same(from_config(fields), CSM_1B)

    @pytest.mark.parametrize("fields", [{}, {"model_type": "llama"}, {"model_type": ["moshi"]}])
    def test_another_model(self, fields):
        with pytest.raises(ConfigError, match="n_q, dep_q, delays"):
            from_config(fields)

    def test_a_codec_that_cannot_be(self):
        with pytest.raises(ConfigError, match="audio_encoder_config"):
            from_config({"model_type": "moshi", "audio_encoder_config": {"upsampling_ratios": 4}})

    def test_files(self, tmp_path):
        with pytest.raises(LoadError, match="nowhere"):
            from_config(tmp_path / "nowhere")
        for text in ("{", "[1]", ""):
            (tmp_path / "config.json").write_text(text)
            with pytest.raises(LoadError, match=r"config\.json"):
                from_config(tmp_path)

    @pytest.mark.parametrize("changes", [{"num_codebooks": 0}, {"vocab_size": 3}, {"end_id": 2048}])
    def test_what_no_csm_can_be(self, changes):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            CsmLayout(**changes)


class TestTransformersConfigs:
    """The files Transformers writes."""

    @pytest.fixture(autouse=True)
    def _needs_transformers(self):
        pytest.importorskip("transformers")

    def test_moshi(self, tmp_path):
        from transformers import MoshiConfig

        MoshiConfig(audio_encoder_config={"model_type": "mimi"}).save_pretrained(tmp_path)
        assert same(from_config(tmp_path), MOSHI_7B)

    def test_speech_to_text(self, tmp_path):
        from transformers import KyutaiSpeechToTextConfig, KyutaiSpeechToTextFeatureExtractor

        KyutaiSpeechToTextConfig(bos_token_id=4000).save_pretrained(tmp_path)
        plain = from_config(tmp_path)
        assert (plain.text_delay_seconds, plain.silence_prefix_seconds) == (0, 0)
        extractor = KyutaiSpeechToTextFeatureExtractor(audio_delay_seconds=2.5, audio_silence_prefix_seconds=1.0)
        extractor.save_pretrained(tmp_path)
        assert same(from_config(tmp_path), STT_2_6B)
        assert from_config(json.loads((tmp_path / "config.json").read_text())) == plain

    def test_csm(self, tmp_path):
        from transformers import CsmConfig

        CsmConfig().save_pretrained(tmp_path)
        assert same(from_config(tmp_path), CSM_1B)


def test_initial_ids_are_the_callers_own():
    MOSHI_7B.initial_ids()[:] = 0
    np.testing.assert_array_equal(MOSHI_7B.initial_ids()[1:], 2048)
