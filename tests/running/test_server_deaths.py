"""A server that dies under a run is started again; what it dies of is found, and left alone.

Everything here is real: `pytest` in a project, the stock server, the replay model's `fail_at`.
"""

import os
import signal
import subprocess
import sys
import time

import pytest
from builders import write_project
from kills import victim

from evals.report.summary_file import read_summary
from evals.results import Status
from evals.running.life import MOST_DEATHS
from evals.stored import read_records

CASE = """\
  - id: c{number}
    ask: Say {number}.
    replay: {{text: "It is {number}."{more}}}
    expect: {{answer: {{}}}}
"""
CONFIGURATION = """\
[tool.pytest.ini_options]
[tool.evals]
in_flight = {in_flight}
timeout = {timeout}
"""


def project_of(folder, count, in_flight=4, timeout=60, more=lambda number: ""):
    """A project with `count` cases that the replay model answers; `more` is added to a script."""
    cases = "".join(CASE.format(number=n, more=more(n)) for n in range(count))
    head = "defaults: {profiles: [replay], tools: [look]}\ncases:\n"
    return write_project(
        folder,
        {
            "cases/a.yaml": head + cases,
            "pyproject.toml": CONFIGURATION.format(in_flight=in_flight, timeout=timeout),
        },
    )


def start(project, *arguments):
    """Start a run in the folder `run` of `project`; what it says goes to the file `output`."""
    where = ["--resume" if (project / "run").exists() else "--run-dir", "run"]
    with (project / "output").open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "cases", "--profiles", "replay", *where, *arguments],
            cwd=project,
            stdout=output,
            stderr=output,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def run(project, *arguments):
    """A whole run: exit code, output, seconds."""
    begin = time.monotonic()
    code = start(project, *arguments).wait(timeout=900)
    return code, (project / "output").read_text(), time.monotonic() - begin


def records_of(project):
    return {record.key: record for record in read_records(project / "run" / "records.jsonl")}


def requests_of(project):
    return (project / "run" / "server.log").read_text().count("POST /v1/chat/completions")


def test_a_killer_among_forty_cases_is_named_and_left_alone(tmp_path):
    clean = project_of(tmp_path / "clean", 40)
    _, _, clean_seconds = run(clean)
    project = project_of(tmp_path / "killer", 40, more=lambda n: ", fail_at: 2" if n == 10 else "")
    code, output, seconds = run(project)
    records = records_of(project)
    errors = [record for record in records.values() if record.status == Status.ERROR]
    assert len(records) == 80
    assert {record.case.id for record in errors} == {"c10"}, output
    assert len(errors) == 2
    assert all(record.observation.killed_server for record in errors)
    assert {str(record.blame) for record in errors} == {"server"}
    assert code == 1
    summary = read_summary(project / "run")
    first, second = summary.run.deaths
    assert "cases/a.yaml::c10" in first.in_flight
    assert (second.in_flight, second.killer) == (("cases/a.yaml::c10",), "cases/a.yaml::c10")
    assert "HTTP 503" in first.how
    assert "fails at token 2, as it says" in first.log
    assert not summary.gate.passed
    assert "the server dies of cases/a.yaml::c10" in output
    assert "the server dies of cases/a.yaml::c10" in (project / "run/report.html").read_text()
    print(
        f"{len(records) - len(errors)} of 80 answers; {seconds:.1f} s, clean {clean_seconds:.1f} s"
    )
    assert seconds < 2 * clean_seconds

    before = requests_of(project)
    code, output, _ = run(project)
    assert code == 1
    assert requests_of(project) == before + 1  # that it is alive
    assert records_of(project).keys() == records.keys()
    assert len(read_summary(project / "run").run.deaths) == 2


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_server_that_is_killed_is_started_again_and_nothing_is_lost(tmp_path, options):
    project = project_of(tmp_path, 12, more=lambda n: ", delay: 0.1")
    process = start(project, *options)
    try:
        wait_for(lambda: len(lines(project)) >= 4)
        text = (project / "output").read_text()
        log = (project / "run/server.log").read_text()
        assert log
        first = kill_server(process)
        kill_server(process, besides=first)  # while it starts again
        code = process.wait(timeout=600)
    finally:
        process.kill()
    records = records_of(project)
    assert len(records) == 24, text
    assert {record.status for record in records.values()} == {Status.PASS}
    (death,) = read_summary(project / "run").run.deaths
    assert "SIGKILL" in death.how
    assert code == 1
    assert "was killed by SIGKILL" in (project / "output").read_text()


def test_a_server_that_always_dies_ends_the_run(tmp_path):
    project = project_of(tmp_path, 12, in_flight=1, more=lambda n: ", fail_at: 1")
    code, output, _ = run(project)
    assert code == 3
    assert f"the server died {MOST_DEATHS + 1} times" in output
    summary = read_summary(project / "run")
    assert len(summary.run.deaths) == MOST_DEATHS + 1
    assert summary.run.missing


def lines(project):
    paths = (project / "run").glob("records*.jsonl")
    return [line for path in paths for line in path.read_text().splitlines()]


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill_server(process, besides=None):
    """SIGKILL to the server that the run has booted, once it is another one; its pid."""
    wait_for(lambda: (found := victim(process, "server")) and found.pid != besides)
    server = victim(process, "server")
    server.kill()
    return server.pid
