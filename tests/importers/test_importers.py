"""Importers on rows as they are and as they should not be; what is written is read back."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from evals.cli import app
from evals.importers import exporters
from evals.importers.bfcl import read_bfcl
from evals.importers.case_text import case_file_text
from evals.importers.drafts import Listed, Names, case_id, checked, write
from evals.importers.logs import read_log
from evals.importers.promptfoo import read_promptfoo
from evals.loading.casefile import find_case_files, read_cases

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
MATHS = {
    "name": "maths.area",
    "description": "An area.",
    "parameters": {
        "type": "dict",
        "properties": {
            "base": {"type": "float"},
            "unit": {"type": "string"},
            "shape": {"type": "dict", "properties": {"kind": {"type": "string"}}},
            "corners": {"type": "tuple", "items": {"type": "integer"}},
            "tag": {"type": "any"},
        },
        "required": ["base", "nothing"],
    },
}


def bfcl_rows(*truths):
    rows, answers = [], []
    for number, truth in enumerate(truths):
        question = [[{"role": "user", "content": f"Area {number}?"}]]
        rows.append({"id": f"simple_python_{number}", "question": question, "function": [MATHS]})
        answers.append({"id": rows[-1]["id"], "ground_truth": [{"maths.area": truth}]})
    return rows, answers


def write_bfcl(folder, rows, answers, kind="simple_python"):
    for name, lines in ((kind, rows), (f"possible_answer/{kind}", answers)):
        place = folder / name.replace(kind, f"BFCL_v4_{kind}.json")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def read_back(imported, folder):
    write(checked(imported), folder / "cases")
    return read_cases(find_case_files([folder / "cases"]), folder)


def test_what_bfcl_allows_stands_in_the_case(tmp_path):
    truth = {
        "base": [10, 10.5],
        "unit": ["cm", ""],
        "shape": [{"kind": ["Square"]}],
        "corners": [[1, 2]],
        "tag": [""],
    }
    imported = read_bfcl(write_bfcl(tmp_path / "data", *bfcl_rows(truth)))
    [case] = read_back(imported, tmp_path)
    assert case.expect.call.name == "maths_area"
    assert case.expect.call.arguments == {
        "base": {"$any_of": [10, 10.5]},
        "unit": {"$optional": {"$text": "cm"}},
        "shape": {"kind": {"$text": "Square"}},
        "corners": [1, 2],
    }
    assert case.tools[0].parameters["properties"]["corners"]["type"] == "array"
    assert "type" not in case.tools[0].parameters["properties"]["tag"]
    assert [str(note) for note in imported.notes] == [
        "bfcl-eval: tool 'maths.area' is named 'maths_area': engines refuse the name"
    ]


def test_a_row_that_nothing_satisfies_and_a_broken_line_are_listed(tmp_path):
    rows, answers = bfcl_rows({"base": ["ten"]}, {"base": [3]})
    folder = write_bfcl(tmp_path / "data", rows, answers)
    with (folder / "BFCL_v4_simple_python.json").open("a") as file:
        file.write('{"id": \n')
    usable = checked(read_bfcl(folder))
    assert usable.count == 1
    told = sorted(map(str, usable.unusable))
    assert told[0].startswith("BFCL_v4_simple_python.json:1 (simple_python_0): expect: ")
    assert told[1].startswith("BFCL_v4_simple_python.json:3: not JSON")


def test_bfcl_read_written_and_read_again_is_the_same(tmp_path):
    truth = {"base": [10, 2], "unit": ["cm", ""], "shape": [{"kind": ["Square", "Box"]}]}
    first = read_back(read_bfcl(write_bfcl(tmp_path / "data", *bfcl_rows(truth))), tmp_path / "a")
    for name, text in exporters.to_bfcl(first).files.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text(text)
    again = read_back(read_bfcl(tmp_path / "out"), tmp_path / "b")
    assert [case.expect for case in again] == [case.expect for case in first]
    assert [case.tools for case in again] == [case.tools for case in first]


PROMPTFOO = """
prompts: ["Weather in {{city}}?", file://prompt.py]
providers:
  - id: openai:chat:gpt
    config: {tools: file://tools.json}
defaultTest:
  assert: [{type: latency, threshold: 100}]
tests:
  - vars: {city: [Oslo, Rome]}
    assert: [{type: is-valid-openai-tools-call}]
  - description: Names the tool
    vars: {city: Bergen}
    assert:
      - {type: tool-call-f1, value: [get_weather]}
      - {type: javascript, value: "require('fs').writeFileSync('ran', '')"}
  - vars: {city: Paris}
    assert: [{type: javascript, value: "true"}]
  - vars: {town: Paris}
    assert: [{type: is-valid-openai-tools-call}]
"""


def write_promptfoo(folder, text=PROMPTFOO):
    folder.mkdir()
    (folder / "promptfooconfig.yaml").write_text(text)
    (folder / "tools.json").write_text(json.dumps([TOOL]))
    (folder / "prompt.py").write_text("open('ran', 'w')")
    return folder / "promptfooconfig.yaml"


def test_promptfoo_is_read_and_its_code_is_listed_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    imported = read_promptfoo(write_promptfoo(tmp_path / "suite"))
    cases = read_back(imported, tmp_path)
    assert [case.question for case in cases] == [
        f"Weather in {c}?" for c in ("Oslo", "Rome", "Bergen")
    ]
    assert [bool(case.expect.some_call) for case in cases] == [True, True, False]
    assert cases[2].expect.call.name == "get_weather"
    unusable = [str(one).partition("promptfooconfig.yaml:")[2] for one in imported.unusable]
    assert unusable == [
        "16: tests[2]: no assertion that can be imported: javascript: needs code, another model or "
        "what a case cannot say; it is not run; latency: needs code, another model or what a case "
        "cannot say; it is not run",
        "18: tests[3]: the prompt has {{city}}, and the test no such variable",
    ]
    assert any("prompt.py" in str(note) and "not run" in str(note) for note in imported.notes)
    assert not list(tmp_path.rglob("ran"))


def test_texts_without_tools_are_what_the_answer_must_hold(tmp_path):
    text = """
prompts: ["Say {{word}}"]
tests:
  - vars: {word: hello}
    assert:
      - {type: icontains, value: hello}
      - {type: not-contains, value: bye}
      - {type: starts-with, value: "He said (once)"}
  - vars: {word: json}
    assert: [{type: contains-json, value: {type: object}}, {type: equals, value: "{}"}]
"""
    imported = read_promptfoo(write_promptfoo(tmp_path / "suite", text))
    cases = read_back(imported, tmp_path)
    assert [note.why for note in imported.notes] == ["contains-json: its schema is not read"]
    answer = cases[0].expect.answer
    assert (answer.contains, answer.not_contains) == (("hello",), ("bye",))
    assert answer.regex == r"^\s*He\ said\ \(once\)"
    assert "[" in cases[1].expect.answer.regex


def test_cases_go_to_promptfoo_and_come_back(tmp_path):
    source = (
        "defaults: {tools: [{name: look, parameters: {properties: {at: {type: string}}}}]}\n"
        "cases:\n"
        "  - {id: a, ask: Look., expect: {call: {name: look, arguments: {at: {$text: it}}}}}\n"
        "  - {id: b, system: Be brief., ask: Hello, expect: {answer: {any_of: [hi, hello]}}}\n"
        "  - {id: c, ask: Look?, expect: {not_call: [look]}}\n"
    )
    (tmp_path / "a.yaml").write_text(source)
    first = read_cases([tmp_path / "a.yaml"], tmp_path)
    [(name, text)] = exporters.to_promptfoo(first).files.items()
    (tmp_path / name).write_text(text)
    again = read_back(read_promptfoo(tmp_path / name), tmp_path)
    for attribute in ("id", "expect", "messages", "tools"):
        assert [getattr(c, attribute) for c in again] == [getattr(c, attribute) for c in first]


def log_line(message, **more):
    request = {"messages": [{"role": "user", "content": "Weather in Oslo?"}], "tools": [TOOL]}
    return json.dumps({"request": request, "response": {"choices": [{"message": message}]}, **more})


CALL = {"id": "1", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}


def test_a_log_becomes_cases_to_review(tmp_path):
    rows = [
        log_line({"role": "assistant", "tool_calls": [CALL]}),
        log_line({"role": "assistant", "content": "Fine."}),
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Hello"},
                ]
            }
        ),
        '{"request": ',
        json.dumps({"request": {"messages": []}}),
        log_line({"tool_calls": [{**CALL, "function": {"name": "get_weather", "arguments": "{"}}]}),
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(rows))
    imported = checked(read_log(tmp_path / "log.jsonl"))
    cases = read_back(imported, tmp_path)
    assert [case.id for case in cases] == ["weather-in-oslo", "weather-in-oslo-2", "hi"]
    assert cases[0].expect.call.arguments == {"city": "Oslo"}
    assert cases[1].expect.needs_answer
    assert all(case.tags == ("to-review",) for case in cases)
    assert [str(one).partition("log.jsonl:")[2][:24] for one in imported.unusable] == [
        "4: not JSON: Expecting v",
        "5: there is no response",
        "6: arguments of get_weat",
    ]


def test_names_that_engines_refuse_are_changed_each_to_one_of_its_own():
    names = Names()
    assert [names(n) for n in ("a.b", "a b", "ok", "a.b")] == ["a_b", "a_b_2", "ok", "a_b"]


@pytest.mark.parametrize(
    ("text", "name"),
    [("What's up, Oslo?", "whats-up-oslo"), ("", "case"), ("日本", "case"), ("x" * 90, "x" * 60)],
)
def test_any_text_gives_an_id(text, name):
    assert case_id(text) == name
    assert case_id(text, [name]) == f"{name}-2"


def test_nothing_usable_is_an_error_and_nothing_is_written(tmp_path):
    (tmp_path / "log.jsonl").write_text("no json\n")
    to = tmp_path / "cases"
    arguments = ["import", "log", str(tmp_path / "log.jsonl"), "--to", str(to)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "log.jsonl:1: not JSON" in result.output
    assert not to.exists()


def test_a_file_that_is_there_is_kept_unless_force_is_given(tmp_path):
    (tmp_path / "log.jsonl").write_text(log_line({"content": "Fine."}) + "\n")
    arguments = ["import", "log", str(tmp_path / "log.jsonl"), "--to", str(tmp_path / "c")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    written = (tmp_path / "c/log.yaml").read_text()
    assert written.startswith("# Imported from log.jsonl; licence: not said.\ncases:\n")
    (tmp_path / "c/log.yaml").write_text("mine\n")
    assert CliRunner().invoke(app, arguments).exit_code == 1
    assert (tmp_path / "c/log.yaml").read_text() == "mine\n"
    assert CliRunner().invoke(app, [*arguments, "--force"]).exit_code == 0
    assert (tmp_path / "c/log.yaml").read_text() == written


def test_what_an_import_before_could_not_take_is_not_said_of_this_one(tmp_path):
    log, report = tmp_path / "log.jsonl", tmp_path / "c/import-report.txt"
    arguments = ["import", "log", str(log), "--to", str(tmp_path / "c"), "--force"]
    for spoilt in ("no json\n", ""):
        log.write_text(log_line({"content": "Fine."}) + "\n" + spoilt)
        assert CliRunner().invoke(app, arguments).exit_code == 0
        assert report.exists() == bool(spoilt)


USER = {"role": "user", "content": "Hi"}
ANTHROPIC = {"content": [{"type": "tool_use", "name": "look", "input": {}}]}
EVENTS = 'data: {"choices": [{"delta": {"tool_calls": []}}]}\n\ndata: [DONE]\n\n'


def read_rows(folder, *rows):
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    (folder / "log.jsonl").write_bytes(b"\n".join(lines))
    return checked(read_log(folder / "log.jsonl"))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"messages": [USER], "response": ANTHROPIC}, "a part of type 'tool_use'"),
        ({"messages": [USER], "response": EVENTS}, "a stream of events"),
        ({"messages": [USER], "response": [{"choices": []}]}, "the response is a list"),
        ({"messages": [USER], "response": '{"error": "no"}'}, "neither text nor calls"),
        ({"messages": [USER], "response": "x", "system": [{"type": "text"}]}, "system is no text"),
        ({"messages": [USER], "response": "x", "tool_choice": {"type": "tool"}}, "not OpenAI's"),
        (b"\xff\xfe{", "invalid start byte"),
        (b"[" * 5_000, "nested deeper"),
        (b'{"messages": [], "messages": []}', "duplicate key"),
    ],
)
def test_of_a_log_what_cannot_be_told_is_listed_and_spoils_nothing_else(tmp_path, row, why):
    good = {"messages": [USER], "response": "Hello"}
    imported = read_rows(tmp_path, good, row, b"", good, b"  ")
    assert [str(one).partition("log.jsonl:")[2][:2] for one in imported.unusable] == ["2:"]
    assert why in imported.unusable[0].why
    assert imported.count == 2


def test_a_log_with_all_that_a_client_writes_is_asked_as_it_was(tmp_path):
    nothing = {"refusal": None, "annotations": [], "audio": None, "function_call": None}
    dotted = {"type": "function", "function": {"name": "a.b", "parameters": {"type": "object"}}}
    taken = {"type": "function", "function": {"name": "a_b", "parameters": {"type": "object"}}}
    call = {"id": "1", "type": "function", "function": {"name": "a.b", "arguments": "{}"}}
    request = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look."}]},
            {"role": "assistant", "content": None, "tool_calls": [call], **nothing},
            {"role": "tool", "tool_call_id": "1", "content": "milk"},
            {"role": "user", "content": "Again.", "name": None},
        ],
        "tools": [dotted, taken],
        "system": "Be brief.",
        "tool_choice": {"type": "function", "function": {"name": "a.b"}},
        "temperature": 0.7,
    }
    legacy = {"content": "I look.", "function_call": {"name": "a_b", "arguments": "{}"}}
    body = json.dumps({"choices": [{"message": {"content": None, "tool_calls": [call]}}]})
    plain = {"messages": [USER], "functions": [taken["function"]], "response": legacy}
    imported = read_rows(tmp_path, {"request": request, "response": body}, plain)
    assert not imported.unusable
    case, other = read_back(imported, tmp_path)
    assert [message["role"] for message in case.messages] == [
        *("system", "user", "assistant", "tool", "user")
    ]
    assert case.messages[2]["tool_calls"][0]["function"]["name"] == "a_b"
    assert [tool.name for tool in case.tools] == ["a_b", "a_b_2"]
    assert (case.expect.call.name, case.tool_choice["function"]["name"]) == ("a_b", "a_b")
    assert other.expect.call.name == "a_b_2"
    assert [tool.name for tool in other.tools] == ["a_b_2"]
    assert any("`temperature` of 1 requests" in note.why for note in imported.notes)


def test_what_is_imported_writes_no_lines_of_its_own_and_does_not_act(tmp_path):
    evil = "x\ncases: [1]\x1b[31m\u202e\u2028"
    imported = read_rows(tmp_path, {"messages": [USER], "response": "Hello"}, {"id": evil})
    imported.source, imported.license = evil, evil
    [case] = read_back(imported, tmp_path)
    assert case.question == "Hi"
    imported.unusable[0].why.encode()
    text = case_file_text([{"id": "a", "#": f"said: {evil}", "ask": "Hi"}], comments=[evil])
    assert yaml.safe_load(text) == {"cases": [{"id": "a", "ask": "Hi"}]}
    assert str(Listed(evil, evil)).isprintable()


def of_promptfoo(folder, text):
    return checked(read_promptfoo(write_promptfoo(folder / "suite", text)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{vars: {w: a}, assert: 5}", "assertions are a list"),
        ("{vars: {w: a}, threshold: 0.5, assert: [{type: contains, value: a}]}", "threshold"),
        ("{vars: {w: a}, options: {transform: x}, assert: [{type: contains, value: a}]}", "transf"),
        ("{vars: {w: a}, options: {prefix: x}, assert: [{type: contains, value: a}]}", "prefix"),
        ('{vars: {w: "{{v}}"}, assert: [{type: contains, value: a}]}', "a template itself"),
        ("{vars: {w: a}, assert: [{type: assert-set, threshold: 0.5, assert: []}]}", "assert-set"),
        ("{vars: {w: a}, assert: [{type: contains, value: a, weight: 0}]}", "the weight 0"),
        ("{vars: file://%s, assert: [{type: contains, value: a}]}" % ("a" * 300), "no data"),
        ("{vars: file://%s.json, assert: [{type: contains, value: a}]}" % ("a" * 300), "cannot be"),
        ("{metadata: {toolcall_evals: {expect: 5}}, vars: {w: a}}", "not as promptfoo's tests"),
    ],
)
def test_a_test_of_promptfoo_that_means_something_else_is_listed(tmp_path, text, why):
    good = "{vars: {w: b}, assert: [{type: contains, value: b}]}"
    imported = of_promptfoo(tmp_path, f"prompts: ['Say {{{{w}}}}']\ntests: [{text}, {good}]\n")
    assert [one.why for one in imported.unusable if why in one.why], imported.unusable
    assert imported.count == 1


def test_what_promptfoo_reads_beside_a_list_is_read_or_listed(tmp_path):
    text = """
prompts: [chat.json, two.txt, "{{chat}}", code.py]
defaultTest: file://default.yaml
scenarios: [{}]
tests:
  - &first
    vars: {w: x, chat: '[{"role": "system", "content": "B"}, {"role": "user", "content": "A"}]'}
    assert: &wanted
      - {type: contains-any, value: 'a, "b, c"'}
      - {type: icontains-any, value: [d, e]}
  - {<<: *first, description: again}
"""
    folder = tmp_path / "suite"
    path = write_promptfoo(folder, text)
    part = {"type": "text", "text": "Say {{w}}"}
    (folder / "chat.json").write_text(json.dumps([{"role": "user", "content": [part]}]))
    (folder / "two.txt").write_text("\ufeffOne {{w}}\n---\nTwo {{w}}\n")
    (folder / "default.yaml").write_text("assert: [{type: contains, value: f}]")
    imported = read_promptfoo(path)
    cases = read_back(imported, tmp_path)
    assert [case.messages[-1]["content"] for case in cases[:4]] == [
        *([{"type": "text", "text": "Say x"}], "One x\n", "\nTwo x\n", "A")
    ]
    assert len(cases) == 8
    answer = cases[0].expect.answer
    assert (answer.any_of, answer.contains, answer.regex) == (("a", "b, c"), ("f",), "(?i:d|e)")
    assert [one.why for one in imported.unusable] == ["scenarios are not read"]
    assert any("code.py" in note.why for note in imported.notes)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("[1]", "not a JSON object"),
        ("[" * 5_000, "nested deeper"),
        ('{"id": ["x"], "question": []}', "not as BFCL's rows are"),
    ],
)
def test_a_row_of_bfcl_in_another_shape_is_listed(tmp_path, row, why):
    rows, answers = bfcl_rows({"base": [1]}, {"$any_of": [1]})
    rows[0]["question"][0][0]["content"] = "A\u2028B\x85C"
    folder = write_bfcl(tmp_path / "data", rows, answers)
    lines = [row, *(json.dumps(one, ensure_ascii=False) for one in rows)]
    (folder / "BFCL_v4_simple_python.json").write_text("\n".join(lines), encoding="utf-8-sig")
    imported = checked(read_bfcl(folder))
    assert imported.count == 1
    assert ["would be a matcher" in str(one) for one in imported.unusable].count(True) == 1
    assert any(why in str(one) for one in imported.unusable)
    assert len(imported.unusable) == 2
