"""Help, examples and completion say what the commands take."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command import mimi

import mimi_codec
from mimi_codec.cli import EXAMPLES, _parser, bench, decode, demo, encode, info, pack, serve, tokenize, tokens

WATCHDOG = 120
COMMANDS = {
    "encode": encode,
    "decode": decode,
    "info": info,
    "tokens": tokens,
    "tokenize": tokenize,
    "serve": serve,
    "pack": pack,
    "demo": demo,
    "bench": bench,
}


def example_lines() -> list[str]:
    """Every example of every --help, without what comes after it."""
    lines = [line for command in COMMANDS.values() for line in command.EXAMPLES.splitlines()]
    words = [re.sub(r"\s{3,}.*", "", line.strip()) for line in lines]
    return [line for line in words if "mimi " in line]


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_in_the_help(command):
    text = mimi(command, "--help").stdout.decode()
    assert f"examples:\n  mimi {command}" in text
    assert all(len(line) <= 100 for line in text.partition("examples:")[0].splitlines())


def test_mimi_alone_has_examples_too():
    text = mimi("--help").stdout.decode()
    for line in EXAMPLES.splitlines():
        assert line in text
        assert line.split()[1] in COMMANDS


@pytest.mark.parametrize("line", example_lines())
def test_examples_are_understood(line):
    command = next(part for part in line.split("|") if part.strip().startswith("mimi "))
    words = shlex.split(command)[1:]
    args = _parser().parse_args(words)
    assert args.run is COMMANDS[words[0]].run


def test_every_command_that_loads_a_model_takes_dtype():
    for command in COMMANDS:
        assert "--dtype" in mimi(command, "--help").stdout.decode()


def test_the_page_names_every_option():
    page = (Path(__file__).parents[2] / "docs/cli.md").read_text()
    for command in COMMANDS:
        options = set(re.findall(r"--[a-z]+", mimi(command, "--help").stdout.decode().partition("examples:")[0]))
        missing = {option for option in options - {"--help"} if option not in page}
        assert not missing, f"docs/cli.md does not name {missing} of {command}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [("mimi en", "encode"), ("mimi encode --ch", "--channels"), ("mimi decode --format fl", "flac")],
)
def test_completion(line, expected, tmp_path):
    """As a shell asks: the line in the environment, the answers in descriptor 8."""
    pytest.importorskip("argcomplete")
    words = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    words |= {"_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "answers"), "_ARGCOMPLETE_IFS": "\n"}
    command = [sys.executable, "-m", "mimi_codec"]
    subprocess.run(command, env=os.environ | words, timeout=WATCHDOG, check=True, capture_output=True)
    assert expected in (tmp_path / "answers").read_text()


def test_version():
    assert mimi("--version").stdout.decode().strip() == f"mimi-codec {mimi_codec.__version__}"


def test_script_is_the_module():
    """The installed `mimi` and `python -m mimi_codec` are one."""
    script = Path(sys.executable).with_name("mimi")
    if not script.exists():
        pytest.skip("installed without scripts")
    done = subprocess.run([script, "--version"], capture_output=True, timeout=WATCHDOG, check=True)
    assert done.stdout == mimi("--version").stdout
