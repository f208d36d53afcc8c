"""The night's own scripts, run here step by step in a fork's checkout: shards, merge, gate, pages.

What GitHub does between the steps (expressions, artifacts, caches) is played by the test; the
scripts, the shell, the servers and the reports are the real ones. Metal is not here: the step that
wants it is seen to end the job, and then told to take the CPU.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from evals.config import cache_folder

ROOT = Path(__file__).parents[1]
RIGHT = """
defaults: {tools: [todoread]}
cases:
"""
CASE = """  - id: todos-%d
    ask: Read the todos, please, for the %d. time.
    replay: {text: "<tool_call>\\n<function=todoread>\\n</function>\\n</tool_call>"}
    expect: {call: {name: todoread}}
    profiles: [default]
"""
CONFIGURATION = """
lanes = ["server"]
[targets.copying]
model = "replay"
[profiles.default]
target = "copying"
[gates.default]
case = 0.5
on = "value"
"""


def jobs():
    text = (ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["jobs"]


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    """A fork: this checkout's files, its cases replaced by a few of its own, and no more."""
    folder = tmp_path_factory.mktemp("fork")
    listed = subprocess.run(
        ["git", "ls-files", "-zco", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    keep = re.compile(r"(?!cases/(?!tools/)|tests/|docs/|evals\.toml)")
    for name in filter(None, listed.stdout.split("\0")):
        if keep.match(name) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "cases" / "mine.yaml").write_text(RIGHT + "".join(CASE % (i, i) for i in range(6)))
    project = (folder / "pyproject.toml").read_text(encoding="utf-8")
    kept = re.split(r"\n\[tool\.evals\]", project)[0]  # the pytest settings of the suite go, too
    (folder / "pyproject.toml").write_text(kept + "\n", encoding="utf-8")
    (folder / "evals.toml").write_text(CONFIGURATION)
    return folder


@pytest.fixture(scope="module")
def runner(fork, tmp_path_factory):
    """A machine with the fork's checkout, HOME, a cache, `.venv` and `make`."""
    home = tmp_path_factory.mktemp("home")
    cache = home / ".cache" / "toolcall-evals"
    (cache / "models").mkdir(parents=True)
    for place in cache_folder().iterdir():
        if place.name != "models":
            (cache / place.name).symlink_to(place)
    for place in (cache_folder() / "models").iterdir():
        (cache / "models" / place.name).symlink_to(place)
    scripts = fork / ".venv" / "bin"
    scripts.mkdir(parents=True)
    program = f'#!/bin/sh\nPYTHONPATH="{fork}" exec {sys.executable} -m evals "$@"\n'
    (scripts / "evals").write_text(program)
    (scripts / "evals").chmod(0o755)
    tools = home / "bin"
    tools.mkdir()
    # What is made is made elsewhere: that there is such a target is enough here.
    (tools / "make").write_text(f'#!/bin/sh\nexec {shutil.which("make")} -n "$@"\n')
    (tools / "make").chmod(0o755)
    return Runner(fork, home)


class Runner:
    """Runs the steps of a job, in the shell that GitHub takes, or a stricter one."""

    def __init__(self, fork, home):
        self.fork, self.home = fork, home
        self.output, self.page = home / "output", home / "summary.md"

    def run(self, script, shell=("bash", "--posix", "-e"), **variables):
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GITHUB_", "PYTEST_", "EVALS_"))
        }
        self.output.touch()
        self.page.touch()
        return subprocess.run(
            [*shell, "-c", script],
            cwd=self.fork,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **kept,
                "HOME": str(self.home),
                "PATH": f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "CI": "true",
                "GITHUB_ACTIONS": "true",
                "GITHUB_OUTPUT": str(self.output),
                "GITHUB_STEP_SUMMARY": str(self.page),
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "me/fork",
                "GITHUB_SHA": "0" * 40,
                "GITHUB_RUN_ID": "1",
                "GITHUB_RUN_NUMBER": "1",
                **variables,
            },
        )

    def steps(self, job, skip=(), **variables):
        """All scripts of a job, one after another; each must end well."""
        for step in job["steps"]:
            if "run" in step and step.get("name") not in skip:
                script = step["run"].replace("--require gpu", "--require cpu")
                done = self.run(script, **variables)
                assert done.returncode == 0, f"{script}\n{done.stdout}"

    def outputs(self):
        lines = self.output.read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)


def test_thirty_nights_are_kept_the_newest_ones(tmp_path):
    keep = next(s["run"] for s in jobs()["gate"]["steps"] if s.get("name", "").startswith("Thirty"))
    nights = [f"nightly-{99_980 + number}-1" for number in range(40)]  # the numbers grow longer
    for name in (*nights, "nightly-100019-2", "shard-1"):
        (tmp_path / "reports" / name).mkdir(parents=True)
        (tmp_path / "reports" / name / "summary.json").touch()
    subprocess.run(["sh", "-e", "-c", keep], cwd=tmp_path, check=True)
    left = {path.name for path in (tmp_path / "reports").iterdir()}
    assert left == {*nights[-29:], "nightly-100019-2", "shard-1"}
    (tmp_path / "none" / "reports").mkdir(parents=True)
    subprocess.run(["sh", "-e", "-c", keep], cwd=tmp_path / "none", check=True)


def test_a_night_in_a_fork_from_the_model_to_the_pages(runner):
    fork, night = runner.fork, jobs()
    metal = next(s["run"] for s in night["model"]["steps"] if "machine" in s.get("run", ""))
    fallen = runner.run(metal)
    assert fallen.returncode == 1
    assert "::error title=what computes::mlx computes on cpu" in fallen.stdout

    runner.steps(night["model"])
    weights = runner.outputs()["weights"]
    (served,) = (fork / "served").iterdir()
    shared = fork.parent / f"{fork.name}-model"
    (fork / "served").rename(shared)  # the artifact

    for index in night["shard"]["strategy"]["matrix"]["index"]:
        (fork / "served").mkdir()
        (fork / "served" / served.name).mkdir()
        for file in (shared / served.name).iterdir():
            os.link(file, fork / "served" / served.name / file.name)
        variables = {
            "SHARD": f"{index}/3",
            "RUN_DIR": f"reports/shard-{index}",
            "PROFILES": "all",
            "WEIGHTS": weights,
        }
        runner.steps(night["shard"], **variables)
        shutil.rmtree(fork / "served")
    check = next(s["run"] for s in night["shard"]["steps"] if "WEIGHTS" in s.get("run", ""))
    (fork / "served" / served.name).mkdir(parents=True)
    (fork / "served" / served.name / "model.safetensors").write_bytes(b"other")
    other = runner.run(check, WEIGHTS=weights)
    assert other.returncode == 1
    assert f"and {weights} were to be served" in other.stdout

    for name in ("first", "second"):  # the second night finds the first one's baseline
        gate = {"RUN_DIR": f"reports/nightly-{name}", "BASELINE": "baseline/baseline.json"}
        runner.steps(night["gate"], **gate)
        summary = json.loads((fork / gate["RUN_DIR"] / "summary.json").read_text())
        assert summary["gate"]["passed"]
        assert summary["run"]["whole"]
        assert summary["fingerprint"]["machine"]["device"] == "cpu"
    assert "no significant regression" in runner.page.read_text(encoding="utf-8")
    site = fork / "site"
    assert (site / "report.html").is_file()
    single = fork / "reports" / "nightly-second" / "allure-report" / "index.html"
    # Pages load a test when it is opened: the page itself is small.
    assert (site / "index.html").stat().st_size < single.stat().st_size / 10
    assert len(list((site / "data" / "test-results").glob("*.json"))) == 6
    assert "googletagmanager" not in (site / "index.html").read_text(encoding="utf-8")
