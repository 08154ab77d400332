"""The examples of docs/tokens.md run, one after another, in the order of the page."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/tokens.md"


def test_examples():
    if not PAGE.exists():
        pytest.skip("no docs beside the tests")
    text = PAGE.read_text()
    blocks = list(re.finditer(r"```python\n(.*?)```", text, re.DOTALL))
    assert len(blocks) >= 8
    names: dict[str, object] = {}
    for block in blocks:
        line = text[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], PAGE, "exec"), names)
