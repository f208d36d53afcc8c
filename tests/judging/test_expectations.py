"""Each expectation in each lane: its perfect answer passes, near misses fail by their own kind."""

import json
from collections.abc import Iterator

import pytest
from builders import case as make_case
from scripted_server import TOOLS, Scripted, call, completion, respond, serve

from evals.judging.diagnosis import judge
from evals.lanes import agent, server, stream
from evals.loading.casefile import read_cases
from evals.observation import AGENT, SERVER, STREAM, Observation
from evals.results import Answer

OSLO = {"name": "get_weather", "arguments": {"city": "Oslo"}}
READ = {"name": "todoread"}
SAID = ("get_weather", {"city": "Oslo"})
TODO = ("todoread", {})

# expectation, what is right (text, calls), near misses by their kind
Row = tuple[dict, tuple[str, list], list[tuple[str, list, str]]]
ROWS: dict[str, Row] = {
    "not_call": (
        {"not_call": ["todoread"]},
        ("It is sunny.", []),
        [
            ("", [TODO], "forbidden_call"),
            ("", [SAID, TODO], "forbidden_call"),
            ("  ", [], "wrong_answer"),
            ("", [("get_weather", {"days": 1})], "schema"),
        ],
    ),
    "text beside a call": (
        {"call": OSLO, "answer": {"contains": ["moment"]}},
        ("One moment.", [SAID]),
        [
            ("", [SAID], "wrong_answer"),
            ("I look.", [SAID], "wrong_answer"),
            ("One moment.", [], "missing_call"),
            ("One moment.", [TODO], "wrong_tool"),
        ],
    ),
    "call or answer: a call": (
        {"any_of": [[OSLO], {"answer": {"contains": ["which city"]}}]},
        ("", [SAID]),
        [
            ("Sunny!", [], "wrong_answer"),
            ("", [("get_weather", {"city": "Rome"})], "wrong_value"),
            ("", [TODO], "wrong_tool"),
        ],
    ),
    "call or answer: an answer": (
        {"any_of": [[OSLO], {"answer": {"contains": ["which city"]}}]},
        ("Which city do you mean?", []),
        [
            ("", [], "wrong_answer"),
            ("Which one?", [], "wrong_answer"),
            ("It is sunny in Oslo.", [], "wrong_answer"),
            ("", [SAID, SAID], "spurious_call"),
        ],
    ),
    "some call": (
        {"some_call": True},
        ("", [TODO]),
        [
            ("Sure.", [], "missing_call"),
            ("", [("get_weather", {})], "schema"),
            ("", [("get_weather", {"city": 5})], "schema"),
        ],
    ),
    "extra calls": (
        {"call": OSLO, "extra": True, "not_call": ["delete"]},
        ("", [TODO, SAID]),
        [
            ("", [TODO], "wrong_tool"),
            ("", [TODO, ("get_weather", {"city": "Rome"})], "wrong_value"),
            ("", [SAID, ("delete", {})], "forbidden_call"),
            ("Sure.", [], "missing_call"),
        ],
    ),
    "order given, with extra calls": (
        {"calls": [OSLO, READ], "order": "given", "extra": True},
        ("", [("delete", {}), SAID, ("delete", {}), TODO]),
        [
            ("", [TODO, SAID], "another_order"),
            ("", [SAID], "missing_call"),
            ("", [TODO, ("delete", {}), SAID], "another_order"),
        ],
    ),
    "only some arguments": (
        {"call": {"name": "get_weather", "arguments": {"$partial": {"city": "Oslo"}}}},
        ("", [("get_weather", {"city": "Oslo", "days": 3})]),
        [
            ("", [("get_weather", {"city": "Rome", "days": 3})], "wrong_value"),
            ("", [("get_weather", {"days": 3})], "wrong_value"),
            ("", [TODO], "wrong_tool"),
        ],
    ),
    "letter case and white space": (
        {"call": {"name": "get_weather", "arguments": {"city": {"$text": "New York"}}}},
        ("", [("get_weather", {"city": " new  york\n"})]),
        [
            ("", [("get_weather", {"city": "newyork"})], "wrong_value"),
            ("", [("get_weather", {"city": "York"})], "wrong_value"),
            ("New York", [], "missing_call"),
        ],
    ),
    "a literal value": (
        {"call": {"name": "find", "arguments": {"filter": {"$literal": {"age": {"$gt": 1}}}}}},
        ("", [("find", {"filter": {"age": {"$gt": 1}}})]),
        [
            ("", [("find", {"filter": {"age": {"$gt": 2}}})], "wrong_value"),
            ("", [("find", {"filter": {"age": {"$gt": "1"}}})], "wrong_type"),
            ("", [("find", {"filter": {"age": 1}})], "wrong_value"),
            ("", [("find", {"filter": {}})], "wrong_value"),
        ],
    ),
    "pattern, texts and numbers of an answer": (
        {"answer": {"regex": "(?i)paid", "any_of": ["euro", "€"], "numbers": [1840]}},
        ("You PAID 1,840 euro.", []),
        [
            ("You owe 1,840 euro.", [], "wrong_answer"),
            ("You paid 1,840 dollars.", [], "wrong_answer"),
            ("You paid 11,840 euro.", [], "wrong_answer"),
            ("", [TODO], "spurious_call"),
        ],
    ),
}
MORE = [
    *TOOLS,
    {"name": "delete"},
    {
        "name": "find",
        "parameters": {"type": "object", "properties": {"filter": {"type": "object"}}},
    },
]


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    with serve() as running:
        yield running


def _message(text: str, calls: list) -> dict:
    made = [call(name, json.dumps(a), id=f"call_{i}") for i, (name, a) in enumerate(calls)]
    return {"role": "assistant", "content": text or None, **({"tool_calls": made} if made else {})}


def _streamed(text: str, calls: list) -> bytes:
    made = [
        {"index": i, **call(name, json.dumps(a), id=f"call_{i}")}
        for i, (name, a) in enumerate(calls)
    ]
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    delta = {"role": "assistant", "content": text, **({"tool_calls": made} if made else {})}
    finish = "tool_calls" if calls else "stop"
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    chunks = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {**head, "choices": [], "usage": usage},
    ]
    lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return f"{lines}data: [DONE]\n\n".encode()


def verdicts(scripted: Scripted, lane: str, case, text: str, calls: list) -> list:
    """What is said of an answer that a real server gives in a lane."""
    finish = "tool_calls" if calls else "stop"
    whole = completion(_message(text, calls), finish)
    scripted.answer = respond(_streamed(text, calls) if lane == "stream" else whole)
    traits = {"server": SERVER, "stream": STREAM, "agent": AGENT}[lane]
    ask = {"server": server.ask, "stream": stream.ask, "agent": agent.ask}[lane]
    seen = ask(scripted.server, case, timeout=10)
    asked = Answer(case=case, profile="p", traits=traits, request={}, observation=seen)
    judged = judge(asked)
    assert judged.scores is not None, (seen.error, judged)
    return list(judged.verdicts)


@pytest.mark.parametrize("lane", ["server", "stream", "agent"])
@pytest.mark.parametrize("name", ROWS)
def test_the_perfect_answer_passes_and_near_misses_fail_by_kind(scripted, name, lane):
    expect, (text, calls), misses = ROWS[name]
    case = make_case(expect, tools=MORE, max_tokens=24)
    right = verdicts(scripted, lane, case, text, calls)
    assert [found for found in right if not found.passed] == []
    if lane == "agent":  # the library refuses an empty response by itself
        misses = [miss for miss in misses if miss[0].strip() or miss[1]]
    assert len(misses) >= 3
    for said, made, kind in misses:
        failed = [v for v in verdicts(scripted, lane, case, said, made) if not v.passed]
        assert kind in [v.kind for v in failed], (said, made, failed)


OBJECT = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": OBJECT}}
STRICT = [{**TOOLS[1], "strict": True}]
# keys of the case, expectation, what is right, three that ignore the key
KEYS: dict[str, tuple[dict, dict, tuple[str, list], list[tuple[str, list]]]] = {
    "parallel_tool_calls": (
        {"parallel_tool_calls": False},
        {"some_call": True},
        ("", [SAID]),
        [("", [SAID, SAID]), ("", [TODO, SAID]), ("", [TODO, TODO, TODO])],
    ),
    "stop": (
        {"stop": ["END", "###"]},
        {"answer": {}},
        ("Paris.", []),
        [("Paris. END", []), ("###", []), ("Paris.### And", [])],
    ),
    "response_format object": (
        {"response_format": {"type": "json_object"}},
        {"answer": {}},
        ('{"a": 1}', []),
        [("Paris", []), ("[1]", []), ('```json\n{"a": 1}\n```', [])],
    ),
    "response_format schema": (
        {"response_format": JSON_SCHEMA},
        {"answer": {}},
        ('{"city": "Oslo"}', []),
        [('{"city": 5}', []), ("{}", []), ('{"city": "Oslo"', [])],
    ),
    "strict": (
        {"tools": STRICT},
        {"some_call": True},
        ("", [SAID]),
        [("", [("get_weather", a)]) for a in ({}, {"city": 5}, {"city": "Oslo", "days": "x"})],
    ),
}


@pytest.mark.parametrize("lane", ["server", "stream", "agent"])
@pytest.mark.parametrize("name", KEYS)
def test_what_ignores_a_key_of_the_request_is_a_violation(scripted, name, lane):
    keys, expect, (text, calls), wrong = KEYS[name]
    case = make_case(expect, **{"tools": TOOLS, "max_tokens": 24, **keys})
    right = verdicts(scripted, lane, case, text, calls)
    assert [found for found in right if not found.passed] == []
    for said, made in wrong:
        failed = [v for v in verdicts(scripted, lane, case, said, made) if not v.passed]
        assert ("request_ignored", True) in [(v.kind, v.is_violation) for v in failed], failed


@pytest.mark.parametrize("lane", ["server", "stream", "agent"])
def test_the_keys_are_in_the_request(scripted, lane):
    keys = {
        "parallel_tool_calls": False,
        "stop": ("END",),
        "top_p": 0.5,
        "response_format": {"type": "json_object"},
        "chat_template_kwargs": {"enable_thinking": False},
        "extra_body": {"min_p": 0.1, "nested": {"a": [1]}},
    }
    case = make_case({"some_call": True}, tools=STRICT, max_tokens=24, **keys)
    verdicts(scripted, lane, case, "", [SAID])
    sent = scripted.bodies[-1]
    wanted = {**keys, "stop": ["END"], **keys["extra_body"]}
    del wanted["extra_body"]
    assert {key: sent.get(key) for key in wanted} == wanted
    assert sent["tools"][0]["function"]["strict"] is True


def test_a_stop_word_that_cuts_a_call_is_nobodys_miss():
    raw = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Os;'
    case = make_case({"call": OSLO}, tools=TOOLS, stop=(";",))
    seen = Observation("server", 200, content=raw[:-1], finish_reason="stop", raw_text=raw)
    judged = judge(Answer(case=case, profile="p", traits=SERVER, request={}, observation=seen))
    first = judged.failed[0]
    assert (first.kind, first.layer) == ("stopped", "harness")
    assert not any(v.is_violation or v.is_miss for v in judged.failed)
    without = make_case({"call": OSLO}, tools=TOOLS)
    seen = Observation("server", 200, content="", finish_reason="stop", raw_text=raw)
    judged = judge(Answer(case=without, profile="p", traits=SERVER, request={}, observation=seen))
    assert judged.failed[0].layer == "model"


NOTES = [
    ("letter case and white space", "arguments", "$.city by $text"),
    ("only some arguments", "arguments", "$.days by $partial"),
    ("a literal value", "arguments", "$.filter.age.$gt by $literal"),
    ("extra calls", "tool_name", "also called, which is allowed: todoread"),
    ("call or answer: a call", "call_or_answer", "a call or an answer is right; a call came"),
    ("not_call", "call_or_answer", "a call or an answer is right; an answer came"),
    (
        "pattern, texts and numbers of an answer",
        "answer",
        '"euro" is in it; "(?i)paid" is found in it; 1840 is written as "1,840"',
    ),
]


@pytest.mark.parametrize(("name", "check", "note"), NOTES)
def test_a_passed_verdict_says_how_it_matched(scripted, name, check, note):
    expect, (text, calls), _ = ROWS[name]
    case = make_case(expect, tools=MORE, max_tokens=24)
    right = verdicts(scripted, "server", case, text, calls)
    assert next(v.reason for v in right if v.check == check) == note


FILES: dict[str, tuple[str, tuple[str, list], list[tuple[str, list, str]]]] = {
    "a template": (
        """
  - id: weather
    vars: [{city: Oslo, days: 2}]
    ask: Weather in {{city}} for {{days}} days?
    tools:
      - name: get_weather
        parameters: {properties: {city: {type: string}, days: {type: integer}}}
    expect: {call: {name: get_weather, arguments: {city: "{{city}}", days: "{{days}}"}}}
""",
        ("", [("get_weather", {"city": "Oslo", "days": 2})]),
        [
            ("", [("get_weather", {"city": "{{city}}", "days": 2})], "wrong_value"),
            ("", [("get_weather", {"city": "Oslo", "days": "2"})], "wrong_type"),
            ("Sunny.", [], "missing_call"),
        ],
    ),
    "a matrix": (
        """
  - id: weather
    vars: [{city: Oslo}]
    matrix: {days: [2]}
    ask: Weather in {{city}} for {{days}} days?
    tools:
      - name: get_weather
        parameters: {properties: {city: {type: string}, days: {type: integer}}}
    expect: {call: {name: get_weather, arguments: {$partial: {days: "{{days}}"}}}}
""",
        ("", [("get_weather", {"city": "Oslo", "days": 2})]),
        [
            ("", [("get_weather", {"city": "Oslo", "days": 3})], "wrong_value"),
            ("", [("get_weather", {"city": "Oslo"})], "wrong_value"),
            ("Sunny.", [], "missing_call"),
        ],
    ),
    "tools from a file": (
        """
  - id: listed
    ask: Read a.txt
    tools_from: tools.json
    expect: {call: {name: read, arguments: {path: {$text: A.TXT}}}}
""",
        ("", [("read", {"path": "a.txt"})]),
        [
            ("", [("write", {"path": "a.txt"})], "wrong_tool"),
            ("", [("read", {"path": "b.txt"})], "wrong_value"),
            ("", [("read", {})], "wrong_value"),
        ],
    ),
    "a conversation": (
        """
  - id: cart
    messages:
      - {role: user, content: [{type: text, text: "What is in my cart?"}]}
      - role: assistant
        tool_calls: [{id: c1, type: function, function: {name: get_cart, arguments: "{}"}}]
      - {role: tool, tool_call_id: c1, content: "2 apples, 1,840 pears"}
    tools: [{name: get_cart}]
    expect: {answer: {numbers: [2, 1840]}}
""",
        ("Two apples and 1840 pears.", []),
        [
            ("2 apples and 184 pears.", [], "wrong_answer"),
            ("Two apples.", [], "wrong_answer"),
            ("", [("get_cart", {})], "spurious_call"),
        ],
    ),
    "tools of OpenAI, MCP and Anthropic": (
        """
  - id: mixed
    ask: Read a.txt
    tools:
      - type: function
        function: {name: openai_read, parameters: {properties: {path: {type: string}}}}
      - {name: mcp.read, inputSchema: {type: object, properties: {path: {type: string}}}}
      - {name: anthropic_read, input_schema: {type: object, properties: {path: {type: string}}}}
    expect: {call: {name: mcp.read, arguments: {path: a.txt}}}
""",
        ("", [("mcp.read", {"path": "a.txt"})]),
        [
            ("", [("openai_read", {"path": "a.txt"})], "wrong_tool"),
            ("", [("anthropic_read", {"path": "a.txt"})], "wrong_tool"),
            ("", [("mcp.read", {"path": "b.txt"})], "wrong_value"),
        ],
    ),
}


LISTED = {
    "tools": [
        {"name": n, "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}}}
        for n in ("read", "write")
    ]
}


@pytest.mark.parametrize("lane", ["server", "stream", "agent"])
@pytest.mark.parametrize("name", FILES)
def test_what_a_file_says_is_asked_and_judged(scripted, tmp_path, name, lane):
    text, (said, calls), misses = FILES[name]
    (tmp_path / "a.yaml").write_text(f"cases:{text}")
    (tmp_path / "tools.json").write_text(json.dumps(LISTED))
    (case,) = read_cases([tmp_path / "a.yaml"], tmp_path)
    right = verdicts(scripted, lane, case, said, calls)
    assert [found for found in right if not found.passed] == []
    for other, made, kind in misses:
        failed = [v for v in verdicts(scripted, lane, case, other, made) if not v.passed]
        assert kind in [v.kind for v in failed], (other, made, failed)
