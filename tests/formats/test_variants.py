"""Variants of what models write: other spellings, other tags, and tags that are merely named."""

import json

import builders
import pytest

from evals.case import Tool
from evals.formats.model_text import read_model_text
from evals.observation import Call

TOOLS = (
    Tool(name="todoread"),
    Tool(
        name="f",
        parameters={
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "items": {"type": "array", "items": {"type": "string"}},
                "thing": {"type": "object"},
                "maybe": {"type": ["string", "null"]},
                "free": {},
            },
        },
    ),
)
CALL = '{"name": "f", "arguments": {"text": "a"}}'


def failed(expect, raw, came=(), parsed="qwen3-coder-xml", content=None, ask="Please explain."):
    """The kinds and layers of what fails, where a server delivers `came` and `content`."""
    calls = tuple(Call(n, json.dumps(a), id=str(i)) for i, (n, a) in enumerate(came))
    seen = builders.observation(
        calls=calls,
        content=content,
        raw_text=raw,
        finish_reason="tool_calls" if calls else "stop",
    )
    found = builders.judge(
        builders.case(expect, ask, tools=TOOLS), seen, call_format=parsed
    ).verdicts
    return {(v.check, str(v.kind), str(v.layer)) for v in found if not v.passed}


XML = "<tool_call>\n<function=f>\n<parameter={}>\n{}\n</parameter>\n</function>\n</tool_call>"
GLM = "<tool_call>f<arg_key>{}</arg_key><arg_value>{}</arg_value></tool_call>"


@pytest.mark.parametrize("value", [5, "5"])
@pytest.mark.parametrize("key", ["free", "limit"])
@pytest.mark.parametrize(("parsed", "form"), [("qwen3-coder-xml", XML), ("glm", GLM)])
def test_a_value_of_no_declared_type_is_faithful_as_text_and_as_what_it_looks_like(
    parsed, form, key, value
):
    expect = {"call": {"name": "f", "arguments": {key: value}}}
    raw = form.format(key, 5)
    assert failed(expect, raw, [("f", {key: value})], parsed) == set()
    changed = failed(expect, raw, [("f", {key: 6})], parsed)
    assert ("faithful", "changed_arguments", "parser") in changed


@pytest.mark.parametrize("value", [None, "None"])
def test_a_null_in_the_spelling_of_python_may_be_text_where_text_is_allowed(value):
    expect = {"call": {"name": "f", "arguments": {"maybe": value}}}
    assert failed(expect, XML.format("maybe", "None"), [("f", {"maybe": value})]) == set()


def test_line_ends_of_windows_belong_to_the_form():
    raw = XML.format("text", "a\nb").replace("\n", "\r\n")
    (call,) = read_model_text(raw, TOOLS).calls
    assert json.loads(call.arguments) == {"text": "a\r\nb"}


@pytest.mark.parametrize(
    ("inside", "arguments"),
    [
        ('{text:"a, b"}', {"text": "a, b"}),
        ('{items:["a", "b, c"]}', {"items": ["a", "b, c"]}),
        ('{thing:{"a": {"b": [1, null]}}}', {"thing": {"a": {"b": [1, None]}}}),
        ('{"text":<|"|>a<|"|>}', {"text": "a"}),
        ('{ text : <|"|>a<|"|> }', {"text": "a"}),
    ],
)
def test_gemma_may_write_json_inside(inside, arguments):
    reading = read_model_text(f"<|tool_call>call:f{inside}<tool_call|>", TOOLS)
    assert [json.loads(call.arguments) for call in reading.calls] == [arguments]
    assert not reading.malformed


def test_a_call_of_kimi_without_its_section_is_malformed_and_may_be_mended():
    raw = '<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{"text": "a"}'
    raw += "<|tool_call_end|>"
    expect = {"call": {"name": "f", "arguments": {"text": "a"}}}
    assert failed(expect, raw, [("f", {"text": "a"})], "kimi") == set()
    lost = failed(expect, raw, (), "kimi", content=raw)
    assert {found[1:] for found in lost} == {("malformed_call", "model")}


FOREIGN = [
    *(f"<{tag}>{CALL}</{tag}>" for tag in ("functions", "call", "action", "ToolCall", "json")),
    *(f"Sure.\n<{tag}>\n{CALL}\n</{tag}>" for tag in ("use_tool", "tool-call", "command")),
    *(f"<|{tag}|>{CALL}<|/{tag}|>" for tag in ("tool", "call", "plugin")),
    f"[TOOL_CALL] {CALL} [/TOOL_CALL]",
    f"```tool_use\n{CALL}\n```",
    '```json\n{"action": "f", "action_input": {"text": "a"}}\n```',
    '{"tool_name": "f", "tool_input": {"text": "a"}}',
    '{"function_call": {"name": "f", "arguments": {"text": "a"}}}',
    '{"functionCall": {"name": "f", "args": {"text": "a"}}}',
    '{"recipient_name": "functions.f", "parameters": {"text": "a"}}',
    '{"name": "f", "arguments": "{\\"text\\": \\"a\\"}"}',
    '{"f": {"text": "a"}}',
    'f\n{"text": "a"}',
    'f({"text": "a"})',
    'functions.f:0{"text": "a"}',
    '<tool>f</tool><args>{"text": "a"}</args>',
    '<use_mcp_tool>\n<tool_name>f</tool_name>\n<arguments>{"text": "a"}</arguments>\n'
    "</use_mcp_tool>",
    '<tool name="f">{"text": "a"}</tool>',
    '<function(f)>{"text": "a"}</function>',
    '**Action:** f\n**Action Input:** {"text": "a"}',
    '<|python_tag|>f(text="a")',
    '<|python_tag|>f.call(text="a")<|eom_id|>',
    '```tool_code\nprint(f(text="a"))\n```',
]


@pytest.mark.parametrize("raw", FOREIGN)
def test_a_call_in_a_form_that_no_parser_reads_is_a_format_mismatch(raw):
    expect = {"call": {"name": "f", "arguments": {"text": "a"}}}
    found = failed(expect, raw, content=raw)
    assert ("call_or_answer", "format_mismatch", "model") in found
    assert not any(layer != "model" for _, _, layer in found)


TAGS = ("<tool_call>", "</think>", "[TOOL_CALLS]", "<|im_end|>", "<tools>", "</tool_call>")
NAMED = ("**{}** opens a call.", "*{}* is a token.", "The tag <code>{}</code> opens a call.")
PLAIN = (
    '{"name": "Ann", "age": 9}',
    '<answer>{"name": "Ann"}</answer>',
    'In JSON: {"text": "a"}',
    "f is short for function",
    '{"f": 5}',
)


@pytest.mark.parametrize("raw", [*(n.format(t) for n in NAMED for t in TAGS), *PLAIN])
def test_what_is_no_call_passes_as_an_answer(raw):
    assert failed({"answer": {}}, raw, content=raw) == set()


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("used", ["Well. {}", "Hello.\n{}\n", "Hello.{}"])
def test_a_tag_that_is_used_fails_all_the_same(tag, used):
    raw = used.format(tag)
    assert failed({"answer": {}}, raw, content=raw)


def test_an_answer_may_quote_a_call_of_the_question():
    quoted = XML.format("text", "a")
    raw = f"This calls f:\n\n{quoted}\n\nIt passes a text."
    ask = f"What does this do?\n{quoted}"
    assert failed({"answer": {}}, raw, content=raw, ask=ask) == set()
    parsed = failed({"answer": {}}, raw, [("f", {"text": "a"})], content="This", ask=ask)
    assert ("call_or_answer", "spurious_call", "unknown") in parsed
    own = failed({"answer": {}}, raw, content=raw)
    assert ("call_or_answer", "spurious_call", "model") in own


@pytest.mark.parametrize("token", ["<|im_end|>", "</s>", "<|eot_id|>", "<end_of_turn>"])
def test_a_server_may_leave_out_the_token_that_ends_a_turn(token):
    raw = f"Done. {token}"
    assert failed({"answer": {}}, raw, content="Done.") == set()
    leaked = failed({"answer": {}}, raw, content=raw)
    assert leaked == {("markup", "leaked_markup", "model")}
    named = f"It ends with `{token}`, a token."
    lost = failed({"answer": {}}, named, content="It ends with ``, a token.")
    assert ("faithful", "changed_content", "server") in lost


def test_calls_in_another_order_have_no_wrong_values():
    calls = [("f", {"text": "a"}), ("f", {"text": "b"})]
    wanted = [{"name": n, "arguments": a} for n, a in calls]
    raw = "\n".join(XML.format("text", a["text"]) for _, a in reversed(calls))
    found = failed({"calls": wanted, "order": "given"}, raw, calls[::-1])
    assert found == {("tool_name", "another_order", "model")}
