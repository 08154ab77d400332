"""What goes into the wheel and the source archive: licences, and all that the pages speak of; how both are tried."""

import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib import metadata, resources
from pathlib import Path

import pytest

import mimi_codec

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EMBEDDED = "CC-BY-SA-3.0"  # of the model inside the package


class TestLicences:
    def test_the_embedded_models_licence_is_named_and_there(self):
        assert EMBEDDED in PROJECT["project"]["license"]
        assert f"LICENSE-{EMBEDDED}" in PROJECT["project"]["license-files"]
        for name in PROJECT["project"]["license-files"]:
            assert (ROOT / name).stat().st_size > 1000
        assert "THIRD-PARTY-LICENSES" in PROJECT["project"]["license-files"]
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
        if shutil.which("git") is not None and (ROOT / ".git").exists():
            page = ROOT / "python/mimi_codec/serve/page"
            ignored = subprocess.run(["git", "check-ignore", *page.iterdir()], cwd=ROOT, capture_output=True, text=True)
            assert ignored.stdout == ""  # maturin leaves out what git ignores


class TestSourceArchive:
    def test_what_the_pages_link_to_is_there(self):
        for page in ("README.md", "CONTRIBUTING.md"):
            links = set(re.findall(r"\]\(([\w./-]+)\)", (ROOT / page).read_text(encoding="utf-8")))
            assert "docs/reliability.md" in links
            assert [link for link in links if not (ROOT / link).is_file()] == []

    def test_it_is_a_checkout(self, tmp_path):
        """With all members of the workspace: without one, cargo would have to write Cargo.lock again."""
        assert PROJECT["tool"]["maturin"]["sdist-generator"] == "git"
        assert PROJECT["tool"]["maturin"]["locked"] is True
        if not (ROOT / ".git").exists():
            pytest.skip("this is an unpacked archive")
        if None in (shutil.which("git"), shutil.which("maturin")):
            pytest.skip("there is no git or no maturin")
        subprocess.run(["maturin", "sdist", "--out", tmp_path], cwd=ROOT, check=True, capture_output=True)
        (archive,) = tmp_path.glob("*.tar.gz")
        with tarfile.open(archive) as held:
            names = {Path(member.name).relative_to(member.name.partition("/")[0]) for member in held if member.isfile()}
            manifest = held.extractfile(f"{archive.name.removesuffix('.tar.gz')}/Cargo.toml").read()
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        assert names == {*map(Path, listed.splitlines()), Path("PKG-INFO")}
        assert manifest == (ROOT / "Cargo.toml").read_bytes()


class TestTrial:
    """scripts/try-wheel.py, but for the installation."""

    TRY = runpy.run_path(str(ROOT / "scripts/try-wheel.py"))

    @staticmethod
    def wheel(folder: Path, tags: str, names=(), size=0) -> Path:
        path = folder / f"mimi_codec-0.1.0-{tags}-win_arm64.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(f"mimi_codec-0.1.0.dist-info/licenses/{name}", "")
            archive.writestr("mimi_codec/_core.pyd", bytes(size))
        return path

    @pytest.mark.parametrize("free_threaded", [False, True])
    def test_the_wheel_of_a_python(self, tmp_path, monkeypatch, free_threaded):
        monkeypatch.setattr(sysconfig, "get_config_var", lambda name: int(name == "Py_GIL_DISABLED" and free_threaded))
        monkeypatch.setattr(sys, "version_info", (3, 14, 0))
        wheels = [self.wheel(tmp_path, tags) for tags in ("cp311-abi3", "cp314-cp314t", "cp315-cp315t")]
        assert self.TRY["for_this_python"](tmp_path) == wheels[free_threaded]
        wheels[free_threaded].unlink()
        with pytest.raises(SystemExit, match=r"expected one wheel with -(abi3|cp314-cp314t)-"):
            self.TRY["for_this_python"](tmp_path)

    def test_size_and_licences(self, tmp_path):
        licences = PROJECT["project"]["license-files"]
        assert self.TRY["LICENCES"] == set(licences)
        self.TRY["check"](self.wheel(tmp_path, "good", licences, 6_000_000))
        with pytest.raises(SystemExit, match="it is too large"):
            self.TRY["check"](self.wheel(tmp_path, "large", licences, 8_000_000))
        with pytest.raises(SystemExit, match=f"it lacks {{'{licences[-1]}'}}"):
            self.TRY["check"](self.wheel(tmp_path, "bare", licences[:-1]))
