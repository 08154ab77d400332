"""The tests that docs/reliability.md names are there."""

import ast
import re

import pytest

from doc_code import ROOT

PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
PROMISES = re.findall(r"^\| (\d+) \|(.*)\|(.*)\|$", PAGE, re.M)
NAMES = sorted({name for _, _, tests in PROMISES for name in re.findall(r"`([^`]+)`", tests)})


def definitions(tree: ast.AST, prefix: str = "") -> set[str]:
    """Names of functions and classes, those of a class behind its own: `Class.function`."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found |= {prefix + node.name, *definitions(node, f"{prefix}{node.name}.")}
    return found


@pytest.fixture(scope="module")
def defined() -> set[str]:
    files = (ROOT / "tests").rglob("test_*.py")
    return {name for file in files for name in definitions(ast.parse(file.read_text(encoding="utf-8")))}


@pytest.mark.parametrize("name", NAMES)
def test_is_there(name, defined):
    assert (ROOT / name).exists() if "/" in name else name in defined


def test_every_promise_has_one():
    assert [int(number) for number, _, _ in PROMISES] == list(range(1, len(PROMISES) + 1))
    for _, promise, tests in PROMISES:
        assert "`" in tests, promise
