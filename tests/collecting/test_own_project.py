"""A project of one's own, as its users run it: pytest and `evals run` against a server that obeys.

Each test runs them as processes; what was asked is what the server got.
"""

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import pytest
from scripted_server import Looking, serve

from evals.report.summary_file import read_summary
from evals.stored import read_records

CASE = "  - {{id: {0}, ask: 'Look at {0}.', expect: {{call: {{name: look}}}}}}\n"
PROJECT = {"pyproject.toml": "", "evals.toml": 'lanes = ["server"]\nin_flight = 1\n'}
PYTEST = ("-m", "pytest")
EVALS_RUN = ("-m", "evals", "run")


def write_cases(project, *names, place="cases/a.yaml"):
    (project / place).parent.mkdir(parents=True, exist_ok=True)
    cases = "".join(CASE.format(name) for name in names)
    (project / place).write_text(f"defaults: {{tools: [{{name: look}}]}}\ncases:\n{cases}")


@pytest.fixture
def server():
    with serve(Looking) as scripted:
        yield scripted


@pytest.fixture
def ask(project, server):
    """Runs a command in the project; exit code, output, and the questions that were asked."""
    write_cases(project, "c1", "c2", "c3")

    def ask(command, *options, attach=True):
        del server.bodies[:]
        attached = ("--attach", server.server.url) if attach else ()
        done = subprocess.run(
            [sys.executable, *command, *attached, *map(str, options)],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=120,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_") and k != "CI"},
        )
        questions = [body["messages"][-1]["content"] for body in server.bodies]
        asked = [text[8:-1] for text in questions if text.startswith("Look at ")]
        return done.returncode, done.stdout + done.stderr, asked

    return ask


def judged(project):
    """The cases of the last run; one more than these may be on its way when a run is stopped."""
    return [record.case.id for record in read_records(project / "reports/latest/records.jsonl")]


@pytest.mark.parametrize("command", [PYTEST, EVALS_RUN])
def test_without_a_gate_of_its_own_a_failed_case_fails_the_run(project, server, ask, command):
    server.wrong = ("c2",)
    code, output, asked = ask(command)
    assert asked == ["c1", "c2", "c3"]
    assert code == 1
    assert "gate: FAILED" in output
    assert "default: case 0.667" in output
    assert read_summary(project / "reports/latest").gate.passed is False
    assert "1 failed, 2 passed in " in output.splitlines()[-1]


TOLERANT = "[gates.default]\ncase = 0.1\n"


def test_a_gate_forgives_cases_and_no_other_test(project, server, ask):
    # The case's own failure is hidden from pytest: it must not stand in for that of the test.
    server.wrong = ("c2",)
    (project / "evals.toml").write_text(PROJECT["evals.toml"] + TOLERANT)
    (project / "test_x.py").write_text("def test_x(): assert False\n")
    (project / "conftest.py").write_text(
        "import pytest\n\n\ndef pytest_collection_modifyitems(items):\n"
        "    for item in items:\n        if 'c2' in item.name:\n"
        "            item.add_marker(pytest.mark.xfail)\n"
    )
    code, output, _ = ask(PYTEST)
    assert (code, "gate: passed" in output) == (1, True)
    (project / "test_x.py").unlink()
    assert ask(PYTEST)[0] == 0


def test_a_run_that_ends_at_its_first_failure_does_not_pass(project, server, ask):
    # Its other answers may have been there already: that must not decide.
    server.wrong = ("c3",)
    (project / "evals.toml").write_text(PROJECT["evals.toml"] + TOLERANT)
    code, output, _ = ask(PYTEST, "-x")
    assert (code, "the run did not come to its end: stopping after 1" in output) == (1, True)


def test_cases_are_asked_without_pytests_plugin_for_functions(project, server, ask):
    server.wrong = ("c2",)
    code, _, asked = ask(PYTEST, "-p", "no:python")
    assert (code, sorted(asked)) == (1, ["c1", "c2", "c3"])


def test_a_part_is_not_judged_and_ends_by_its_cases(project, server, ask):
    server.wrong = ("c2",)
    for name, expected in (("c1", 0), ("c2", 1)):
        code, output, asked = ask(EVALS_RUN, "-k", name)
        assert (code, asked) == (expected, [name])
        assert "gate: not judged (a part of the suite)" in output
        assert "FAILED" not in output
        assert "threshold" not in output.split("gate: ")[1]
        page = (project / "reports/latest/report.html").read_text()
        assert "gate: not judged (a part of the suite)" in page
        assert (
            subprocess.run(
                [sys.executable, "-m", "evals", "rejudge"], cwd=project, capture_output=True
            ).returncode
            == expected
        )


@pytest.mark.parametrize("named", [(), (".",), ("cases",)])
def test_pytest_in_the_root_collects_the_configured_folders(project, ask, named):
    code, output, asked = ask(PYTEST, *named)
    assert (code, asked) == (0, ["c1", "c2", "c3"]), output
    assert "gate: passed" in output


def test_what_failed_last_is_asked_alone_first_or_from_there_on(project, server, ask):
    server.wrong = ("c2", "c3")
    assert ask(PYTEST)[2] == ["c1", "c2", "c3"]
    assert ask(PYTEST, "--lf")[2] == ["c2", "c3"]
    assert ask(PYTEST, "--ff")[2] == ["c2", "c3", "c1"]
    assert ask(PYTEST, "--sw")[0] == 2
    assert judged(project)[:2] == ["c1", "c2"]
    server.wrong = ("c3",)
    assert ask(PYTEST, "--sw")[2] == ["c2", "c3"]
    server.wrong = ()
    code, output, asked = ask(EVALS_RUN, "--lf")
    assert (code, asked) == (0, ["c3"]), output


def test_a_run_ends_at_the_first_failure_where_that_is_asked_for(project, server, ask):
    server.wrong = ("c2",)
    junit = project / "junit.xml"
    code, output, _ = ask(PYTEST, "-x", "--junitxml", junit)
    assert (code, judged(project)[:2]) == (1, ["c1", "c2"])
    assert "gate: FAILED" in output
    cases = ET.parse(junit).getroot().iter("testcase")
    told = {case.get("name"): [part.tag for part in case] for case in cases}
    assert told == {"c1[default-server]": [], "c2[default-server]": ["failure"]}


def test_evals_run_asks_the_places_that_are_named_and_no_others(project, ask, tmp_path_factory):
    (project / "evals.toml").write_text(f'{PROJECT["evals.toml"]}cases = ["suites/daily", "more"]')
    write_cases(project, "d1", place="suites/daily/d.yaml")
    write_cases(project, "m1", "m2", place="more/m.yml")
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "run"
    assert ask(EVALS_RUN, "./more/m.yml")[2] == ["m1", "m2"]
    assert ask(EVALS_RUN, "more/m.yml::m2[default-server]")[2] == ["m2"]
    code, output, asked = ask(EVALS_RUN, "--run-dir", elsewhere, "-k", "m1 or d1")
    assert (code, sorted(asked)) == (0, ["d1", "m1"]), output
    assert (elsewhere / "records.jsonl").is_file()
    code, output, asked = ask(EVALS_RUN, "nosuch")
    assert (code, asked) == (4, [])
    assert "file or directory not found: nosuch" in output
    code, output, asked = ask(EVALS_RUN, "cases")  # there, but not configured
    assert (code, asked) == (5, [])
    assert "no case was asked; case files are in suites/daily, more" in output


def test_a_folder_of_cases_that_is_not_there_is_said(project, ask):
    (project / "evals.toml").write_text('cases = ["suites"]\n')
    code, output, _ = ask(EVALS_RUN)
    assert code == 1
    assert "suites is not a folder" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--max-tokens", "1000000000"),
        ("--max-tokens", "-5"),
        ("--temperature", "9"),
        ("--temperature", "nan"),
        ("--in-flight", "0"),
        ("--repeat", "0"),
        ("--ask-timeout", "0"),
        ("--ask-timeout", "inf"),
    ],
)
def test_every_number_is_checked_before_the_first_question(ask, option, value):
    code, output, asked = ask(PYTEST, f"{option}={value}")
    assert (code, asked) == (4, []), output
    assert f"{option} " in output
    assert "should be" in output or "finite" in output


def test_the_time_limit_of_a_question_can_be_chosen(project, server, ask):
    answer = server.answer

    def slow(handler):
        if "Look at" in json.dumps(server.bodies[-1]["messages"]):
            time.sleep(3)
        answer(handler)

    server.answer = slow
    code, _, _ = ask(EVALS_RUN, "--ask-timeout", "0.5", "-k", "c1")
    assert code == 1
    [record] = read_records(project / "reports/latest/records.jsonl")
    assert record.observation.error
    assert record.observation.seconds < 3
