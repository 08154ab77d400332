"""The workflows build, try and publish what the pages say, and have no more rights than they need."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FILES = {path.stem: path for path in (ROOT / ".github/workflows").glob("*.yml")}
WHEELS = yaml.safe_load(FILES["wheels"].read_text())
BUILD, TRY, TRY_MUSL, PUBLISH = (WHEELS["jobs"][name] for name in ("build", "try", "try-musl", "publish"))
LICENCES = runpy.run_path(str(ROOT / "scripts/third-party-licences.py"))


def matrix(job: dict) -> dict:
    return job["strategy"]["matrix"]


@pytest.mark.parametrize("path", FILES.values(), ids=list(FILES))
class TestRights:
    def test_a_job_has_none_but_to_read_the_repository(self, path):
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {}
        for name, job in workflow["jobs"].items():
            expected = {"id-token": "write"} if name == "publish" else {"contents": "read"}
            assert job["permissions"] == expected
            assert job["timeout-minutes"] <= 180

    def test_a_checkout_keeps_no_token(self, path):
        steps = [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]
        checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
        assert checkouts
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)

    def test_no_text_of_others_becomes_a_command(self, path):
        steps = [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]
        assert not any("${{" in step.get("run", "") for step in steps)

    def test_an_action_is_of_one_version(self, path):
        for uses in re.findall(r"uses: (\S+)", path.read_text()):
            assert re.fullmatch(r"(actions/[\w-]+@v\d+|pypa/gh-action-pypi-publish@release/v1)", uses)


class TestWheels:
    def test_the_licences_are_those_of_the_same_systems(self):
        assert matrix(BUILD)["target"] == list(LICENCES["SYSTEMS"])

    def test_each_wheel_is_tried_on_a_machine_of_its_system(self):
        built = {row["target"]: row["os"] for row in matrix(BUILD)["include"]}
        tried = {row["target"]: row["os"] for job in (TRY, TRY_MUSL) for row in matrix(job)["include"]}
        assert tried == built
        assert set(built) == {*matrix(TRY)["target"], *matrix(TRY_MUSL)["target"]}
        for job in (TRY, TRY_MUSL):
            assert "scripts/try-wheel.py dist" in job["steps"][-1]["run"]
            assert job["needs"] == "build"

    def test_pythons(self):
        """The stable ABI is that of the oldest Python; each without the GIL is built for alone."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        oldest = project["requires-python"].removeprefix(">=")
        built = matrix(BUILD)["python"]
        assert built[0] == oldest
        assert all(version.endswith("t") for version in built[1:])
        crates = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["dependencies"]
        assert f"abi3-py{oldest.replace('.', '')}" in crates["pyo3"]["features"]
        named = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
        for job in (TRY, TRY_MUSL):
            assert matrix(job)["python"] == [named[0], named[-1], *built[1:]]

    def test_published_is_what_was_tried_and_on_a_tag_alone(self):
        assert set(PUBLISH["needs"]) == set(WHEELS["jobs"]) - {"publish"}
        assert PUBLISH["if"] == "github.event_name == 'push' && github.ref_type == 'tag'"
        assert PUBLISH["environment"] == "pypi"
        assert WHEELS[True]["push"] == {"tags": ["v*"]}  # YAML reads the key `on` as true
        assert "password" not in str(PUBLISH)


def test_the_checks_are_those_of_the_repository():
    checks = yaml.safe_load(FILES["ci"].read_text())["jobs"]
    assert ".ci/run" in [step.get("run") for step in checks["all"]["steps"]]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    used = {row["extras"] for row in matrix(checks["tests"])["include"]} | {"test-small"}
    assert used <= set(extras)
    assert {row["os"] for row in matrix(BUILD)["include"]} <= set(matrix(checks["tests"])["os"])
