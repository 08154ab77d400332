"""Tries a wheel, or the source archive, with the Python that runs this, in a fresh environment without the repository.

    python scripts/try-wheel.py dist                      # the wheel in the folder that is made for this Python
    python scripts/try-wheel.py dist/mimi_codec-0.1.0.tar.gz

It checks the size and the licences, installs the file with what it depends on, and runs `mimi demo`.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

# 10^6 bytes. 4.1 of them are the embedded model and its speech. What exceeds this is most often a file that was taken
# along by mistake, or symbols that were not stripped.
LARGEST_WHEEL = 7.0
LARGEST_ARCHIVE = 5.5

LICENCES = {"LICENSE-MIT", "LICENSE-APACHE", "LICENSE-CC-BY-SA-3.0", "THIRD-PARTY-LICENSES"}


def for_this_python(folder: Path) -> Path:
    """The one wheel of the folder that this Python takes: that of the stable ABI, or its own where it has no GIL."""
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    tag = "-cp{0}{1}-cp{0}{1}t-".format(*sys.version_info) if free_threaded else "-abi3-"
    found = [path for path in folder.glob("*.whl") if tag in path.name]
    if len(found) != 1:
        raise SystemExit(f"expected one wheel with {tag} in {folder}, found {[path.name for path in found]}")
    return found[0].resolve()


def check(file: Path) -> None:
    """Size and licences."""
    archive = file.name.endswith(".tar.gz")
    largest = LARGEST_ARCHIVE if archive else LARGEST_WHEEL
    size = file.stat().st_size / 1e6
    print(f"{file.name}: {size:.2f} MB, at most {largest}")
    if size > largest:
        raise SystemExit("it is too large")
    if archive:
        with tarfile.open(file) as held:
            names = held.getnames()
    else:
        names = zipfile.ZipFile(file).namelist()
    missing = LICENCES - {Path(name).name for name in names}
    if missing:
        raise SystemExit(f"it lacks {missing}")


def install_and_run(file: Path, folder: Path) -> None:
    """Installs the file in an environment in the folder, and runs the demonstration there."""
    venv.create(folder / "fresh", with_pip=True)
    programs = folder / "fresh" / ("Scripts" if os.name == "nt" else "bin")
    for command in (
        [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", file],
        [programs / "mimi", "demo", "--output", folder / "demo"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    codes = hashlib.sha256((folder / "demo/codes.safetensors").read_bytes()).hexdigest()
    print(f"Python {sys.version.split()[0]}, {sysconfig.get_platform()}: codes {codes[:16]}")


def main() -> int:
    """Tries the file, or the one of the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a wheel, a source archive, or a folder with wheels")
    path = parser.parse_args().path.resolve()
    file = for_this_python(path) if path.is_dir() else path
    check(file)
    # Windows may still hold a library that was loaded.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        install_and_run(file, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
