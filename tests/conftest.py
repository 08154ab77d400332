"""Fixtures: the demo model, a tiny random one, a full-size random one, speech.

PyTorch and Transformers are imported only by the fixtures that write models.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

import mimi_codec
import signals

# A shell that runs the tests in the background has programs ignore Ctrl-C, and they hand that on to their children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may depend on a network

# Property tests run models: their time says nothing about a failure, and the suite must give the same result twice.
settings.register_profile("codec", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("codec")

# There are systems and Pythons for which these have no wheels. Tests that import one of them are then skipped.
OPTIONAL = (
    "argcomplete",
    "av",
    "datasets",
    "lhotse",
    "matplotlib",
    "playwright",
    "polars",
    "pyarrow",
    "pystoi",
    "soundfile",
    "soxr",
    "torch",
    "tqdm",
    "transformers",
    "webdataset",
)
ABSENT = [name for name in OPTIONAL if find_spec(name) is None]
collect_ignore = ["family", "pocket"] if "torch" in ABSENT else []  # all of them, with their fixtures
PACKAGE = Path(mimi_codec.__file__).parent


def skip(report: pytest.CollectReport | pytest.TestReport, place: str, name: str) -> None:
    report.outcome, report.longrepr = "skipped", (place, 0, f"Skipped: {name} is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    found = re.search(r"No module named '(\w+)", str(report.longrepr)) if report.failed else None
    if found and found[1] in ABSENT:
        skip(report, collector.nodeid, found[1])
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    error = call.excinfo and call.excinfo.value
    name = str(error.name).partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    # The package itself must do without them.
    if name in ABSENT and not any(PACKAGE in Path(entry.path).parents for entry in call.excinfo.traceback):
        skip(report, item.nodeid, name)
    return report


@dataclass(frozen=True)
class Pair:
    """One set of weights, in Transformers and here."""

    directory: Path
    theirs: Any  # transformers.MimiModel
    ours: mimi_codec.Mimi


@pytest.fixture(scope="session")
def demo() -> mimi_codec.Mimi:
    return mimi_codec.Mimi.demo()


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    return signals.speech()


@pytest.fixture(scope="session")
def tiny_pair(tmp_path_factory) -> Pair:
    import synthetic

    model = synthetic.build(synthetic.tiny_config())
    directory = synthetic.write(model, tmp_path_factory.mktemp("tiny"))
    return Pair(directory, model, mimi_codec.Mimi.from_pretrained(directory))


@pytest.fixture(scope="session")
def tiny(tiny_pair) -> mimi_codec.Mimi:
    return tiny_pair.ours


@pytest.fixture(scope="session")
def tiny_dir(tiny_pair) -> Path:
    return tiny_pair.directory


@pytest.fixture
def copy(tiny_dir, tmp_path) -> Path:
    """A copy of the tiny model to spoil."""
    return shutil.copytree(tiny_dir, tmp_path / "model")


@pytest.fixture(scope="session")
def full_pair(tmp_path_factory):
    """The released configuration in the layout of `kyutai/mimi`; the directory goes when the session ends."""
    from transformers import MimiConfig

    import synthetic

    model = synthetic.build(MimiConfig())
    directory = synthetic.write(model, tmp_path_factory.mktemp("full"))
    yield Pair(directory, model, mimi_codec.Mimi.from_pretrained(directory, threads=2))
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def full_kyutai(full_pair, tmp_path_factory):
    """The same weights as one file in Kyutai's layout, without a configuration."""
    from safetensors.torch import save_file

    import synthetic

    path = tmp_path_factory.mktemp("full-kyutai") / "tokenizer.safetensors"
    save_file(synthetic.kyutai_state(full_pair.theirs), path)
    yield path
    path.unlink()


@pytest.fixture
def run_python(tmp_path):
    """Run a script in a fresh interpreter and return its output.

    `without` names packages that are to look as if not installed. The timeout is a watchdog, not a measurement.
    """

    def run(script: str, *arguments, without: Sequence[str] = (), timeout: float = 120, **environment) -> str:
        hide = f"import sys; sys.modules.update(dict.fromkeys({list(without)}))\n"
        done = subprocess.run(
            [sys.executable, "-c", hide + textwrap.dedent(script), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=tmp_path,
            env=os.environ | environment,
        )
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run
