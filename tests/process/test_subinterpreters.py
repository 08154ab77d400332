"""Subinterpreters are refused: the extension's objects belong to the interpreter that made them."""

import sys

import pytest

pytestmark = pytest.mark.skipif(sys.implementation.name != "cpython", reason="subinterpreters of CPython")

MODULE = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"

INSIDE = """
try:
    import mimi_codec._core
except ImportError as error:
    assert "does not work in a subinterpreter" in str(error), error
else:
    raise AssertionError("imported")
"""


@pytest.mark.parametrize("first", [True, False], ids=["after the main interpreter", "before it"])
def test_the_extension_does_not_import(run_python, first):
    """Also where a subinterpreter asks first: the main interpreter is not shut out by that."""
    script = f"""
        import {MODULE} as interpreters
        if {first}:
            import mimi_codec
        for _ in range(2):
            interpreter = interpreters.create()
            # What went wrong is raised, or from Python 3.13 on returned.
            outcome = interpreters.run_string(interpreter, {INSIDE!r})
            assert outcome is None, outcome
            interpreters.destroy(interpreter)
        import mimi_codec
        assert mimi_codec.Mimi.demo().num_codebooks == 16
    """
    run_python(script)
