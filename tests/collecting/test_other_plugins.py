"""Hooks of other plugins: none of them lets a part pass for the whole, or hides what failed.

pytest runs here within pytest, with the hooks of a test as its plugin.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scripted_server import call, completion, respond, serve

CASE = "  - {{id: {0}, ask: Look at {0}., expect: {{call: {{name: look}}}}}}\n"
PROJECT = {
    f"cases/{file}.yaml": "defaults: {tools: [{name: look}]}\ncases:\n"
    + "".join(CASE.format(f"{file}{n}") for n in (1, 2))
    for file in ("a", "b")
} | {"pyproject.toml": "[tool.pytest.ini_options]\n", "evals.toml": 'lanes = ["server"]\n'}


@dataclass(frozen=True)
class Ran:
    """What a run of pytest came to; `summary` is that of the run that it wrote, if it did."""

    code: int
    output: str
    summary: Any


@pytest.fixture
def server():
    """It calls `look`; a question with a word of `wrong` gets words."""
    with serve() as scripted:
        scripted.wrong = ()

        def answer(handler):
            text = json.dumps(scripted.bodies[-1]["messages"])
            if any(word in text for word in scripted.wrong):
                respond(completion({"role": "assistant", "content": "No."}))(handler)
            else:
                message = {"role": "assistant", "tool_calls": [call("look", "{}", id="1")]}
                respond(completion(message, "tool_calls"))(handler)

        scripted.answer = answer
        yield scripted


@pytest.fixture
def run(project, server, monkeypatch, capfd):
    """Runs pytest in the project with a plugin that has these hooks."""
    monkeypatch.chdir(project)

    def run(*options: str, places: tuple[str, ...] = ("cases",), **hooks: Any) -> Ran:
        capfd.readouterr()
        plugin = type("Plugin", (), {name: staticmethod(hook) for name, hook in hooks.items()})()
        given = ("--attach", server.server.url, "--run-dir", "run", "-p", "no:cacheprovider")
        code = pytest.main([*places, *given, *options], plugins=[plugin])
        told = capfd.readouterr()
        summary = Path("run", "summary.json")
        read = json.loads(summary.read_text()) if summary.exists() else None
        return Ran(int(code), told.out + told.err, read)

    return run


def test_all_that_is_asked_is_the_whole(run):
    ran = run()
    assert (ran.code, ran.summary["run"]["whole"]) == (0, True), ran.output


@pytest.hookimpl(wrapper=True)
def leave_two(items):
    del items[2:]
    return (yield)


@pytest.hookimpl(tryfirst=True)
def leave_three_first(items):
    del items[3:]


@pytest.hookimpl(wrapper=True)
def collect_one(collector):
    report = yield
    if collector.name == "b.yaml":
        del report.result[1:]
    return report


@pytest.hookimpl(wrapper=True)
def drop_file(file_path):
    found = yield
    return [] if file_path.name == "b.yaml" else found


@pytest.mark.parametrize(
    ("hook", "function"),
    [
        ("pytest_collection_modifyitems", leave_two),
        ("pytest_collection_modifyitems", leave_three_first),
        ("pytest_make_collect_report", collect_one),
        ("pytest_collect_file", drop_file),
    ],
)
def test_what_a_hook_leaves_of_the_suite_is_a_part_of_it(run, hook, function):
    ran = run(**{hook: function})
    assert ran.summary["run"]["whole"] is False, ran.output
    assert "gate: not judged (a part of the suite)" in ran.output
