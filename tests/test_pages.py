"""The examples of the README and of the pages that have no tests of their own run as they stand."""

import numpy as np
import pytest

import doc_code
import signals

# dropins/test_docs.py, tokens/test_tokens_docs.py, ray_data/test_ray_docs.py and serve/test_serve_docs.py run these
ELSEWHERE = {
    "docs/session_recipes.md",
    "docs/transformers.md",
    "docs/moshi.md",
    "docs/rustymimi.md",
    "docs/tokens.md",
    "docs/ray.md",
    "docs/serve.md",
}
PAGES = sorted({f"docs/{path.name}" for path in (doc_code.ROOT / "docs").glob("*.md")} - ELSEWHERE)


def test_readme(monkeypatch, tmp_path, speech):
    """With a second of speech, a microphone that gives three pieces, and a loudspeaker that keeps what it plays."""
    import soundfile

    second = speech[:24_001]
    soundfile.write(tmp_path / "speech.flac", second, 24_000)
    played = []
    names = {
        "batch": signals.noise(48_000, rows=2),
        "microphone": np.split(second, [1000, 9000]),
        "play": played.append,
    }
    assert doc_code.run("README.md", monkeypatch, tmp_path, names) >= 4
    assert (tmp_path / "decoded.wav").stat().st_size == 44 + 2 * 13 * 1920
    assert sum(map(len, played)) == 13 * 1920


@pytest.mark.parametrize("page", PAGES)
def test_page(page, monkeypatch, tmp_path):
    doc_code.run(page, monkeypatch, tmp_path)


def test_a_block_is_found_at_its_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("one\n\n```python\nx = 1\n```\n\n<!-- not run: why -->\n```python\n1 / 0\n```\n\n```sh\nls\n```\n")
    assert list(doc_code.blocks(page)) == ["\n\n\nx = 1\n"]
