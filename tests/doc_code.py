"""The Python of the README and of the pages in docs/, run as it stands.

A block that cannot run here (it needs a download, or another package's server) has the line
`<!-- not run: why -->` before it in the page.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mimi_codec.demo_files import demo_directory
from mimi_codec.hub import Source, resolve

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(?P<before>[^\n]*)\n+```python\n(?P<code>.*?)^```$", re.M | re.S)
NOT_RUN = "<!-- not run: "


def blocks(page: Path) -> Iterator[str]:
    """The code of each block that runs, moved down to its line of the page."""
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        if not block["before"].startswith(NOT_RUN):
            yield "\n" * text.count("\n", 0, block.start("code")) + block["code"]


def run(page: str, monkeypatch: pytest.MonkeyPatch, directory: Path, names: Mapping[str, Any] | None = None) -> int:
    """Run a page's blocks one after another, as one script in `directory`, and give their number.

    `names` are what the page's fragments take for granted. The demo model stands for those of the hub.
    """
    monkeypatch.chdir(directory)
    monkeypatch.setattr("mimi_codec.codec.resolve", _resolve)
    space: dict[str, Any] = {"__name__": "example", **(names or {})}
    path = ROOT / page
    count = 0
    for code in blocks(path):
        exec(compile(code, path, "exec"), space)
        count += 1
    return count


def _resolve(name: str, **options: Any) -> Source:
    return resolve(name, **options) if Path(name).exists() else Source("path", str(name), demo_directory())
