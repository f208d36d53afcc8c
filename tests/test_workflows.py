"""The workflows: what actionlint does not know of this project."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
OFFICIAL = r"actions/[a-z/-]+@v\d+|pypa/gh-action-pypi-publish@release/v1"


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_all_are_there():
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "nightly.yml", "release.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_only_official_actions_least_rights_and_an_end(path):
    workflow = read(path)
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert [name for name in used if not re.fullmatch(OFFICIAL, name)] == []
    assert workflow["permissions"] == {"contents": "read"}
    rights = {name: job.get("permissions") for name, job in workflow["jobs"].items()}
    rights.pop("publish", None)
    assert set(rights.values()) == {None}
    assert all(job["timeout-minutes"] <= 90 for job in workflow["jobs"].values())
    assert workflow["concurrency"]["group"]
    assert "secrets." not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_expression_is_pasted_into_a_script(path):
    assert [step["run"] for step in steps(read(path)) if "${{" in step.get("run", "")] == []


def test_ci_runs_what_the_script_for_ci_runs():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in script if line.startswith("make ")]
    run = [step["run"] for step in steps(read(WORKFLOWS[0])) if "run" in step]
    made = [re.sub(r" ARGS='--run-dir [a-z/]+'$", "", line) for line in run if "make " in line]
    assert wanted
    assert made == wanted


def test_shards_are_as_many_as_the_matrix_says_and_merged_by_the_gate():
    jobs = read(WORKFLOWS[1])["jobs"]
    indices = jobs["shard"]["strategy"]["matrix"]["index"]
    assert indices == list(range(1, len(indices) + 1))
    assert jobs["shard"]["env"]["SHARD"] == "${{ matrix.index }}/${{ strategy.job-total }}"
    assert jobs["gate"]["needs"] == "shard"
    assert any(
        "evals merge reports/shard-*" in step.get("run", "") for step in jobs["gate"]["steps"]
    )
