"""Docstrings: each says what goes in, what comes out and what can fail, and its example runs."""

import builtins
import doctest
import re

import pytest

import mimi_codec
import public_api
from mimi_codec import errors
from public_api import Public

PUBLIC = list(public_api.names())
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Examples?):$", re.M)
ENTRY = re.compile(r"^    \*{0,2}(\w+(?:, \w+)*)(?: \(.*?\))?: \S", re.M)

every = pytest.mark.parametrize("public", PUBLIC, ids=lambda public: public.name.removeprefix("mimi_codec."))


def sections(docstring: str) -> dict[str, str]:
    parts = SECTION.split(docstring)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(section: str) -> set[str]:
    return {name for names in ENTRY.findall(section) for name in names.split(", ")}


def test_there_are_names():
    assert len(PUBLIC) > 50


@every
def test_sections(public: Public):
    found = sections(public.docstring)
    assert found[""].strip(), "no first line"
    described = entries(found.get("Args", ""))
    assert described == set(public.parameters()), "Args does not list the parameters"
    if public.is_record:
        listed = entries(found.get("Attributes", ""))
        assert not public_api.fields_without_words(public.value) - listed
    assert ("Returns" in found or "Yields" in found) == public.gives_something()
    if public.raises():
        assert "Raises" in found
    for name in entries(found.get("Raises", "")):
        assert issubclass(getattr(errors, name, None) or getattr(builtins, name), Exception)
    assert "Raises `" not in found[""], "an error outside of the section Raises"
    if public.owner is None:
        assert ">>>" in found.get("Example", ""), "no example"


@pytest.mark.parametrize(
    "public", [p for p in PUBLIC if ">>>" in p.docstring], ids=lambda p: p.name.removeprefix("mimi_codec.")
)
def test_example_runs(public: Public, demo, monkeypatch, tmp_path):
    """Each by itself, as a reader would paste it, in an empty directory; one demo model serves all."""
    load = mimi_codec.Mimi.demo
    monkeypatch.setattr(mimi_codec.Mimi, "demo", lambda **options: load(**options) if options else demo)
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(public.docstring, {"__name__": "example"}, public.name, None, 0)
    report: list[str] = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.DocTestRunner(optionflags=flags, verbose=False).run(test, out=report.append)
    assert result.attempted
    assert not result.failed, "".join(report)
