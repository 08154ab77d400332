"""The page on Ray runs as it stands, on a cluster on this machine."""

import pytest

import doc_code

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.usefixtures("cluster")


def test_examples_run(monkeypatch, tmp_path):
    assert doc_code.run("docs/ray.md", monkeypatch, tmp_path) >= 4
