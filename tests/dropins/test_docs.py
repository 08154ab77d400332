"""The examples of the integrations' pages that need no download."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


@pytest.mark.parametrize(("page", "index"), [("transformers", 0), ("moshi", 0), ("rustymimi", 1)])
def test_example_runs(page, index, run_python):
    script = BLOCK.findall((DOCS / f"{page}.md").read_text())[index]
    run_python(script)
