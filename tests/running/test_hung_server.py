"""A server that answers nobody costs one timeout, not one a case; Ctrl-C waits for nobody."""

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import psutil
import pytest
from builders import write_project
from kills import victim
from scripted_server import completion, respond, serve

from evals.report.summary_file import read_summary
from evals.stored import read_records

CASE = "  - {{id: c{0}, ask: Say {0}., expect: {{answer: {{}}}}}}\n"
GOOD = respond(completion({"role": "assistant", "content": "Yes."}))


def project_of(folder, count, timeout):
    cases = "defaults: {tools: [look]}\ncases:\n" + "".join(CASE.format(n) for n in range(count))
    settings = f"[tool.pytest.ini_options]\n[tool.evals]\nin_flight = 8\ntimeout = {timeout}\n"
    return write_project(folder, {"cases/a.yaml": cases, "pyproject.toml": settings})


def start(project, url, *options):
    where = ("--attach", url) if url else ()
    with (project / "output").open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "cases", "-q", *where, "--run-dir", "run", *options],
            cwd=project,
            start_new_session=True,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


@contextmanager
def hanging(scripted, after=0, then=lambda handler, gone: gone.wait(120), probes=True):
    """The server answers `after` questions; then it does `then`.

    Requests for one token it answers all the time, or without `probes` until then.
    """
    gone, asked = threading.Event(), itertools.count(1)

    def answer(handler):
        probe = handler.body.get("max_tokens") == 1
        if (probe and (probes or questions(scripted) < after)) or (
            not probe and next(asked) <= after
        ):
            GOOD(handler)
        else:
            then(handler, gone)

    scripted.answer = answer
    try:
        yield
    finally:
        gone.set()


def questions(scripted):
    """How many were asked; each worker probes, too."""
    return sum(body.get("max_tokens") != 1 for body in scripted.bodies)


def drip(handler, gone):
    """An error whose body never ends."""
    handler.send_response(500)
    handler.end_headers()
    while not gone.wait(0.2):
        handler.wfile.write(b".")


@pytest.mark.parametrize("probes", [True, False], ids=["still gives one token", "gives nothing"])
def test_a_hung_server_ends_the_run_in_less_than_three_timeouts(tmp_path, probes):
    timeout = 10
    project = project_of(tmp_path, 258, timeout)
    with serve() as scripted, hanging(scripted, after=6, probes=probes):
        process = start(project, scripted.server.url)
        wait_for(lambda: len(scripted.bodies) > 7)
        begin = time.monotonic()
        code = process.wait(timeout=200)
        seconds = time.monotonic() - begin
        asked = len(scripted.bodies)
    output = (project / "output").read_text()
    assert code == 3, output
    print(f"258 cases × 2 lanes: {seconds:.1f} s of 3 × {timeout} s, asked {asked} times")
    assert seconds < 3 * timeout
    assert "the server is down" in output
    assert asked < 40
    summary = read_summary(project / "run")
    had = {record.key for record in read_records(project / "run/records.jsonl")}
    assert len(had) >= 6
    assert "the server is down" in summary.run.ended
    assert len(summary.run.missing) == 516 - len(had)
    assert f"{len(summary.run.missing)} question(s) have no answer" in output


def test_cases_that_a_lane_cannot_put_are_no_sign_of_a_dead_server(tmp_path):
    messages = "[{role: developer, content: Be brief.}, {role: user, content: Say it.}]"
    cases = "cases:\n" + "".join(
        f"  - {{id: c{n}, messages: {messages}, expect: {{answer: {{}}}}}}\n" for n in range(8)
    )
    settings = "[tool.pytest.ini_options]\n[tool.evals]\nin_flight = 2\nlanes = ['agent']\n"
    project = write_project(tmp_path, {"cases/a.yaml": cases, "pyproject.toml": settings})
    with serve() as scripted:
        scripted.answer = GOOD
        start(project, scripted.server.url).wait(timeout=100)
    summary = read_summary(project / "run")
    assert summary.run.ended is None
    assert len([*read_records(project / "run/records.jsonl")]) == 8
    assert len(summary.run.missing) == 0


def hang_up(handler, _gone):
    handler.close_connection = True
    handler.connection.close()


def test_a_server_that_hangs_up_on_questions_is_told_by_what_it_did(tmp_path):
    project = project_of(tmp_path, 258, timeout=60)
    with serve() as scripted, hanging(scripted, after=6, then=hang_up):
        process = start(project, scripted.server.url)
        code = process.wait(timeout=100)
    output = " ".join((project / "output").read_text().split())
    assert code == 3, output
    assert "the latest: the server closed the connection without a response" in output


INTERRUPTED = {
    "silent": (lambda handler, gone: gone.wait(120), ()),
    "dripping": (drip, ()),
    "agent": (drip, ("--lanes", "agent")),
    "workers": (lambda handler, gone: gone.wait(120), ("-n", "2")),
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_ctrl_c_waits_for_no_answer_that_is_in_flight(tmp_path, name):
    then, options = INTERRUPTED[name]
    project = project_of(tmp_path, 20, 100)
    with serve() as scripted, hanging(scripted, after=4, then=then):
        process = start(project, scripted.server.url, *options)
        wait_for(lambda: questions(scripted) >= 4 + 8)
        ends_in_three_seconds(process, lambda: process.send_signal(signal.SIGINT))
    summary = read_summary(project / "run")
    saved = {record.key for record in read_records(project / "run/records.jsonl")}
    assert summary.run.ended == "interrupted"
    assert 1 <= len(saved) <= 4  # an agent asks twice for one answer
    assert len(summary.run.missing) == (20 if name == "agent" else 40) - len(saved)


def test_ctrl_c_tells_no_hundreds_of_stories(tmp_path):
    project = project_of(tmp_path, 240, 100)
    file = project / "cases/a.yaml"
    file.write_text(file.read_text().replace("{answer: {}}", "{call: {name: look}}"))
    output = project / "output"
    with serve() as scripted, hanging(scripted, after=230):
        process = start(project, scripted.server.url, "--lanes", "server", "-p", "no:randomly")
        wait_for(lambda: output.read_text().count("F") >= 100)
        ends_in_three_seconds(process, lambda: process.send_signal(signal.SIGINT))
    told = output.read_text()
    assert "= FAILURES =" not in told
    lines = len(re.findall(r"^FAILED \S+ - missing_call \(layer", told, re.MULTILINE))
    assert 100 <= lines <= 230  # pytest comes to answers in the order of the cases
    assert "\nand 30 more; the report has all of them\n" in told
    assert f"\n{lines} failed" in told


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "workers"])
def test_ctrl_c_ends_a_booted_server_that_generates(tmp_path, options):
    script = "replay: {text: never said in time, delay: 60}"
    text = "defaults: {profiles: [replay], tools: [look]}\ncases:\n"
    text += "".join(
        f"  - {{id: c{n}, ask: Say., expect: {{answer: {{}}}}, {script}}}\n" for n in range(9)
    )
    project = project_of(tmp_path, 1, 100)
    (project / "cases/a.yaml").write_text(text)
    process = start(project, None, "--profiles", "replay", *options)
    log = project / "run/server.log"
    # The probe of the boot is the first of them; the group is what a terminal interrupts.
    wait_for(lambda: log.exists() and log.read_text().count("Prompt processing progress") > 1)
    server = victim(process, "server")
    ends_in_three_seconds(process, lambda: os.killpg(process.pid, signal.SIGINT))
    assert server is not None
    assert not server.is_running()
    # What is in flight fails as the server ends with the run: nobody takes that for a death.
    assert not (project / "run/server-deaths.jsonl").exists()


def ends_in_three_seconds(process, interrupt):
    """`interrupt` ends `process` in 3 seconds on a machine of its own, waiting for nothing."""
    watched = psutil.Process(process.pid)
    before = after = watched.cpu_times()
    begin = time.monotonic()
    try:
        interrupt()
        while process.poll() is None and time.monotonic() < begin + 90:
            with contextlib.suppress(psutil.Error):
                after = watched.cpu_times()
            time.sleep(0.01)
        seconds = time.monotonic() - begin
    finally:
        process.kill()
        process.wait()
    own = after.user + after.system - before.user - before.system
    # On a machine where others compute, too, the same work takes longer.
    others = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    print(f"ended after {seconds:.2f} s, {own:.2f} s of them computed; {others:.1f} at a time")
    assert process.returncode == 2
    assert own < 2
    assert seconds < 3 * others


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
