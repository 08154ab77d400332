"""Sphinx: the pages of the repository and the docstrings as a site.

The source is the repository itself, so that a link to a file means the same here as where the file is read.

    pip install '.[test,docs]' && python -m sphinx -W -c docs . site
"""

from pygments.lexers import RustLexer
from sphinx.application import Sphinx

import mimi_codec

project = "mimi-codec"
author = "the mimi-codec developers"
release = version = mimi_codec.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
include_patterns = ["*.md", "docs/**", "rust/codec/README.md", "python/mimi_codec/demo/README.md"]
exclude_patterns = [".*", "target", "site", "**/__pycache__"]
root_doc = "README"
html_theme = "furo"
html_title = f"mimi-codec {release}"
html_static_path = ["start"]
html_css_files = ["wide.css"]
html_extra_path = ["start/index.html"]  # which leads to README.html
html_copy_source = False
copybutton_exclude = ".linenos, .gp, .go"

myst_heading_anchors = 3

default_role = "code"  # docstrings mark names as Markdown does
# What a class has of PyTorch, of Transformers, of tuples and of Python's errors is described there.
inherited = "Module,Cache,tuple,BaseException,OSError"
autodoc_default_options = {"members": True, "inherited-members": inherited, "member-order": "bysource"}
autodoc_default_options |= {"show-inheritance": True}
napoleon_use_ivar = True
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_display_short_literal_types = True
python_maximum_signature_line_length = 100

# Pages of docs/, or others by their whole path.
CHAPTERS = {
    "Guide": "cli audio precision packed concurrency sessions session_recipes serve tokens corpora ray devices c_api "
    "/rust/codec/README",
    "Models and drop-ins": "hosts transformers moshi rustymimi qwen qwen_tts pocket_tts vibevoice",
    "Reference": "reference/codecs reference/streams reference/sessions reference/audio reference/errors "
    "reference/token_files reference/tokens reference/corpora reference/dropins reference/serve reference/synthetic",
    "Quality": "reliability performance /python/mimi_codec/demo/README /CHANGELOG",
    "Development": "/CONTRIBUTING architecture adding_a_codec adding_a_backend dependencies releasing /SECURITY",
}
TITLES = {"/rust/codec/README": "Rust </rust/codec/README>"}


def with_contents(_app: Sphinx, page: str, source: list[str]) -> None:
    """Put the table of contents at the end of README, where other readers of the file do not see it."""
    if page == root_doc:
        for chapter, names in CHAPTERS.items():
            pages = [TITLES.get(name, name if name.startswith("/") else f"/docs/{name}") for name in names.split()]
            source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {chapter}", "", *pages, "```", ""])


def setup(app: Sphinx) -> None:
    """Connect the function above; the crate's README has examples that are compiled and not run."""
    app.connect("source-read", with_contents)
    app.add_lexer("rust,no_run", RustLexer)
