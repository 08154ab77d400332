"""The examples of docs/tokens.md run, one after another, in the order of the page."""

import doc_code


def test_examples(monkeypatch, tmp_path):
    assert doc_code.run("docs/tokens.md", monkeypatch, tmp_path) >= 8
