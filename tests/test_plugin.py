"""`pytest cases/` as its users run it: real processes, a real server, a small project."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from builders import write_project

from evals.cli import app
from evals.report.summary_file import read_summary
from evals.stored import read_records

CASES = """\
defaults: {tools: [look], max_tokens: 6}
cases:
  - id: one
    ask: Look at the list.
    tags: [lists]
    expect: {call: {name: look}}
  - id: two
    ask: Say hello.
    tier: smoke
    expect: {answer: {}}
  - id: three
    ask: Say goodbye.
    expect: {answer: {}}
"""
CONFIGURATION = """\
[tool.pytest.ini_options]
[tool.evals.gates.default]
case = 0.9
"""


PROJECT = {"cases/a.yaml": CASES, "pyproject.toml": CONFIGURATION}


def run(project, *arguments, timeout=120):
    """Run pytest in `project`; returns its exit code and all of its output."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
    )
    return done.returncode, done.stdout + done.stderr


def test_collecting_names_the_items_and_boots_nothing(project):
    code, output = run(project, "cases", "--collect-only", "-q", "--model", "/nowhere")
    assert code == 0
    assert "cases/a.yaml::one[default-server]" in output
    assert "cases/a.yaml::three[default-stream]" in output
    assert not (project / "reports").exists()


def test_tags_and_tiers_select(project):
    assert "2 tests collected" in run(project, "cases", "--collect-only", "-q", "--tier=smoke")[1]
    assert "2/6 tests collected" in run(project, "cases", "--collect-only", "-q", "-m", "lists")[1]


def test_a_typo_is_named_at_its_line_before_anything_boots(project):
    (project / "cases" / "a.yaml").write_text(CASES.replace("ask: Say hello", "aks: Say hello"))
    code, output = run(project, "cases", "--model", "/nowhere")
    assert code == 2
    assert "cases/a.yaml:8: cases[1].aks: unknown key" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "/no/such/model"], "/no/such/model"),
        (["--profiles", "nope"], "unknown profile 'nope' (choose from"),
        (
            ["--lanes", "sideways"],
            "unknown lane 'sideways' (choose from server, stream, direct, agent)",
        ),
        (["--attach", "http://127.0.0.1:9"], "cannot attach"),
        (["--repeat", "3"], "temperature 0"),
        (["--resume", "/no/such/run"], "there is no such run folder"),
    ],
)
def test_what_cannot_run_says_so_in_one_line_and_ends(project, arguments, message):
    code, output = run(project, "cases", *arguments, timeout=60)
    assert code not in (0, 1)
    assert message in output
    assert "Traceback" not in output


def test_a_taken_port_is_named_with_its_holder(project, base_model):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        code, output = run(project, "cases", "--port", port, "--model", str(base_model), timeout=60)
    assert code not in (0, 1)
    assert f"port {port}" in output
    assert str(os.getpid()) in output


@pytest.fixture(scope="module")
def finished(tmp_path_factory, base_server):
    """A project with a finished run of all cases against the base model."""
    folder = write_project(tmp_path_factory.mktemp("finished"), PROJECT)
    code, output = run(folder, "cases", "--attach", base_server.url)
    return folder, code, output


def _summary(folder):
    return json.loads((folder / "reports" / "latest" / "summary.json").read_text())


def test_a_run_leaves_records_a_summary_and_allure_results(finished):
    folder, code, output = finished
    summary = _summary(folder)
    assert code == 1
    assert summary["gate"]["passed"] is False
    assert set(summary["profiles"]["default"]["cases"]) == {
        "cases/a.yaml::one",
        "cases/a.yaml::two",
        "cases/a.yaml::three",
    }
    assert set(summary["profiles"]["default"]["cases"]["cases/a.yaml::one"]) == {"server", "stream"}
    records = list(read_records(folder / "reports" / "latest" / "records.jsonl"))
    assert len(records) == 6
    assert all(record.observation.token_ids for record in records if record.lane == "server")
    assert list((folder / "reports" / "latest" / "allure-results").glob("*-result.json"))
    assert "gate: FAILED" in output


def test_a_failed_case_tells_its_story(finished):
    _, _, output = finished
    for part in ("cases/a.yaml:3: ", "asked", "expected", "lane gave", "layer: model", "curl -s"):
        assert part in output


CALL = "<tool_call>\n<function=get>\n<parameter=id>\n{}\n</parameter>\n</function>\n</tool_call>"
WRITTEN = {"right": CALL.format(1), "big": CALL.format(2**53 + 1), "no": "No.", "never": "Never."}
IDS = {"big": 2**53 + 1}
GET = {"name": "get", "parameters": {"type": "object", "properties": {"id": {"type": "integer"}}}}
REPLAYED = [
    {
        "id": name,
        "ask": f"Get {IDS.get(name, 1)}, {name}.",
        "replay": {"text": text},
        "expect": {"call": {"name": "get", "arguments": {"id": IDS.get(name, 1)}}},
    }
    for name, text in WRITTEN.items()
]
FAULTS = (
    "whose fault: the model itself: 2 cases (model: missing call 2), "
    "begin with cases/a.yaml::never; and downstream of the model: 1 case "
    "(parser: changed arguments 1), begin with cases/a.yaml::big"
)


def test_the_terminal_ends_with_whose_fault_the_wrong_answers_are_as_the_report_begins(project):
    cases = json.dumps({"defaults": {"tools": [GET]}, "cases": REPLAYED})
    (project / "cases" / "a.yaml").write_text(cases)
    target = '[tool.evals]\nlanes = ["server"]\n[tool.evals.targets.default]\nmodel = "replay"\n'
    (project / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\n{target}")
    code, output = run(project, "cases")
    assert code == 1, output
    told = [line for line in output.splitlines() if line.startswith("whose fault: ")]
    assert told == [FAULTS]
    assert output.index(told[0]) < output.index("gate: FAILED")
    page = re.sub("<.*?>", "", (project / "reports" / "latest" / "report.html").read_text())
    for fault in told[0].removeprefix("whose fault: ").split("; and "):
        assert fault.partition(", begin")[0] in page
    _, output = run(project, "cases", "-k", "right")
    assert "whose fault" not in output


def test_judging_again_gives_the_same_bytes(finished, monkeypatch):
    from typer.testing import CliRunner

    folder, _, _ = finished
    monkeypatch.chdir(folder)
    path = folder / "reports" / "latest" / "records.jsonl"
    before, summary = path.read_bytes(), _summary(folder)
    result = CliRunner().invoke(app, ["rejudge"])
    assert result.exit_code == 1
    assert path.read_bytes() == before
    assert _summary(folder) == summary


def test_a_run_compared_with_itself_shows_no_change(finished):
    from typer.testing import CliRunner

    latest = str(finished[0] / "reports" / "latest")
    result = CliRunner().invoke(app, ["compare", latest, latest])
    assert result.exit_code == 0
    assert "0 newly failing, 0 fixed of 3 cases" in result.output


@pytest.mark.parametrize("workers", ["2", "4"])
def test_with_xdist_no_case_is_lost_or_asked_twice(finished, project, base_server, workers):
    code, output = run(project, "cases", "-n", workers, "--attach", base_server.url)
    assert code == 1, output
    ours = read_summary(project / "reports" / "latest").profiles["default"].cases
    theirs = read_summary(finished[0] / "reports" / "latest").profiles["default"].cases
    assert ours == theirs
    lines = (project / "reports" / "latest" / "records.jsonl").read_text().splitlines()
    assert len(lines) == 6


def test_a_resumed_run_asks_only_what_is_left(project, base_server):
    folder = project / "reports" / "mine"
    run(project, "cases", "--attach", base_server.url, "--run-dir", str(folder), "-k", "one")
    first = (folder / "records.jsonl").read_text().splitlines()
    assert len(first) == 2
    (folder / "records.jsonl").write_text("\n".join([*first, '{"torn']))
    run(project, "cases", "--attach", base_server.url, "--resume", str(folder))
    lines = (folder / "records.jsonl").read_text().splitlines()
    assert len(lines) == 6
    assert set(first) <= set(lines)
    assert read_summary(folder).run.whole is True


def test_a_folder_with_a_run_is_not_taken_for_a_new_one(finished):
    folder = finished[0] / "reports" / "latest"
    before = (folder / "records.jsonl").read_bytes()
    code, output = run(finished[0], "cases", "--run-dir", str(folder), "--model", "/nowhere")
    assert code not in (0, 1)
    assert f"resume it: --resume {folder.resolve()}" in output
    assert (folder / "records.jsonl").read_bytes() == before


def test_a_part_ends_by_its_cases_is_never_whole_and_no_baseline(project, base_server, monkeypatch):
    from typer.testing import CliRunner

    (project / "cases" / "b.yaml").write_text(CASES)
    attach = ("--attach", base_server.url, "--max-tokens", "60")
    for part in (("--tier", "smoke"), ("--ignore", "cases/b.yaml", "-k", "two")):
        code, output = run(project, "cases", *attach, *part)
        assert code == 0, output
        assert "gate: not judged (a part of the suite)" in output
        assert read_summary(project / "reports" / "latest").run.whole is False
    run(project, "cases", *attach, "--ignore", "cases/b.yaml")
    latest = read_summary(project / "reports" / "latest").run
    assert (latest.whole, latest.asked.max_tokens) == (False, 60)
    monkeypatch.chdir(project)
    result = CliRunner().invoke(app, ["accept"])
    assert result.exit_code == 1
    assert not (project / "baseline.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_is_left_however_the_run_ends(project, base_model, number):
    (project / "cases" / "a.yaml").write_text(CASES.replace("max_tokens: 6", "max_tokens: 4000"))
    log = project / "output"
    with log.open("w") as output:
        run_ = subprocess.Popen(
            [sys.executable, "-m", "pytest", "cases", "--model", str(base_model), "-s"],
            cwd=project,
            stdout=output,
            stderr=output,
            # A shell's background job ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            text = _wait_for(log, "server: ready")
            server = psutil.Process(int(re.search(r"pid (\d+)", text)[1]))
            time.sleep(1)  # questions are in flight now
            run_.send_signal(number)
            run_.wait(timeout=30)
            alive = psutil.wait_procs([server], timeout=15)[1]
        finally:
            run_.kill()
            run_.wait()
    assert alive == []
    assert run_.returncode != 0


def _wait_for(log, words, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        text = log.read_text()
        if words in text:
            return text
        time.sleep(0.2)
    raise AssertionError(f"{words!r} did not come: {text}")
