"""A small corpus of sound files, and a model that is quick."""

import dataclasses
from pathlib import Path

import pytest

import mimi_codec
from corpus import make_clips
from mimi_codec.synthetic import POCKET_TTS, write_synthetic_latents


@pytest.fixture(scope="session")
def quick() -> mimi_codec.Mimi:
    """The demo model with its encoder alone."""
    return mimi_codec.Mimi.demo(parts="encoder")


@pytest.fixture(scope="session")
def latent_codec(tmp_path_factory) -> mimi_codec.LatentCodec:
    """A narrow codec of latents, at 12.5 frames per second."""
    widths = {"num_filters": 4, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "head_dim": 16}
    config = dataclasses.replace(POCKET_TTS, **widths, num_key_value_heads=2, upsample_groups=32)
    return mimi_codec.load(write_synthetic_latents(tmp_path_factory.mktemp("latents") / "model", config))


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    """Twenty-four good clips, of three folders with equal names in them, of two rates, of one and two channels."""
    return make_clips(tmp_path_factory.mktemp("corpus") / "clips")
