"""What is a case file: decided by the configured folders, wherever the project lies."""

import os
import subprocess
import sys

import pytest

CASE = "cases:\n  - {id: %s, ask: Say hello., expect: {answer: {}}}\n"


def make_project(folder, configuration='lanes = ["server"]\n', **files):
    folder.mkdir(parents=True)
    (folder / "conftest.py").write_text('pytest_plugins = ["evals.plugin"]\n')
    (folder / "evals.toml").write_text(configuration)
    for name, path in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(CASE % name)
    return folder


def collected(folder, *arguments):
    """The ids of the items that pytest finds, from the folder of the case file on."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q"]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
    )
    lines = done.stdout.splitlines()
    return {line.partition("[")[0].rpartition("/")[2] for line in lines if "::" in line}


@pytest.mark.parametrize("above", ["tests", "cases"])
def test_words_in_the_path_of_the_project_decide_nothing(tmp_path, above):
    project = make_project(tmp_path / above / "mine", one="cases/a.yaml", two="cases/tests/b.yml")
    (project / "data").mkdir()
    (project / "data" / "settings.yaml").write_text("colour: blue\n")
    assert collected(project, "cases", "data") == {"a.yaml::one", "b.yml::two"}


def test_the_configuration_names_the_folders_of_cases(tmp_path):
    folders = 'lanes = ["server"]\ncases = ["suites/daily", "more"]\n'
    files = {"one": "suites/daily/a.yaml", "two": "more/b.yaml", "three": "cases/c.yaml"}
    project = make_project(tmp_path / "mine", folders, **files)
    assert collected(project, "suites", "suites/daily", "more", "cases") == {
        "a.yaml::one",
        "b.yaml::two",
    }


def test_folders_elsewhere_on_the_command_line_move_no_case(tmp_path):
    # pytest's own root is above both.
    project = make_project(tmp_path / "mine", one="cases/a.yaml")
    (tmp_path / "runs").mkdir()
    assert collected(project, "cases", "--run-dir", tmp_path / "runs") == {"a.yaml::one"}


SLIPS = """\
defaults: {tools: [{name: files.read}]}
cases:
  - {id: one, ask: Say hello., expect: {answer: {}}}
  - {id: two, ask: Go on., profiles: [gramar], expect: {answer: {}}}
  - {id: three, ask: Go on., expect: {answer: {}},
     known_defects: [{profiles: [default], lanes: [steam], reason: a slip}]}
"""


@pytest.mark.parametrize(
    "command", [["pytest", "cases"], ["pytest", "cases", "-n", "1"], ["evals", "run"]]
)
def test_a_run_refuses_what_validate_refuses(tmp_path, command):
    project = make_project(tmp_path / "mine", one="cases/a.yaml")
    (project / "cases" / "a.yaml").write_text(SLIPS)
    collect = [] if "-n" in command else ["--collect-only"]
    done = _run(project, *command, *collect)
    assert done.returncode not in (0, 5)
    said = done.stdout + done.stderr
    assert "cases/a.yaml:4: cases[1].profiles[0]: unknown profile 'gramar'" in said
    assert "cases/a.yaml:6: cases[2].known_defects[0].lanes[0]: unknown lane 'steam'" in said


def test_a_run_notes_what_validate_notes(tmp_path):
    project = make_project(tmp_path / "mine", one="cases/a.yaml")
    (project / "cases" / "a.yaml").write_text("\n".join(SLIPS.splitlines()[:3]))
    noted = "note: cases/a.yaml: tool 'files.read'"
    assert noted in _run(project, "evals", "validate").stdout
    assert noted in _run(project, "evals", "run", "--collect-only").stdout


def _run(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
    )
