"""xdist: each question is asked once, by as many requests at a time as without it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_server import Scripted, call, completion, respond, serve

from evals.stored import read_records

_CASE = "  - {{id: c{0}, ask: Look at number {0}., expect: {{call: {{name: look}}}}}}\n"
PROJECT = {
    "cases/a.yaml": "defaults: {tools: [look]}\ncases:\n"
    + "".join(_CASE.format(number) for number in range(20)),
    "pyproject.toml": "[tool.pytest.ini_options]\n",
}
BUSY_SECONDS = 0.5


class Counted:
    """Answers with a call of `look` after a moment, and counts questions and those in flight."""

    def __init__(self, scripted: Scripted) -> None:
        self.url = scripted.server.url
        self.asked = Counter[str]()
        self.most = self._now = 0
        self._lock = threading.Lock()
        self._bodies = scripted.bodies

    def answer(self, handler: Any) -> None:
        with self._lock:
            text = json.dumps(self._bodies[-1]["messages"])
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(BUSY_SECONDS)
        with self._lock:
            self._now -= 1
        if "Look" in text:  # not the probe of a server that is attached
            message = {"role": "assistant", "tool_calls": [call("look", "{}", id="1")]}
            respond(completion(message, "tool_calls"))(handler)
        else:
            respond(completion({"role": "assistant", "content": "Hello."}))(handler)


@pytest.fixture
def counted() -> Iterator[Counted]:
    with serve() as scripted:
        counted = Counted(scripted)
        scripted.answer = counted.answer
        yield counted


def _run(project: Path, url: str, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "cases", "-q", "--attach", url, *options],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")},
    )
    return done.returncode, done.stdout + done.stderr


def _questions(scripted_bodies: list[dict[str, Any]]) -> Counter[str]:
    texts = (body["messages"][-1]["content"] for body in scripted_bodies)
    return Counter(text for text in texts if "Look" in text)


@pytest.mark.parametrize(
    "options",
    [
        ("-n", "2", "--lanes", "server"),
        ("-n", "4", "--lanes", "server"),
        ("-n", "2", "--lanes", "server", "--dist", "worksteal"),
    ],
)
def test_each_question_is_asked_once_and_four_at_a_time(
    project: Path, counted: Counted, options: tuple[str, ...]
) -> None:
    code, output = _run(project, counted.url, *options)
    assert code == 0, output
    assert _questions(counted._bodies) == {f"Look at number {n}.": 1 for n in range(20)}
    # A worker may be late where the machine is busy.
    assert 3 <= counted.most <= 4
    records = list(read_records(project / "reports" / "latest" / "records.jsonl"))
    assert len({record.key for record in records}) == len(records) == 20


def test_lanes_of_a_case_share_the_plain_answer(project: Path, counted: Counted) -> None:
    _run(project, counted.url, "-n", "2", "--lanes", "server,stream", "-k", "c1 or c2")
    plain = [body for body in counted._bodies if not body.get("stream")]
    # What comes is no stream, so there is nothing to ask again, alone.
    assert set(_questions(plain).values()) == {1}


def test_a_worker_that_died_leaves_its_part_to_another(project: Path, counted: Counted) -> None:
    (project / "conftest.py").write_text(
        'pytest_plugins = ["evals.plugin"]\n'
        "import os\n"
        "def pytest_runtest_logstart(nodeid):\n"
        '    if "::c5[" in nodeid and os.environ.get("PYTEST_XDIST_WORKER") in ("gw0", "gw1"):\n'
        "        os._exit(1)\n"
    )
    _, output = _run(project, counted.url, "-n", "2", "--lanes", "server")
    records = list(read_records(project / "reports" / "latest" / "records.jsonl"))
    assert {record.case.id for record in records} >= {f"c{n}" for n in range(20) if n != 5}, output


DOWN = """
import os

from evals.errors import ServerError
from evals.running.session import Session

def answer(*_):
    raise ServerError("it is down for good")

if "PYTEST_XDIST_WORKER" in os.environ:
    Session.answer = answer
"""


def test_a_worker_that_ends_the_run_says_why(project: Path, counted: Counted) -> None:
    conftest = project / "conftest.py"
    conftest.write_text(conftest.read_text() + DOWN)
    code, output = _run(project, counted.url, "-n", "2", "--lanes", "server")
    assert code == 3, output
    assert "INTERNALERROR" not in output
    (summary,) = project.glob("reports/2*/summary.json")
    assert json.loads(summary.read_text())["run"]["ended"] == "it is down for good"


def test_what_asks_a_question_more_than_once_is_refused_in_one_line(
    project: Path, counted: Counted
) -> None:
    code, output = _run(project, counted.url, "-n", "2", "--dist", "each")
    assert code not in (0, 1)
    assert "--dist each: every worker would ask every question" in output
    assert "Traceback" not in output
    assert counted._bodies == []


def test_a_case_file_under_two_names_is_refused(project: Path, counted: Counted) -> None:
    (project / "cases" / "b.yaml").symlink_to("a.yaml")
    for more in ((), ("-n", "2")):
        code, output = _run(project, counted.url, *more)
        assert code not in (0, 1)
        assert "cases/a.yaml:3: id: 'c0' is taken by" in output
        assert "the same file under two names" in output
        assert "Traceback" not in output


def test_an_item_that_is_run_again_asks_nothing_again(project: Path, counted: Counted) -> None:
    (project / "conftest.py").write_text(
        'pytest_plugins = ["evals.plugin"]\n'
        "from _pytest.runner import runtestprotocol\n"
        "def pytest_runtest_protocol(item, nextitem):\n"
        "    if '::c5[' in item.nodeid:\n"
        "        runtestprotocol(item, nextitem=nextitem)\n"
    )
    code, output = _run(project, counted.url, "--lanes", "server")
    assert code == 0, output
    assert "21 passed" in output
    assert set(_questions(counted._bodies).values()) == {1}


SKIP_ALL = """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.skip(reason="not now"))
"""


def test_a_plan_needs_no_server(project: Path) -> None:
    code, told = _run(project, NO_SERVER, "--lanes", "server", "--setup-plan")
    assert code == 0, told
    assert "cannot attach" not in told


NO_SERVER = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize("options", [(), ("--alluredir", "elsewhere")])
def test_a_suite_of_skipped_cases_needs_no_server_and_passes_no_gate(
    project: Path, options: tuple[str, ...]
) -> None:
    conftest = project / "conftest.py"
    conftest.write_text(conftest.read_text() + SKIP_ALL)
    code, told = _run(project, NO_SERVER, "--lanes", "server", *options)
    assert code == 1, told
    assert "cannot attach" not in told
    assert "20 question(s) have no answer" in told
    (summary,) = project.glob("reports/2*/summary.json")
    assert not json.loads(summary.read_text())["gate"]["passed"]


SKIPPED_IN_SETUP = """
import pytest

def pytest_runtest_setup(item):
    if "::c0[" in item.nodeid or "::c3[" in item.nodeid:
        pytest.skip("not here")
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "workers"])
def test_what_is_skipped_when_its_turn_comes_is_no_answer(
    project: Path, counted: Counted, options: tuple[str, ...]
) -> None:
    conftest = project / "conftest.py"
    conftest.write_text(conftest.read_text() + SKIPPED_IN_SETUP)
    code, told = _run(project, counted.url, "--lanes", "server", *options)
    assert "18 passed, 2 skipped" in told
    assert code == 1
    (records,) = project.glob("reports/2*/records.jsonl")
    gate = json.loads(records.with_name("summary.json").read_text())["gate"]
    assert gate["reasons"][0].startswith("2 question(s) have no answer: ")
    assert _ids(records) == {f"c{number}" for number in range(20)} - {"c0", "c3"}

    conftest.write_text(conftest.read_text().replace(SKIPPED_IN_SETUP, ""))
    run = str(records.parent)
    code, told = _run(project, counted.url, "--lanes", "server", "--resume", run, *options)
    assert code == 0, told
    conftest.write_text(conftest.read_text() + SKIPPED_IN_SETUP)
    code, told = _run(project, counted.url, "--lanes", "server", "--resume", run, *options)
    assert "18 passed, 2 skipped" in told
    assert _ids(records) == {f"c{number}" for number in range(20)}


def _ids(records: Path) -> set[str]:
    return {json.loads(line)["case"]["id"] for line in records.read_text().splitlines()}


SKIPPING = """
import pytest

def pytest_collection_modifyitems(items):
    for number, item in enumerate(items):
        if number % 4 == 0:
            item.add_marker(pytest.mark.skip(reason="not now"))
        if number % 4 == 1:
            item.add_marker(pytest.mark.skipif("1 + 1 == 3", reason="never"))
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "workers"])
def test_an_item_that_is_skipped_is_not_asked(
    project: Path, counted: Counted, options: tuple[str, ...]
) -> None:
    conftest = project / "conftest.py"
    conftest.write_text(conftest.read_text() + SKIPPING)
    _, told = _run(project, counted.url, "--lanes", "server", *options)
    assert "15 passed, 5 skipped" in told
    assert sum(_questions(counted._bodies).values()) == 15


BROKEN_BEFORE_ASKED = """
import pytest

@pytest.fixture(autouse=True)
def broken(request):
    if "::c0[" in request.node.nodeid or "::c3[" in request.node.nodeid:
        raise RuntimeError("no fixture")

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item):
    if "::c1[" in item.nodeid or "::c5[" in item.nodeid:
        pytest.skip("not here")
    return (yield)
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "workers"])
def test_what_fails_or_is_skipped_before_it_is_asked_is_no_answer(
    project: Path, counted: Counted, options: tuple[str, ...]
) -> None:
    """Whether it was asked ahead of its turn or not: of four in flight, c3 and c5 were."""
    conftest = project / "conftest.py"
    conftest.write_text(conftest.read_text() + BROKEN_BEFORE_ASKED)
    code, told = _run(project, counted.url, "--lanes", "server", *options)
    assert "16 passed, 2 skipped, 2 errors" in told
    assert code == 1
    (records,) = project.glob("reports/2*/records.jsonl")
    assert _ids(records) == {f"c{n}" for n in range(20)} - {"c0", "c1", "c3", "c5"}
    summary = json.loads(records.with_name("summary.json").read_text())
    assert summary["gate"]["reasons"][0].startswith("4 question(s) have no answer: ")


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_skipped_case_keeps_an_answer_to_what_it_asks_today_alone(
    project: Path, counted: Counted, options: tuple[str, ...]
) -> None:
    assert _run(project, counted.url, "--lanes", "server")[0] == 0
    (records,) = project.glob("reports/2*/records.jsonl")
    cases = project / "cases" / "a.yaml"
    text = cases.read_text().replace("Look at number 0.", "Look at number 100.")
    expected = "ask: Look at number 1., expect: {call: {name: look}}"
    assert expected in text
    cases.write_text(text.replace(expected, expected.replace("call: {name: look}", "answer: {}")))
    conftest = project / "conftest.py"
    mark_three = SKIP_ALL.replace("in items:", "in items[:3]:")
    conftest.write_text(conftest.read_text() + mark_three)
    run = str(records.parent)
    code, told = _run(project, counted.url, "--lanes", "server", "--resume", run, *options)
    assert "17 passed, 3 skipped" in told
    assert code == 1
    summary = json.loads(records.with_name("summary.json").read_text())
    assert "c0[" in summary["gate"]["reasons"][0]
    found = {record.case.id: record.status for record in read_records(records)}
    assert found == {f"c{n}": "fail" if n == 1 else "pass" for n in range(1, 20)}


def _killed_with_workers(records: Path) -> None:
    records.rename(records.with_name("records.gw0.jsonl"))
    records.touch()


def _killed_within_a_line(records: Path) -> None:
    records.write_bytes(records.read_bytes()[:-300])


@pytest.mark.parametrize("killed", [_killed_with_workers, _killed_within_a_line])
def test_a_skipped_case_is_judged_anew_whatever_the_killed_run_left(
    project: Path, counted: Counted, killed: Callable[[Path], None]
) -> None:
    """Two of them come first, before anything is asked."""
    assert _run(project, counted.url, "--lanes", "server")[0] == 0
    (records,) = project.glob("reports/2*/records.jsonl")
    killed(records)
    cases = project / "cases" / "a.yaml"
    text = cases.read_text()
    for number in (0, 1):
        was = f"id: c{number}, ask: Look at number {number}., expect: {{call: {{name: look}}}}"
        assert was in text
        now = was.replace("call: {name: look}", "answer: {}").replace("ask", "tags: [skip], ask", 1)
        text = text.replace(was, now)
    cases.write_text(text)
    code, told = _run(project, counted.url, "--lanes", "server", "--resume", str(records.parent))
    assert "18 passed, 2 skipped" in told
    assert code == 1
    found = {record.case.id: record.status for record in read_records(records)}
    assert found == {f"c{n}": "fail" if n < 2 else "pass" for n in range(20)}


LEAVES = """
import pytest

def pytest_runtest_logstart(nodeid):
    if "::c7[" in nodeid:
        pytest.exit("enough", returncode=0)
"""
SWALLOWS = """
def pytest_runtest_protocol(item):
    return "::c7[" in item.nodeid or None
"""


@pytest.mark.parametrize(
    ("conftest", "options", "left"),
    [(LEAVES, (), 3), (SWALLOWS, (), 1), (SWALLOWS, ("-n", "2"), 1)],
    ids=["exit", "swallowed", "swallowed by a worker"],
)
def test_a_question_that_pytest_does_not_come_to_passes_no_gate(
    project: Path, counted: Counted, conftest: str, options: tuple[str, ...], left: int
) -> None:
    """The run that is resumed has an answer to another question of this name."""
    assert _run(project, counted.url, "--lanes", "server")[0] == 0
    (records,) = project.glob("reports/2*/records.jsonl")
    cases = project / "cases" / "a.yaml"
    cases.write_text(cases.read_text().replace("Look at number 7.", "Look at number 700."))
    file = project / "conftest.py"
    file.write_text(file.read_text() + conftest)
    run = str(records.parent)
    code, told = _run(project, counted.url, "--lanes", "server", "--resume", run, *options)
    assert code == 1, told
    summary = json.loads(records.with_name("summary.json").read_text())
    assert summary["run"]["ended"] == f"pytest did not come to {left} question(s)"
    assert not summary["gate"]["passed"]


def test_a_plan_of_a_resumed_run_changes_nothing_of_it(project: Path, counted: Counted) -> None:
    assert _run(project, counted.url, "--lanes", "server")[0] == 0
    (records,) = project.glob("reports/2*/records.jsonl")
    kept = {path: path.read_bytes() for path in records.parent.glob("*") if path.is_file()}
    run = str(records.parent)
    code, told = _run(project, NO_SERVER, "--lanes", "server", "--resume", run, "--setup-only")
    assert code == 0, told
    assert "gate" not in told
    assert kept == {path: path.read_bytes() for path in kept}


def test_what_was_answered_and_is_then_skipped_in_a_second_try_stays_answered(
    project: Path, counted: Counted
) -> None:
    (project / "conftest.py").write_text(
        'pytest_plugins = ["evals.plugin"]\n'
        "import pytest\n"
        "from _pytest.runner import runtestprotocol\n"
        "tries = []\n"
        "def pytest_runtest_setup(item):\n"
        "    if '::c5[' in item.nodeid:\n"
        "        tries.append(item)\n"
        "        if len(tries) == 2:\n"
        "            pytest.skip('once is enough')\n"
        "def pytest_runtest_protocol(item, nextitem):\n"
        "    if '::c5[' in item.nodeid:\n"
        "        runtestprotocol(item, nextitem=nextitem)\n"
    )
    code, told = _run(project, counted.url, "--lanes", "server")
    assert "20 passed, 1 skipped" in told
    assert code == 0, told


@pytest.mark.parametrize(
    ("options", "why"),
    [(("-n", "2", "-x"), "stopping after 1 failures"), (("--sw",), "Test failed")],
)
def test_a_run_that_stops_by_itself_says_why_and_has_its_reports(
    project: Path, counted: Counted, options: tuple[str, ...], why: str
) -> None:
    cases = project / "cases" / "a.yaml"
    right = "Look at number 7., expect: {call: {name: look}}"
    cases.write_text(
        cases.read_text().replace(right, "Look at number 7., expect: {answer: {contains: [x]}}")
    )
    code, told = _run(project, counted.url, "--lanes", "server", *options)
    assert code == 2, told
    (summary,) = project.glob("reports/2*/summary.json")
    assert why in json.loads(summary.read_text())["run"]["ended"]
    assert summary.with_name("report.html").exists()
