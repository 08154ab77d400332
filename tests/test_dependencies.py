"""What the project depends on: licences and sources as deny.toml allows them, and each with a reason on the page."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DENY = tomllib.loads((ROOT / "deny.toml").read_text())
LICENCES = set(DENY["licenses"]["allow"])
EXCEPTIONS = {entry["crate"]: set(entry["allow"]) for entry in DENY["licenses"]["exceptions"]}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MANIFESTS = sorted(ROOT.glob("rust/**/Cargo.toml"))
PAGE = (ROOT / "docs/dependencies.md").read_text()


def is_allowed(expression: str, licences: set[str]) -> bool:
    """Whether an SPDX expression, or one with the slashes of older crates, is met by some of these licences."""
    words = re.findall(r"[()]|[\w.+-]+(?: WITH [\w.-]+)?", expression.replace("/", " OR "))
    python = {"(": "(", ")": ")", "AND": "and", "OR": "or"}
    return eval(" ".join(python.get(word) or str(word in licences) for word in words))


def forbidden(crates: list[dict], licences: set[str]) -> list[str]:
    """Names and licences of those that are not allowed."""
    return [
        f"{crate['name']}: {crate['license']}"
        for crate in crates
        if not is_allowed(crate["license"] or "none", licences | EXCEPTIONS.get(crate["name"], set()))
    ]


@pytest.fixture(scope="module")
def crates() -> list[dict]:
    """All crates of Cargo.lock, those of optional features and of other systems too."""
    if shutil.which("cargo") is None:
        pytest.skip("there is no cargo")
    command = ["cargo", "metadata", "--offline", "--locked", "--all-features", "--format-version=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"not all crates are here (cargo fetch --locked brings them): {done.stderr}")
    return json.loads(done.stdout)["packages"]


class TestLicences:
    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("MIT", True),
            ("GPL-3.0", False),
            ("GPL-3.0 OR MIT", True),
            ("MIT/Apache-2.0", True),
            ("MIT AND GPL-3.0", False),
            ("(MIT OR GPL-3.0) AND Zlib", True),
            ("GPL-3.0 OR (MIT AND GPL-2.0)", False),
            ("Apache-2.0 WITH LLVM-exception", False),
        ],
    )
    def test_an_expression(self, expression, expected):
        assert is_allowed(expression, {"MIT", "Apache-2.0", "Zlib"}) is expected

    def test_every_crate_has_one_that_is_allowed(self, crates):
        assert len(crates) > 100
        assert forbidden(crates, LICENCES) == []

    @pytest.mark.parametrize("licence", sorted(LICENCES))
    def test_none_is_allowed_that_no_crate_needs(self, crates, licence):
        assert forbidden(crates, LICENCES - {licence})

    def test_each_exception_is_needed(self, crates):
        licences = {crate["name"]: crate["license"] for crate in crates}
        assert not any(is_allowed(licences[name], LICENCES) for name in EXCEPTIONS)


class TestTexts:
    """THIRD-PARTY-LICENSES has the licences of the crates that are linked into a wheel."""

    ROWS = re.findall(r"^(\S+) (\d\S+): \S", (ROOT / "THIRD-PARTY-LICENSES").read_text("utf-8"), re.M)

    def test_they_are_those_of_the_crates(self, crates):
        script = ROOT / "scripts/third-party-licences.py"
        done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def test_its_crates_are_those_of_the_lock(self):
        locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
        others = {(package["name"], package["version"]) for package in locked if "source" in package}
        assert set(self.ROWS) <= others
        # Those that the binding and the codec name, those of one system, and none that only tests or the build need.
        held = {name for name, _ in self.ROWS}
        assert held >= {"pyo3", "numpy", "candle-core", "cudarc", "safetensors", "libc", "windows-sys"}
        assert held.isdisjoint({"criterion", "cbindgen", "pyo3-macros", "pyo3-build-config", "mimi-codec"})


def test_every_crate_comes_from_an_allowed_registry():
    packages = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    others = {package["name"]: package["source"] for package in packages if "source" in package}
    assert len(others) > 100
    assert {source.removeprefix("registry+") for source in others.values()} == set(DENY["sources"]["allow-registry"])
    assert {package["name"] for package in packages} - set(others) >= {"mimi-kernels", "mimi-cuda", "mimi-codec"}


class TestPage:
    """docs/dependencies.md has a table for each crate and one for Python, which say what the manifests say."""

    @staticmethod
    def rows(heading: str) -> list[tuple[str, str, str]]:
        """Name, use and reason of each row of the table below a heading."""
        section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        found = re.findall(r"^\| `(.+?)` \| (.+?) \| (\S.+) \|$", section, re.M)
        assert found, f"there is no table below {heading}"
        return found

    @pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: str(path.parent.relative_to(ROOT)))
    def test_crates(self, manifest):
        crate = tomllib.loads(manifest.read_text())
        tables = [crate, *crate.get("target", {}).values()]
        always = [name for table in tables for name in table.get("dependencies", {})]
        for_tests = [name for table in tables for name in table.get("dev-dependencies", {})]
        rows = self.rows(f"`{crate['package']['name']}`")
        assert sorted(name for name, _, _ in rows) == sorted(always + for_tests)
        assert sorted(name for name, use, _ in rows if use == "tests") == sorted(for_tests)

    def test_python(self):
        wanted = {
            "build": PROJECT["build-system"]["requires"],
            "always": PROJECT["project"]["dependencies"],
            **PROJECT["project"]["optional-dependencies"],
        }
        expected = {
            (re.match(r"[\w.-]+(\[\w+\])?", requirement)[0], extra)
            for extra, requirements in wanted.items()
            for requirement in requirements
            if not requirement.startswith("mimi-codec[")
        }
        rows = self.rows("Python")
        assert {(name, extra.strip("`")) for name, extras, _ in rows for extra in extras.split(", ")} == expected


def test_hooks_before_a_commit_are_checks_of_all():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["entry"] for hook in local["hooks"]}
    assert hooks == {"ruff check", "ruff format --check", "cargo fmt --check"}
    assert hooks <= set((ROOT / ".ci/run").read_text().splitlines())
