"""Plain English: some constructions are hard for readers with another language, and Rust's ranges for all of Python."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python/mimi_codec"
COUNTED = "frames|samples|bits|bytes|steps|times|codes|entries"
HARD = {
    r"(?<!there )(?<!There )\b(?:is|are|was|were) no\b(?! more\b)(?! longer\b)": 'write "is not a" for "is no"',
    r"\.\.=|\d\.\.(?:\d|\{)|\}\.\.\{": 'write "between 0 and 31" for a range of Rust',
    rf"\b(?:{COUNTED}) a (?:second|frame|code|codebook|sample|step)\b": 'write "per"',
    r"\b[Aa]new\b": 'write "again"',
    r"\bmisshapen\b|\bsurplus\b": 'write "has a wrong shape", "is one too many"',
}


def texts(path: Path) -> list[str]:
    """The paragraphs of a page, or the texts in a module (docstrings, messages, help), each in one line."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
        found = [node.value for node in nodes if isinstance(node.value, str)]
    else:
        found = re.split(r"\n\s*\n", source)
    return [" ".join(text.split()) for text in found]


def test_a_text_that_is_hard_is_found():
    hard = ["x is no array", "in 0..=31", "12.5 frames a second", "begins anew", "a tensor that is surplus"]
    assert all(any(re.search(pattern, text) for pattern in HARD) for text in hard)
    plain = ["there is no limit", "a list...", "between 0 and 31", "12.5 frames per second", "that is no longer there"]
    assert not any(re.search(pattern, text) for pattern in HARD for text in plain)


@pytest.mark.parametrize(
    "path",
    sorted([*PACKAGE.rglob("*.py"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")]),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_plain_english(path: Path):
    found = [
        f"{advice}: ...{text[max(0, match.start() - 40) : match.end() + 40]}..."
        for text in texts(path)
        for pattern, advice in HARD.items()
        for match in re.finditer(pattern, text)
    ]
    assert not found, "\n".join(found)
