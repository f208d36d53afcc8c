"""The workflows: what actionlint does not know of this project."""

import re
import shutil
import subprocess
import unicodedata
from collections import Counter
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
    assert [path.name for path in WORKFLOWS] == [
        "ci.yml",
        "nightly.yml",
        "release.yml",
        "versions.yml",
    ]


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
    lines = [re.sub(r"^\w+=\S+ ", "", line) for line in script]
    wanted = [line for line in lines if line.startswith("make ")]
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


# --- shells and systems --------------------------------------------------------------------------

SCRIPTS = [
    pytest.param(step["run"], id=f"{path.stem}-{name}-{place}")
    for path in WORKFLOWS
    for name, job in read(path)["jobs"].items()
    for place, step in enumerate(job["steps"])
    if "run" in step
]
POSIX = {"make", "echo", "cat", "tail", "mkdir", "cp", "mv", "rm", "basename", "test", "["}
"""Programs of the steps on macOS: with these options BSD's and GNU's do the same."""
SHELL_WORDS = {"if", "then", "fi", "for", "do", "done", "set"}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("shell", ["dash", "bash --posix"])
def test_every_script_can_be_read_by_any_shell(script, shell):
    program = shutil.which(shell.split()[0]) or shutil.which("sh")
    assert program is not None
    done = subprocess.run(
        [program, *shell.split()[1:], "-n"], input=script, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_steps_on_macos_use_programs_that_bsd_has_alike():
    jobs = read(WORKFLOWS[1])["jobs"].values()
    scripts = [
        step["run"]
        for job in jobs
        if job["runs-on"].startswith("macos")
        for step in job["steps"]
        if "run" in step
    ]
    assert len(scripts) > 5
    programs = {word for script in scripts for word in commands(script)}
    assert {word for word in programs if not word.startswith(".venv/")} <= POSIX


def commands(script):
    """The first word of each simple command of a script, as far as these workflows go."""
    text = re.sub(r"\$\(([^()]*)\)", lambda inner: f"; {inner[1]} ;", script.replace('"', " "))
    text = re.sub(r"\w+=\s*\$HOME\S*", "", text)
    for part in re.split(r"[\n;]|\|\||&&|\|", text):
        words = [word for word in part.split() if not re.match(r"\w+=", word)]
        while words and words[0] in SHELL_WORDS - {"for", "set"}:
            words.pop(0)
        if words and words[0] not in SHELL_WORDS and not words[0].startswith("#"):
            yield words[0]


def test_no_two_files_have_one_name_where_case_does_not_count():
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = [name for name in done.stdout.split("\0") if name]
    folded = Counter(unicodedata.normalize("NFD", name).casefold() for name in names)
    assert len(names) > 300
    assert [name for name, count in folded.items() if count > 1] == []


def test_the_night_waits_for_one_model_that_all_shards_must_serve():
    jobs = read(WORKFLOWS[1])["jobs"]
    assert jobs["shard"]["needs"] == "model"
    assert jobs["shard"]["env"]["WEIGHTS"] == "${{ needs.model.outputs.weights }}"
    mac = [job for job in jobs.values() if job["runs-on"].startswith("macos")]
    for job in mac:
        runs = [step.get("run", "") for step in job["steps"]]
        asks = next((i for i, run in enumerate(runs) if "evals run" in run), len(runs))
        assert any("evals machine --require gpu" in run for run in runs[:asks])
    assert "make test-boot" in " ".join(step.get("run", "") for step in jobs["model"]["steps"])
