"""A server that answers nobody costs one timeout, not one a case; Ctrl-C waits for nobody."""

import itertools
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from builders import write_project
from scripted_server import completion, respond, serve

from evals.report.summary_file import read_summary
from evals.results import read_records

CASE = "  - {{id: c{0}, ask: Say {0}., expect: {{answer: {{}}}}}}\n"
GOOD = respond(completion({"role": "assistant", "content": "Yes."}))


def project_of(folder, count, timeout):
    cases = "defaults: {tools: [look]}\ncases:\n" + "".join(CASE.format(n) for n in range(count))
    settings = f"[tool.pytest.ini_options]\n[tool.evals]\nin_flight = 8\ntimeout = {timeout}\n"
    return write_project(folder, {"cases/a.yaml": cases, "pyproject.toml": settings})


def start(project, url):
    with (project / "output").open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "cases", "-q", "--attach", url, "--run-dir", "run"],
            cwd=project,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


@contextmanager
def hanging(scripted, after=0, then=lambda handler, gone: gone.wait(120)):
    """The server answers the probe of the attach and `after` questions; then it does `then`."""
    gone, asked = threading.Event(), itertools.count()

    def answer(handler):
        if next(asked) <= after:
            GOOD(handler)
        else:
            then(handler, gone)

    scripted.answer = answer
    try:
        yield
    finally:
        gone.set()


def drip(handler, gone):
    """An error whose body never ends."""
    handler.send_response(500)
    handler.end_headers()
    while not gone.wait(0.2):
        handler.wfile.write(b".")


def test_a_hung_server_ends_the_run_in_less_than_three_timeouts(tmp_path):
    timeout = 10
    project = project_of(tmp_path, 258, timeout)
    with serve() as scripted, hanging(scripted, after=6):
        process = start(project, scripted.server.url)
        wait_for(lambda: len(scripted.bodies) > 7)
        begin = time.monotonic()
        code = process.wait(timeout=200)
        seconds = time.monotonic() - begin
        asked = len(scripted.bodies)
    output = (project / "output").read_text()
    assert code == 3, output
    assert seconds < 3 * timeout
    assert "the server is down" in output
    assert asked < 40
    summary = read_summary(project / "run")
    had = {record.key for record in read_records(project / "run/records.jsonl")}
    assert len(had) >= 6
    assert "the server is down" in summary.run.ended
    assert len(summary.run.missing) == 516 - len(had)
    assert f"{len(summary.run.missing)} question(s) have no answer" in output


@pytest.mark.parametrize("then", [lambda handler, gone: gone.wait(120), drip])
def test_ctrl_c_waits_for_no_answer_that_is_in_flight(tmp_path, then):
    project = project_of(tmp_path, 20, 100)
    with serve() as scripted, hanging(scripted, after=4, then=then):
        process = start(project, scripted.server.url)
        try:
            wait_for(lambda: len(scripted.bodies) >= 1 + 4 + 8)
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=90)
            seconds = time.monotonic() - begin
        finally:
            process.kill()
    output = (project / "output").read_text()
    assert code == 2, output
    # An answer in flight would take 100 s; what is left is this process's own work.
    assert seconds < 50
    summary = read_summary(project / "run")
    assert summary.run.ended == "interrupted"
    assert len(list(read_records(project / "run/records.jsonl"))) == 4


def test_an_answer_is_on_disk_while_one_before_it_hangs(tmp_path):
    project = project_of(tmp_path, 6, 100)
    with serve() as scripted:
        gone = threading.Event()

        def answer(handler):
            asked = str(scripted.bodies[-1]["messages"])
            gone.wait(120) if "Say 0." in asked else GOOD(handler)

        scripted.answer = answer
        process = start(project, scripted.server.url)
        try:
            records = project / "run/records.jsonl"
            wait_for(lambda: records.exists() and records.read_text().count("\n") == 10)
        finally:
            process.kill()
            process.wait()
            gone.set()
    assert len(list(read_records(records))) == 10


def wait_for(condition, seconds=100):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
