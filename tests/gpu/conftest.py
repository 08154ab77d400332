"""A CUDA device: a real one where there is one, else the driver for tests, which computes on the host.

The driver for tests is loaded before anything of CUDA is looked for, and the loader then takes it for the real one.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import mimi_codec
from gpu_cases import ROOT, TestDriver
from mimi_codec._devices import cuda_devices
from mimi_codec.errors import DeviceError

BUILDING_SECONDS = 1200
"""A watchdog: building the driver for tests compiles all kernels for the host."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(BUILDING_SECONDS))


@pytest.fixture(scope="session")
def test_driver_folder(tmp_path_factory) -> Path:
    """The libraries of the driver for tests: those in `MIMI_TEST_DRIVER`, or built here."""
    if "MIMI_TEST_DRIVER" in os.environ:
        return Path(os.environ["MIMI_TEST_DRIVER"])
    script = ROOT / "scripts" / "test-driver.sh"
    for program in ("bash", "cargo", os.environ.get("CXX", "c++")):
        if shutil.which(program) is None:
            pytest.skip(f"the driver for tests needs {program} to be built")
    folder = tmp_path_factory.mktemp("driver")
    done = subprocess.run(["bash", script, folder], capture_output=True, text=True, timeout=BUILDING_SECONDS)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def gpu(request, tmp_path_factory):
    """A device that works: the driver for tests, or None where it is a real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIMI_CODEC_CACHE", str(tmp_path_factory.mktemp("cache")))
        try:
            cuda_devices()
        except DeviceError:
            yield TestDriver(request.getfixturevalue("test_driver_folder"))
        else:
            yield None


@pytest.fixture
def test_driver(gpu) -> TestDriver:
    """The driver for tests, for what a real one cannot be asked."""
    if gpu is None:
        pytest.skip("there is a real device, which does not fail at will")
    return gpu


@pytest.fixture(scope="session")
def tiny_gpu(gpu, tiny_dir) -> mimi_codec.Mimi:
    return mimi_codec.Mimi.from_pretrained(tiny_dir, device="cuda")
