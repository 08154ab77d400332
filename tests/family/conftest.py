"""Fixtures: tiny codecs of Qwen and VibeVoice, in Transformers and here."""

from pathlib import Path

import pytest

import family_models
import mimi_codec
from family_models import Pair
from mimi_codec.synthetic import write_synthetic_family


@pytest.fixture(scope="session")
def code2wav(tmp_path_factory) -> Pair:
    return family_models.code2wav(tmp_path_factory.mktemp("code2wav"))


@pytest.fixture(scope="session")
def vibevoice(tmp_path_factory) -> Pair:
    return family_models.vibevoice(tmp_path_factory.mktemp("vibevoice"))


@pytest.fixture(scope="session")
def semantic(tmp_path_factory) -> Pair:
    return family_models.vibevoice_encoder(tmp_path_factory.mktemp("semantic"))


@pytest.fixture(scope="session")
def qwen_tts_dir(tmp_path_factory) -> Path:
    return write_synthetic_family(tmp_path_factory.mktemp("qwen-tts"), "qwen3-tts")


@pytest.fixture(scope="session")
def qwen_tts(qwen_tts_dir) -> mimi_codec.QwenCodec:
    return mimi_codec.load(qwen_tts_dir)
