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
    lines = run_in(folder, "-q", *arguments).splitlines()
    return {line.partition("[")[0].rpartition("/")[2] for line in lines if "::" in line}


def run_in(folder, *arguments):
    """What pytest prints that only collects, in a folder."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only"]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
    )
    return done.stdout + done.stderr


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


def test_a_category_may_have_a_name_that_pytest_passes_over(tmp_path):
    files = {"one": "cases/build/a.yaml", "two": "cases/dist/b.YAML", "no": "cases/.git/c.yaml"}
    project = make_project(tmp_path / "mine", **files)
    assert collected(project, "cases") == {"a.yaml::one", "b.YAML::two"}


def test_a_project_in_which_every_warning_is_an_error_is_asked_as_any_other(tmp_path):
    project = make_project(tmp_path / "strict", a="cases/a.yaml", b="cases/build/b.yaml")
    (project / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    assert collected(project) == {"a.yaml::a", "b.yaml::b"}


def test_case_files_that_settings_hide_are_named(tmp_path):
    project = make_project(tmp_path / "mine", one="cases/a.yaml", two="cases/slow/b.yaml")
    (project / "pytest.ini").write_text("[pytest]\nnorecursedirs = slow\n")
    output = run_in(project, "cases")
    assert "note: 1 case file(s) not asked: cases/slow/b.yaml; pytest passes them over" in output


def test_a_link_in_a_case_folder_is_a_case_file(tmp_path):
    project = make_project(tmp_path / "mine", one="shared/a.yaml", two="cases/b.yaml")
    (project / "cases" / "a.yaml").symlink_to("../shared/a.yaml")
    assert collected(project, "cases") == {"a.yaml::one", "b.yaml::two"}


def test_the_nearest_of_nested_projects_is_asked_and_several_are_refused(tmp_path):
    whole = make_project(tmp_path / "mono", one="cases/a.yaml")
    for name in ("x", "y"):
        make_project(whole / "packages" / name, **{name: "cases/b.yaml"})
    assert collected(whole) == {"a.yaml::one"}
    assert collected(whole, "packages/x") == {"b.yaml::x"}
    both = run_in(whole, "packages/x", "packages/y")
    assert both.count("several projects have cases here") == 1


def test_a_folder_that_the_configuration_names_and_that_is_not_there_is_told(tmp_path):
    project = make_project(tmp_path / "mine", 'cases = ["case"]\n', one="cases/a.yaml")
    said = f"{project / 'case'} is not a folder; the configuration in {project} names it"
    assert said in run_in(project)


def test_testpaths_that_leave_the_cases_out_are_told(tmp_path):
    project = make_project(tmp_path / "mine", one="cases/a.yaml")
    (project / "tests").mkdir()
    (project / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    said = "evals: no case is asked: add cases to testpaths"
    assert said in run_in(project)
    assert said not in run_in(project, "tests")


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
