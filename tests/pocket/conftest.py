"""Fixtures: Pocket TTS's audio tokenizer, tiny and of its full size, in Transformers and here."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import mimi_codec
import pocket_models


@dataclass(frozen=True)
class Pair:
    directory: Path
    theirs: Any  # transformers.PocketTTSAudioTokenizerModel
    ours: mimi_codec.LatentCodec


def pair(directory: Path, fields: dict, seed: int = 1) -> Pair:
    model = pocket_models.build(fields, seed)
    return Pair(pocket_models.write(model, directory), model, mimi_codec.load(directory))


@pytest.fixture(scope="session")
def pocket(tmp_path_factory) -> Pair:
    return pair(tmp_path_factory.mktemp("pocket"), pocket_models.TINY)


@pytest.fixture(scope="session")
def full_pocket(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pocket-full")
    yield pair(directory, pocket_models.FULL)
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def pocket_kyutai(pocket, tmp_path_factory) -> Path:
    """The tiny one in Kyutai's layout."""
    return pocket_models.write_kyutai(pocket.theirs, tmp_path_factory.mktemp("pocket-kyutai"))


@dataclass(frozen=True)
class Halves:
    """An encoder and a decoder of different sizes, each with the model of Transformers that has its weights."""

    directory: Path
    encoder: Any
    decoder: Any
    ours: mimi_codec.LatentCodec


@pytest.fixture(scope="session")
def halves(tmp_path_factory) -> Halves:
    encoder = pocket_models.build(pocket_models.TINY | {"latent_dim": 10}, seed=2)
    narrow = {"hidden_size": 24, "num_attention_heads": 3, "num_key_value_heads": 3, "intermediate_size": 40}
    other = {"num_hidden_layers": 3, "num_filters": 3, "kernel_size": 3, "sliding_window": 20, "compress": 2}
    decoder = pocket_models.build(pocket_models.TINY | narrow | other, seed=3)
    directory = pocket_models.write_halves(encoder, decoder, tmp_path_factory.mktemp("halves"))
    return Halves(directory, encoder, decoder, mimi_codec.load(directory))
