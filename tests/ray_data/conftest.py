"""A small corpus, a model where actors find it, and a cluster."""

from pathlib import Path

import local_cluster
import pytest

import corpus
import mimi_codec


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """The demo model where the actors find it."""
    directory = tmp_path_factory.mktemp("model")
    mimi_codec.Mimi.demo().save(directory)
    return directory


@pytest.fixture(scope="session")
def quick(model):
    return mimi_codec.load(model, parts="encoder")


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    return corpus.make_clips(tmp_path_factory.mktemp("corpus") / "clips")


@pytest.fixture(scope="class")
def cluster():
    """Three processors, whatever the machine has."""
    import ray

    local_cluster.start(3)
    yield ray
    ray.shutdown()
