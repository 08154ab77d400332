"""The examples of the integrations' pages that need no download."""

import pytest

import doc_code


@pytest.mark.parametrize(("page", "blocks"), [("transformers", 1), ("moshi", 2), ("rustymimi", 2)])
def test_examples_run(page, blocks, monkeypatch, tmp_path):
    assert doc_code.run(f"docs/{page}.md", monkeypatch, tmp_path) >= blocks
