"""The documentation site: every public name has its place in the reference. `.ci/run` builds the site itself."""

import importlib
import re
from typing import Any

import doc_code
import public_api

ENTRY = re.compile(r"^\.\. auto\w+:: ([\w.]+)$", re.M)


def value(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_every_public_name_is_in_the_reference_once():
    pages = (doc_code.ROOT / "docs" / "reference").glob("*.rst")
    listed = [value(path) for page in pages for path in ENTRY.findall(page.read_text(encoding="utf-8"))]
    assert len({id(entry) for entry in listed}) == len(listed)
    public = [entry for entry in public_api.names() if entry.owner is None]
    assert [entry.name for entry in public if not any(entry.value is other for other in listed)] == []
