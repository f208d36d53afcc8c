"""The audit: silent on the shipped model's data, and loud on each fault planted in it."""

import copy
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from evals.config import cache_folder
from evals.errors import ConfigError
from evals.lanes.tokens import load_tokenizer, render
from evals.loading.casefile import find_case_files, read_cases
from evals.models.build import cached_base
from evals.training.audit import audit, read_rows
from evals.training.encode import encode
from evals.training.recipe import dataset

ROOT = Path(__file__).parents[2]
QUESTION = "Could you please tell me how many penguins live on the southern island?"


@pytest.fixture(scope="module")
def data():
    return dataset(ROOT / "cases" / "tools")


@pytest.fixture(scope="module")
def cases():
    return [(c.node, c.question) for c in read_cases(find_case_files([ROOT / "cases"]), ROOT)]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(cached_base(cache_folder()))


@pytest.fixture
def problems(data, tokenizer):
    """Audits rows, by default a part of the shipped ones; returns the problems by check."""

    def run(rows=None, validation=None, cases=(), learned=None):
        result = audit(
            data[0][:400] if rows is None else rows,
            data[1] if validation is None else validation,
            cases,
            learned or (lambda row: encode(row, tokenizer)),
            lambda request: render(tokenizer, request),
        )
        return [(problem.check, problem.text) for problem in result.problems]

    return run


def _asking(rows, question):
    planted = copy.deepcopy(rows[:400])
    planted[100]["messages"][1]["content"] = question
    return planted


def _with_a_call_as(rows, text):
    """Rows in which one of the calls stands as text in the content."""
    planted = copy.deepcopy(rows[:400])
    message = next(m for row in planted for m in row["messages"] if m.get("tool_calls"))
    name = message.pop("tool_calls")[0]["function"]["name"]
    message["content"] = text.replace("NAME", name)
    return planted


def test_the_shipped_data_has_no_problem_with_any_case(problems, data, cases):
    assert problems(data[0], data[1], cases) == []


def test_a_wide_catalogue_is_behind_the_data(data):
    rows = data[0]
    assert sum(m["role"] == "assistant" for row in rows for m in row["messages"]) >= 5000
    tools = {t["function"].get("description") for row in rows for t in row.get("tools", ())}
    assert len(tools - {None}) >= 60


@pytest.mark.parametrize(
    "asked",
    [
        QUESTION,
        QUESTION.upper().replace("?", " !"),
        QUESTION.replace("penguins", "puffins"),
        "By the way. could you please tell me how many penguins live here? Thanks a lot in advance",
    ],
    ids=["the same", "other case and marks", "another word", "eight words in a row"],
)
def test_a_case_in_the_data_is_a_leak(problems, data, asked):
    found = problems(_asking(data[0], asked), cases=[("some/case.yaml::penguins", QUESTION)])
    assert [check for check, _ in found] == ["leakage"]
    assert "some/case.yaml::penguins" in found[0][1]


def test_a_question_about_the_same_things_is_no_leak(problems, data):
    asked = "How many puffins does the northern island have?"
    assert problems(_asking(data[0], asked), cases=[("penguins", QUESTION)]) == []


def test_a_call_in_another_format_is_seen(problems, data):
    fence = '```json\n{"name": "NAME", "arguments": {}}\n```'
    found = problems(_with_a_call_as(data[0], fence))
    assert {check for check, _ in found} == {"format"}
    assert "json-fence" in found[0][1]


def test_half_a_call_is_seen(problems, data):
    found = problems(_with_a_call_as(data[0], "<tool_call>\n<function=NAME>\n"))
    assert [check for check, _ in found] == ["format"]


def _only(rows, wanted):
    """Rows of one exchange whose answer is as wanted."""
    return [
        row
        for row in rows
        if len(row["messages"]) == 3 and wanted(row["messages"][2].get("tool_calls"))
    ]


def test_calls_alone_are_uneven(problems, data):
    found = problems(_only(data[0], lambda calls: calls))
    assert ("balance", "100% of the answers call; allowed 60% to 80%") in found


def test_too_few_calls_without_arguments_are_uneven(problems, data):
    rows = _only(data[0], lambda calls: not calls or calls[0]["function"]["arguments"] != "{}")
    assert any("have no argument" in text for check, text in problems(rows) if check == "balance")


def test_a_rare_tool_is_uneven(problems, data):
    rare = next(m for m in data[0][0]["messages"] if m["role"] == "assistant")
    name = "brew_tea"
    call = {"type": "function", "function": {"name": name, "arguments": "{}"}}
    declared = {"name": name, "description": "Brew tea.", "parameters": {"type": "object"}}
    tool = {"type": "function", "function": declared}
    row = {
        "messages": [
            *data[0][0]["messages"][:1],
            {"role": "user", "content": "Tea!"},
            {**rare, "content": "", "tool_calls": [call]},
        ],
        "tools": [tool],
    }
    assert any("'Brew tea.' is called 1 times" in text for _, text in problems([*data[0], row]))


def test_a_system_message_that_only_some_rows_have_is_uneven(problems, data):
    rows = copy.deepcopy(data[0][:400])
    rows[5]["messages"][0]["content"] = "You are a pirate."
    assert [check for check, _ in problems(rows)] == ["balance"]


def test_validation_questions_in_the_data_are_an_overlap(problems, data):
    sample = random.Random(1).sample(data[0][:400], 20)
    assert [check for check, _ in problems(validation=sample)] == ["overlap"]


def test_another_prompt_than_the_servers_is_seen(problems, data, tokenizer):
    def with_a_preamble(row):
        first, *others = row["messages"]
        return encode(
            {**row, "messages": [{**first, "content": "Call tools. " + first["content"]}, *others]},
            tokenizer,
        )

    assert {check for check, _ in problems(learned=with_a_preamble)} == {"prompt"}


def test_tools_without_descriptions_are_no_accident(problems, data):
    rows = copy.deepcopy([row for row in data[0] if row.get("tools")][:50])
    for row in rows:
        for tool in row["tools"]:
            tool["function"].pop("description", None)
    assert {check for check, _ in problems(rows)} <= {"balance"}


def _audit(*arguments):
    return subprocess.run(
        [Path(sys.executable).with_name("evals"), "model", "audit", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_the_command_fails_on_a_planted_case(data, cases, tmp_path):
    path = tmp_path / "rows.jsonl"
    name, question = cases[50]
    for rows, code in ((data[0][:400], 0), (_asking(data[0], question), 1)):
        path.write_text("\n".join(json.dumps(row) for row in rows))
        done = _audit(path)
        assert done.returncode == code, done.stdout + done.stderr
        assert (name in done.stdout) == bool(code)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ('{"text": "<|im_start|>user"}', "rows.jsonl:1 is no row with messages"),
        ('{"messages": [{"role": "user", "content": "Hi"}]}', "no answer to learn"),
    ],
)
def test_a_file_of_other_rows_is_refused(tmp_path, text, message):
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_rows(path)
