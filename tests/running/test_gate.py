"""A run is never green where it should be red: whole runs against a server that obeys."""

import json
from pathlib import Path

import mlx.core  # noqa: F401 - pytester forgets what a run loads, and mlx loads once a process
import pytest
from scripted_server import Looking, serve

from evals.config import read_config
from evals.errors import ConfigError
from evals.report.github.files import write_github
from evals.report.summary_file import read_summary
from evals.running.rejudge import rejudge_run
from evals.stored import read_records, write_records

pytest_plugins = ["pytester"]

CASE = "  - {{id: {0}, ask: 'Look at {0}.', expect: {{call: {{name: look}}}}}}\n"
NAMES = ("c1", "c2", "c3", "c4")
CONFIGURATION = """\
[tool.pytest.ini_options]
[tool.evals]
lanes = ["server"]
[tool.evals.gates.default]
case = 0.5
on = "value"
"""


def case_file(names, **changed):
    lines = [CASE.format(name).replace(*changed.get(name, ("", ""))) for name in names]
    return "defaults: {tools: [look]}\ncases:\n" + "".join(lines)


PROJECT = {"cases/a.yaml": case_file(NAMES), "pyproject.toml": CONFIGURATION}


def write_cases(project, names, **changed):
    (project / "cases" / "a.yaml").write_text(case_file(names, **changed))


@pytest.fixture
def server():
    with serve(Looking) as scripted:
        yield scripted


@pytest.fixture
def run(pytester, project, server, monkeypatch):
    """A run of the project in this process: exit code, output and the run's folder."""
    monkeypatch.chdir(project)

    def run(*options, places=("cases",)):
        before = set((project / "reports").glob("*"))
        common = ("-p", "no:cacheprovider", "--in-flight=1", "--attach", server.server.url)
        done = pytester.runpytest_inprocess(*places, *common, *map(str, options))
        made = set((project / "reports").glob("2*")) - before
        output = done.stdout.str() + done.stderr.str()
        return int(done.ret), output, next(iter(made), None)

    return run


def test_a_run_with_one_miss_of_four_passes_its_gate(project, server, run):
    server.wrong = ("c2",)
    code, output, folder = run()
    assert code == 0, output
    told = read_summary(folder).run
    assert (told.whole, told.missing, told.ended, told.baseline) == (True, (), None, None)


def test_questions_that_were_not_asked_fail_the_gate(project, server, run):
    server.wrong, server.slow = ("c2",), ("c3",)
    code, output, folder = run("-x")
    assert code == 1
    summary = read_summary(folder)
    assert summary.run.whole is False
    # The next question may be on its way by then: what came of it is kept.
    left = [f"cases/a.yaml::{c}[default-server]" for c in ("c3", "c4")]
    assert [*summary.run.missing] in (left, left[1:])
    assert f"question(s) have no answer: {summary.run.missing[0]}" in output
    assert write_github(folder, None, {}).conforms is False
    assert "gate FAILED" in (folder / "job-summary.md").read_text()


def test_a_file_that_cannot_be_read_is_no_smaller_suite(project, server, run):
    (project / "cases" / "b.yaml").write_text("cases: [\n")
    code, output, folder = run("--continue-on-collection-errors")
    assert code == 1, output
    assert read_summary(folder).gate.passed is False


def test_other_tests_that_fail_beside_the_cases_are_not_forgiven(project, server, run):
    (project / "test_mine.py").write_text("def test_mine():\n    assert False\n")
    code, output, folder = run(places=("cases", "test_mine.py"))
    assert read_summary(folder).gate.passed is True
    assert code == 1, output


def test_a_profile_without_a_case_fails_the_gate(project, server, run):
    with (project / "pyproject.toml").open("a") as file:
        file.write('[tool.evals.targets]\ndefault = {}\nreplay = {model = "replay"}\n')
        file.write('[tool.evals.profiles]\ndefault = {}\nreplay = {target = "replay"}\n')
    code, output, _ = run("--profiles", "default,replay")
    assert code == 1
    assert "replay: no case was asked" in output


def test_implied_replay_profiles_are_not_missed_where_no_case_asks_for_them(project, server, run):
    code, output, folder = run("--profiles", "all")
    summary = read_summary(folder)
    assert summary.gate.passed is True, output
    assert [*summary.profiles] == [*summary.run.asked.profiles] == ["default"]
    assert code == 0, output


def test_an_implied_profile_that_is_asked_for_by_name_is_missed(project, server, run):
    code, output, _ = run("--profiles", "default,replay-glm")
    assert code == 1
    assert "replay-glm: no case was asked" in output


def test_a_run_that_did_not_start_says_why_and_conforms_to_nothing(project, server, run):
    server.refused = ("Hello",)
    code, output, folder = run()
    assert code == 3, output
    summary = read_summary(folder)
    assert "cannot attach" in summary.run.ended
    assert write_github(folder, None, {}).conforms is False
    assert "cannot attach" in (folder / "job-summary.md").read_text()
    assert (folder / "issue.md").exists()


def test_a_plain_answer_that_does_not_come_is_an_error_of_the_stream(project, server, run):
    server.refused = ("Look",)
    code, output, folder = run("--lanes", "stream")
    assert code == 1, output
    assert read_summary(folder).profiles["default"].errors == len(NAMES)


def test_a_baseline_that_does_not_fit_fails_the_gate_and_loses_nothing(project, server, run):
    _, _, first = run()
    old = json.loads((first / "summary.json").read_text())
    old["fingerprint"] |= {"cases": {}, "suite": "of a run that did not tell its cases"}
    (first / "summary.json").write_text(json.dumps(old))
    write_cases(project, (*NAMES, "c5"))
    code, output, folder = run("--baseline", first / "summary.json")
    assert code == 1
    assert "no comparison with summary.json: the runs differ in suite" in output
    assert len(read_summary(folder).profiles["default"].cases) == 5
    assert (folder / "report.html").exists()
    assert "Traceback" not in output


def test_a_resumed_run_keeps_answers_to_the_same_questions_alone(project, server, run):
    _, _, folder = run()
    asked = len(server.bodies)
    answer = ("{call: {name: look}}", "{answer: {}}")
    write_cases(project, ("c1", "c2", "c3"), c2=("Look at c2", "See to c2"), c3=answer)
    code, output, _ = run("--resume", folder)
    assert code == 0, output
    texts = [body["messages"][-1]["content"] for body in server.bodies[asked:]]
    assert [text for text in texts if text != "Hello"] == ["See to c2."]
    outcomes = read_summary(folder).profiles["default"].cases
    assert {node[-2:]: lanes["server"] for node, lanes in outcomes.items()} == {
        "c1": "pass",
        "c2": "pass",
        "c3": "fail",  # not asked again, and held against what is expected now
    }


def test_judging_again_keeps_the_baseline_and_wants_all_records(project, server, run):
    _, _, first = run()
    _, _, folder = run("--baseline", first / "summary.json")
    assert rejudge_run(folder, project).comparison
    (first / "summary.json").unlink()
    again = rejudge_run(folder, project)
    assert again.gate.passed is False
    assert "no comparison with summary.json" in again.gate.reasons[0]
    records = list(read_records(folder / "records.jsonl"))
    for some in (records[:-1], [*records, records[0]]):
        write_records(some, folder / "records.jsonl")
        with pytest.raises(ConfigError, match="it cannot be judged as that run"):
            rejudge_run(folder, project)


def test_the_name_of_the_newest_run_is_no_folder_for_a_run(run):
    code, output, _ = run("--run-dir", "reports/latest")
    assert code == 4
    assert "latest names the newest run" in output


def test_a_gate_of_no_profile_is_refused(tmp_path):
    (tmp_path / "evals.toml").write_text("[gates.defualt]\ncase = 0.99\n")
    with pytest.raises(
        ConfigError, match=r"gates: unknown profile 'defualt', did you mean 'default'"
    ):
        read_config(tmp_path)


@pytest.mark.parametrize("tail", [b"", '{"torn": "é'.encode()[:-1]])
def test_records_of_a_killed_run_are_read_up_to_where_it_was_killed(tmp_path: Path, tail: bytes):
    path = tmp_path / "records.jsonl"
    path.write_bytes(tail)
    said: list[str] = []
    assert list(read_records(path, said.append)) == []
    assert bool(said) == bool(tail)
