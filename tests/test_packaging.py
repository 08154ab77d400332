"""What goes into the wheel and the source archive: licences, and all that the README speaks of."""

import re
import shutil
import subprocess
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

import mimi_codec

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EMBEDDED = "CC-BY-SA-3.0"  # of the model inside the package

# What maturin takes by itself: the package, the crates, what pyproject.toml names.
TAKEN = ("python/", "rust/", "Cargo.lock", "Cargo.toml", "pyproject.toml", "README.md", "LICENSE-")
# And what it leaves out: a crate that the package does not depend on.
LEFT_OUT = "rust/capi/"


def in_the_archive(path: str) -> bool:
    included = [entry["path"] for entry in PROJECT["tool"]["maturin"]["include"] if entry["format"] == "sdist"]
    folders = tuple(pattern.removesuffix("**/*") for pattern in included if pattern.endswith("/**/*"))
    return not path.startswith(LEFT_OUT) and (path.startswith((*TAKEN, *folders)) or path in included)


class TestLicences:
    def test_the_embedded_models_licence_is_named_and_there(self):
        assert EMBEDDED in PROJECT["project"]["license"]
        assert f"LICENSE-{EMBEDDED}" in PROJECT["project"]["license-files"]
        for name in PROJECT["project"]["license-files"]:
            assert (ROOT / name).stat().st_size > 1000
        assert "ShareAlike 3.0" in (ROOT / f"LICENSE-{EMBEDDED}").read_text()
        readme = ROOT / "python/mimi_codec/demo/README.md"
        assert f"LICENSE-{EMBEDDED}" in readme.read_text()

    def test_an_installed_package_has_them(self):
        try:
            installed = metadata.distribution("mimi-codec")
        except metadata.PackageNotFoundError:
            pytest.skip("mimi-codec is not installed: the tests run on a checkout")
        if Path(str(installed.locate_file("mimi_codec/__init__.py"))) != Path(mimi_codec.__file__):
            pytest.skip("the tests run on a checkout, beside an installed package")
        assert installed.metadata["License-Expression"] == PROJECT["project"]["license"]
        held = {Path(file).name for file in installed.files or () if "licenses" in Path(file).parts}
        assert held >= set(PROJECT["project"]["license-files"])


class TestPage:
    """The page of `mimi serve` is data inside the package, so the wheel and the archive have it like the code."""

    def test_its_files_lie_in_the_package(self):
        from mimi_codec.serve.answers import PAGE, TYPES

        held = {path.name for path in resources.files("mimi_codec.serve").joinpath("page").iterdir()}
        assert held == set(PAGE.values())
        assert {name.rpartition(".")[2] for name in held} <= set(TYPES)

    def test_nothing_keeps_them_out(self):
        assert PROJECT["tool"]["maturin"]["exclude"] == ["**/__pycache__/**"]
        assert in_the_archive("python/mimi_codec/serve/page/index.html")
        if shutil.which("git") is not None and (ROOT / ".git").exists():
            page = ROOT / "python/mimi_codec/serve/page"
            ignored = subprocess.run(["git", "check-ignore", *page.iterdir()], cwd=ROOT, capture_output=True, text=True)
            assert ignored.stdout == ""  # maturin leaves out what git ignores


class TestSourceArchive:
    def test_what_the_readme_links_to_is_in_it(self):
        links = set(re.findall(r"\]\(([\w./-]+)\)", (ROOT / "README.md").read_text()))
        assert "docs/tokens.md" in links
        for link in links:
            assert (ROOT / link).is_file()
            assert in_the_archive(link), link

    def test_every_file_of_the_checkout_is_in_it(self):
        if shutil.which("git") is None or not (ROOT / ".git").exists():
            # This is an unpacked archive: it has what its tests need.
            assert all((ROOT / name).exists() for name in ("tests/conftest.py", "docs/tokens.md", "CHANGELOG.md"))
            return
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        missing = [path for path in listed.split() if not in_the_archive(path)]
        assert [path for path in missing if not path.startswith(LEFT_OUT)] == [".gitignore"]
