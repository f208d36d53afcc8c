"""The API for tests of one's own: cases, a target, an answer, and the story of a failure."""

import ast
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from builders import ENTRY
from scripted_server import call, completion, respond, serve

import evals
from evals import (
    CaseFailed,
    HarnessError,
    Tool,
    api,
    judge_response,
    load_cases,
    make_case,
    open_target,
    tools_of_functions,
)
from evals.errors import CaseFileError, ConfigError

ROOT = Path(evals.__file__).parent
LOOK = Tool(name="look", parameters={"type": "object", "properties": {"at": {"type": "string"}}})
CASE = make_case(
    "Look at it.", tools=[LOOK], expect={"call": {"name": "look", "arguments": {"at": "it"}}}
)


def calling(arguments):
    message = {"role": "assistant", "tool_calls": [call("look", arguments, id="1")]}
    return completion(message, "tool_calls")


def test_a_target_is_asked_and_a_wrong_answer_tells_its_story():
    with serve() as server:
        server.answer = respond(calling('{"at": "it"}'))
        with open_target(server.server.url, root="/") as target:
            right = target.ask(CASE).check()
            server.answer = respond(calling('{"at": "them"}'))
            wrong = target.ask(CASE)
    assert (right.passed, right.calls) == (True, [("look", {"at": "it"})])
    assert not wrong.passed
    with pytest.raises(CaseFailed) as failed:
        wrong.check()
    assert "Look at it." in str(failed.value)
    assert '"them"' in str(failed.value)
    assert f"curl -s {target.url}/chat/completions" in str(failed.value)


def test_what_is_no_whole_answer_is_an_error_and_no_failure():
    with serve() as server:
        server.answer = respond(calling('{"at": "it"}'))
        with open_target(server.server.url, root="/") as target:
            server.answer = lambda handler: handler.send_error(500)
            with pytest.raises(HarnessError):
                target.ask(CASE).check()


def test_a_response_is_judged_without_a_server():
    body = calling('{"at": "it"}')
    body = json.loads(body) if isinstance(body, str | bytes) else body
    assert judge_response(CASE, body).passed
    body["choices"][0]["message"] = {"role": "assistant", "content": "No."}
    body["choices"][0]["finish_reason"] = "stop"
    assert not judge_response(CASE, body).passed


def test_a_case_that_nothing_satisfies_is_refused_where_it_is_made():
    with pytest.raises(CaseFileError, match="nosuch"):
        make_case("Do.", tools=[LOOK], expect={"call": {"name": "nosuch"}})


def test_cases_are_loaded_from_the_configured_folders(tmp_path):
    (tmp_path / "evals.toml").write_text('cases = ["suite"]\n')
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite/a.yaml").write_text("cases: [{id: a, ask: Hi, expect: {answer: {}}}]\n")
    assert [case.node for case in load_cases(root=tmp_path)] == ["suite/a.yaml::a"]
    assert load_cases("suite/a.yaml", root=tmp_path) == load_cases(root=tmp_path)


def test_a_function_whose_annotations_have_no_schema_is_named():
    def takes_socket(one: socket.socket) -> None:
        raise AssertionError

    with pytest.raises(ConfigError, match=r"takes_socket.* makes no tool: .*socket"):
        tools_of_functions([takes_socket])


def test_functions_become_tools_and_are_not_called():
    def book_table(guests: int, city: str = "Oslo") -> str:
        """Book a table.

        Args:
            guests: How many come.
            city: Where.
        """
        raise AssertionError

    [tool] = tools_of_functions([book_table])
    assert (tool.name, tool.description) == ("book_table", "Book a table.")
    assert tool.parameters["required"] == ["guests"]
    assert tool.parameters["properties"]["guests"]["type"] == "integer"
    expect = {"call": {"name": "book_table", "arguments": {"guests": 2}}}
    assert make_case("A table for two.", tools=[book_table], expect=expect).tools == (tool,)


def test_everything_that_is_offered_is_there():
    for name in evals.__all__:
        assert getattr(evals, name)
    with pytest.raises(AttributeError):
        evals.nosuch  # noqa: B018


def test_in_a_test_the_fixture_asks_and_fails_with_the_story(tmp_path):
    (tmp_path / "evals.toml").write_text("")
    (tmp_path / "test_it.py").write_text(
        "import pytest\nfrom evals import Tool, make_case\n"
        "@pytest.mark.parametrize('at', ['it', 'them'])\n"
        "def test_look(evals_ask, at):\n"
        "    expect = {'call': {'name': 'look', 'arguments': {'at': at}}}\n"
        "    evals_ask(make_case(f'Look at {at}.', tools=[Tool(name='look', parameters={'type': "
        "'object', 'properties': {'at': {'type': 'string'}}})], expect=expect))\n"
    )
    with serve() as server:
        server.answer = respond(calling('{"at": "it"}'))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *ENTRY, "-q", "--attach", server.server.url],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
        )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "Look at them." in done.stdout
    assert "evals/api.py" not in done.stdout.partition("short test summary")[0]


def test_package_stub_and_module_name_the_same():
    stub = ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8"))
    listed = next(
        ast.literal_eval(node.value)
        for node in stub.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert listed == evals.__all__ == api.__all__
    assert [getattr(evals, name) for name in listed] == [getattr(api, name) for name in listed]
