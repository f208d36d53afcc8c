"""The strict readers of raw model text."""

import json
from importlib.resources import files

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evals.case import Tool
from evals.formats.model_text import read_model_text


def tool(name, **properties):
    return Tool(name=name, parameters={"type": "object", "properties": properties})


def kind(name):
    return {"type": name}


TOOLS = [
    tool("todoread"),
    tool(
        "f",
        text=kind("string"),
        n=kind("integer"),
        x=kind("number"),
        yes=kind("boolean"),
        items=kind("array"),
        thing=kind("object"),
        maybe={"type": ["string", "null"]},
        level={"anyOf": [kind("integer"), kind("null")]},
        either={"anyOf": [kind("string"), kind("integer")]},
        size={"enum": [1, 2, "big"]},
        colour={"enum": ["red", "1"]},
        free={},
        far={"$ref": "#/$defs/far"},
    ),
]
TOOLS[1].parameters["$defs"] = {"far": kind("integer")}


def xml(name="f", **values):
    inner = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in values.items())
    return f"<tool_call>\n<function={name}>\n{inner}</function>\n</tool_call>"


def value_of(key, text):
    (call,) = read_model_text(xml(**{key: text}), TOOLS).calls
    return json.loads(call.arguments)[key]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("text", "Paris", "Paris"),
        ("text", "null", "null"),
        ("text", "3", "3"),
        ("text", '"quoted"', '"quoted"'),
        ("text", "  a \t", "  a \t"),
        ("text", "\na\n", "\na\n"),
        ("text", "", ""),
        ("text", "a & b < c > d", "a & b < c > d"),
        ("text", "x </tool_call> y", "x </tool_call> y"),
        ("text", "x </function> y", "x </function> y"),
        ("text", "x </parameter> y", "x </parameter> y"),
        ("text", "<tool_call>", "<tool_call>"),
        ("n", "5", 5),
        ("n", " 5 ", 5),
        ("n", "9007199254740993", 9007199254740993),
        ("n", "5.0", 5.0),
        ("n", "5.5", "5.5"),
        ("n", '"5"', '"5"'),
        ("n", "ten", "ten"),
        ("x", "5", 5),
        ("x", "1e400", "1e400"),
        ("x", "NaN", "NaN"),
        ("yes", "true", True),
        ("yes", "True", True),
        ("level", "None", None),
        ("maybe", "None", "None"),
        ("yes", "1", "1"),
        ("items", "[1, 2]", [1, 2]),
        ("items", "a, b", "a, b"),
        ("items", "['a']", "['a']"),
        ("thing", '{\n "a": [true]\n}', {"a": [True]}),
        ("thing", '{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ("maybe", "null", None),
        ("maybe", "[1]", "[1]"),
        ("maybe", "42", "42"),
        ("level", "5", 5),
        ("level", "null", None),
        ("level", "high", "high"),
        ("either", "5", 5),
        ("either", "five", "five"),
        ("size", "2", 2),
        ("size", "big", "big"),
        ("colour", "1", "1"),
        ("free", "5", "5"),
        ("unknown", "5", "5"),
        ("far", "5", 5),
    ],
)
def test_values_are_typed_by_the_schema(key, text, value):
    got = value_of(key, text)
    assert got == value
    assert type(got) is type(value)


@given(st.text().filter(lambda text: "<" not in text))
def test_text_values_come_through_exactly(text):
    assert value_of("text", text) == text


@pytest.mark.parametrize(
    "raw",
    [
        "<tool_call>\n<function=todoread>\n</function>\n</tool_call>",
        "<tool_call><function=todoread></function></tool_call>",
        " <tool_call>  \n\n<function=todoread> \n </function> \n </tool_call>\n",
        "<think>\nlet me\n</think>\n\n<tool_call><function=todoread></function></tool_call>",
        "let me\n</think>\n\n<tool_call><function=todoread></function></tool_call>",
    ],
)
def test_a_call_without_parameters(raw):
    reading = read_model_text(raw, TOOLS)
    assert [(c.name, c.arguments) for c in reading.calls] == [("todoread", "{}")]
    assert (reading.format, reading.text.strip()) == ("qwen3-coder-xml", "")
    assert not reading.malformed
    assert not reading.ambiguous


JSON_CALL = '{"name": "f", "arguments": {"n": 5}}'


@pytest.mark.parametrize(
    ("raw", "format_"),
    [
        (f"<tool_call>\n{JSON_CALL}\n</tool_call>", "hermes-json"),
        (f"```json\n{JSON_CALL}\n```", "json-fence"),
        (f"```\n[{JSON_CALL}]\n```", "json-fence"),
        (f" {JSON_CALL}\n", "json-fence"),
        ('{"name": "f", "parameters": {"n": 5}}', "json-fence"),
        ("<function=f>\n<parameter=n>\n5\n</parameter>\n</function>", "bare-function"),
        ("<function=f><parameter=n>5</parameter></function>\n</tool_call>", "bare-function"),
        (f"[TOOL_CALLS][{JSON_CALL}]", "mistral"),
        ('[TOOL_CALLS]f[ARGS]{"n": 5}', "mistral"),
        ('[TOOL_CALLS]f[CALL_ID]abc123[ARGS]{"n": 5}', "mistral"),
        ("[f(n=5)]", "pythonic"),
        ("f(n=5)", "pythonic"),
        ("<|tool_call_start|>[f(n=5)]<|tool_call_end|>", "pythonic"),
    ],
)
def test_formats(raw, format_):
    reading = read_model_text(raw, TOOLS)
    assert [(c.name, json.loads(c.arguments)) for c in reading.calls] == [("f", {"n": 5})]
    assert reading.format == format_
    assert reading.text.strip() == ""
    assert not reading.malformed


@pytest.mark.parametrize(
    "raw",
    [
        "A < B and <b>bold</b>, a_function(1).",
        'Write {"name": "other", "arguments": {}}.',
        '```json\n{"name": "other", "arguments": {}}\n```',
        "```json\n{broken\n```",
        "print(n=5)",
        "Use the <function= tag.",
        "[1, 2, 3]",
        "",
    ],
)
def test_text_is_no_call(raw):
    reading = read_model_text(raw, TOOLS)
    assert not reading.attempted
    assert reading.text == raw


@pytest.mark.parametrize(
    ("raw", "reason", "cut"),
    [
        ("<tool_call>\n<function=todoread</function>\n</tool_call>", "the name in", False),
        ("<tool_call>\n<function=todo read>\n</function>\n</tool_call>", "the name in", False),
        ('<tool_call>\n<function="f">\n</function>\n</tool_call>', "the name in", False),
        ("<tool_call></tool_call>", "is empty", False),
        ("<tool_call>f(n=5)</tool_call>", "not followed by", False),
        ("<tool_call>\n<function=f>\n</tool_call>", "neither a parameter", False),
        ("<tool_call>\n<function=f>\nfive\n</function>\n</tool_call>", "neither a param", False),
        ("<tool_call><function=f><parameter=n>5</function></tool_call>", "not closed", False),
        ("<tool_call><function=f></function> so</tool_call>", "not followed by", False),
        ("<tool_call><function=f></function>", "not followed by", True),
        ("<tool_call>\n<function=f>\n<parameter=text>\nPar", "not closed", True),
        ("<tool_call>", "not followed by", True),
        ('<tool_call>{"name": "f"}</tool_call>', "not an object", False),
        ('<tool_call>{"arguments": {}}</tool_call>', '"name"', False),
        ('<tool_call>{"name": "f", "arguments": "{}"}</tool_call>', "not an object", False),
        ('<tool_call>{"name": "f", "arguments": {}, "x": 1}</tool_call>', "beside", False),
        ("<tool_call>{'name': 'f'}</tool_call>", "not JSON", False),
        (f"<tool_call>{JSON_CALL}{JSON_CALL}</tool_call>", "not followed by", False),
        ("[TOOL_CALLS]", "neither", True),
        ("[TOOL_CALLS][{", "not JSON", True),
        ("<|tool_call_start|>[f(5)]<|tool_call_end|>", "no list of calls", False),
        ("<|tool_call_start|>[f(n=5)]", "not closed", True),
        ("Sure.\n</tool_call>", "without its opening", False),
    ],
)
def test_malformed_markup_is_named(raw, reason, cut):
    reading = read_model_text(raw, TOOLS)
    assert reading.calls == ()
    (malformed,) = reading.malformed
    assert reason in malformed.reason
    assert malformed.cut == cut


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (xml(text="a</parameter>\n<parameter=text>\nb"), "comes twice"),
        (xml(text="a <parameter=n> b"), "holds <parameter=n>"),
        (xml(text="a\n</parameter>"), "stands twice behind text"),
        (xml(text="a").replace("</function>\n", "") + xml(text="b"), "a call that is not closed"),
        (xml(text="a").replace("</tool_call>", "") + xml(text="b"), "a call that is not closed"),
        (xml(text="a").replace("</parameter>", "") + xml(text="b"), "a call that is not closed"),
        (xml(text="a</parameter>\n</function>\n</tool_call> b"), "left over"),
        (f"<think>{xml()}</think>ok", "inside the reasoning"),
    ],
)
def test_ambiguity_is_said(raw, reason):
    assert reason in " ".join(read_model_text(raw, TOOLS).ambiguous)


def test_several_calls_and_the_text_around_them():
    raw = f"One.\n{xml(n='1')} two\n{xml('todoread')}\nthree"
    reading = read_model_text(raw, TOOLS)
    assert [call.name for call in reading.calls] == ["f", "todoread"]
    assert reading.text == "One.\n two\n\nthree"


def test_two_functions_in_one_wrapper_are_two_calls():
    raw = "<tool_call><function=todoread></function>\n<function=todoread></function></tool_call>"
    assert len(read_model_text(raw, TOOLS).calls) == 2


def test_a_good_call_beside_a_malformed_one():
    reading = read_model_text(f"<tool_call>\n</tool_call>\n{xml(n='1')}", TOOLS)
    assert len(reading.calls) == len(reading.malformed) == 1


def test_unfit_values_are_named():
    (read,) = read_model_text(xml(n="ten", x="1", yes="yes", either="5"), TOOLS).read
    assert read.unfit == ("n", "yes")
    assert read.either == {"either": "5"}


PIECES = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        "<function=",
        "<function=f>",
        "</function>",
        "<parameter=n>",
        "</parameter>",
        ">",
        "\n",
        "```",
        "```json",
        "[TOOL_CALLS]",
        "[ARGS]",
        "<|tool_call_start|>",
        "<|tool_call_end|>",
        "<think>",
        "</think>",
        "{",
        "}",
        '{"name":',
        '"arguments":',
        '"f"',
        "[f(",
        ")]",
        "=",
        "5",
        "null",
        '"\\ud800"',
        "text",
    ]
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=25).map("".join))
@example("[" * 50_000)
@example("f(" * 5_000)
@example("<tool_call>{" + '"a":{' * 5_000)
def test_never_raises_and_loses_no_text(raw):
    reading = read_model_text(raw, TOOLS)
    if not reading.attempted:
        assert len(reading.text) >= len(raw) - len(reading.reasoning or "") - len("<think></think>")
    for call in reading.calls:
        assert isinstance(json.loads(call.arguments), dict)


def fixtures(*families):
    root = files("canitoolcall") / "_data" / "fixtures"
    for family in families:
        for path in sorted((root / family).iterdir(), key=lambda p: p.name):
            if path.name.endswith(".jsonl"):
                for line in path.read_text(encoding="utf-8").splitlines():
                    yield json.loads(line)


PREFILLED = "<think> is in the prompt, its end is missing"
# Where the recorded expectation is that of a forgiving parser, or the prompt is needed to know it.
FORGIVEN = {
    "qwen3-xml/llamacpp-q35-call-inside-think": PREFILLED,
    "qwen3-xml/q38-truncated-in-reasoning": PREFILLED,
    "qwen3-hermes/thinking2507-truncated-in-reasoning": PREFILLED,
    "qwen3-xml/vllm-coder-missing-close-parameter": "a parameter is not closed",
    "qwen3-xml/bug-missing-close-parameter-before-function": "a parameter is not closed",
}
RECORDED = [f for f in fixtures("qwen3-xml", "qwen3-hermes", "mistral") if "expected" in f]


@pytest.mark.parametrize("fixture", RECORDED, ids=lambda fixture: fixture["id"])
def test_recorded_outputs(fixture):
    """Recorded model outputs with what they mean; an independent opinion on the readers."""
    tools = [Tool.model_validate(_function(t)) for t in fixture["tools"] or ()]
    raw = fixture["raw_output"]
    for end in ("<|im_end|>", "</s>", "<|endoftext|>"):
        raw = raw.removesuffix(end)
    reading = read_model_text(raw, tools)
    got = [(call.name, json.loads(call.arguments)) for call in reading.calls]
    expected = [(c["name"], c["arguments"]) for c in fixture["expected"]["tool_calls"] or ()]
    content = (fixture["expected"]["content"] or "").strip()
    same = got == expected and reading.text.strip() == content
    assert same == (fixture["id"] not in FORGIVEN), (raw, got, reading)


def _function(tool):
    function = tool.get("function") or tool
    return {k: function[k] for k in ("name", "parameters") if function.get(k) is not None}


SECTION = "<|tool_calls_section_begin|>{}<|tool_calls_section_end|>"
KIMI = "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|>"
GEMMA = "<|tool_call>call:f{}<tool_call|>"
GLM = "<tool_call>f{}</tool_call>"


def glm(**values):
    pairs = (f"<arg_key>{k}</arg_key><arg_value>{v}</arg_value>" for k, v in values.items())
    return GLM.format("".join(pairs))


@pytest.mark.parametrize(
    ("raw", "arguments"),
    [
        (glm(), {}),
        (glm(text=" a\n"), {"text": " a\n"}),
        (glm(text="5", n="5"), {"text": "5", "n": 5}),
        (glm(text="a</tool_call>b"), {"text": "a</tool_call>b"}),
        (glm(text="</arg_value>"), {"text": "</arg_value>"}),
        (glm(text="<arg_key>"), {"text": "<arg_key>"}),
        ("<tool_call>f\n<arg_key>n</arg_key>\n<arg_value>5</arg_value>\n</tool_call>", {"n": 5}),
        (SECTION.format(KIMI.format("{}")), {}),
        (
            SECTION.format(KIMI.format('{"text": "<|tool_call_end|>"}')),
            {"text": "<|tool_call_end|>"},
        ),
        (GEMMA.format("{}"), {}),
        (GEMMA.format('{text:<|"|>a, {b}<tool_call|><|"|>}'), {"text": "a, {b}<tool_call|>"}),
        (GEMMA.format("{n: 5, yes:true,level:null}"), {"n": 5, "yes": True, "level": None}),
        (
            GEMMA.format('{items:[1,[],<|"|>x<|"|>], thing:{a-b:{c:-1.5}}}'),
            {"items": [1, [], "x"], "thing": {"a-b": {"c": -1.5}}},
        ),
        (
            '<|tool_call_start|>[f(text="<|tool_call_end|>")]<|tool_call_end|>',
            {"text": "<|tool_call_end|>"},
        ),
    ],
)
def test_formats_of_families_are_read(raw, arguments):
    reading = read_model_text(f"{raw} And so on.", TOOLS)
    assert not reading.malformed
    assert [call.name for call in reading.calls] == ["f"]
    assert json.loads(reading.calls[0].arguments) == arguments
    assert reading.text == " And so on."


@pytest.mark.parametrize(
    "raw",
    [
        "<tool_call>f<arg_key>text</arg_key>a</tool_call>",
        "<tool_call>f<arg_key>text</arg_key><arg_value>a</tool_call>",
        "<tool_call>I need no tool.</tool_call>",
        "<tool_call>unknown</tool_call>",
        SECTION.format(""),
        SECTION.format(KIMI.format("")),
        SECTION.format(KIMI.format('{"text": "a"')),
        SECTION.format(KIMI.format("[1]")),
        SECTION.format(KIMI.format("{}").replace(":0", "")),
        SECTION.format(KIMI.format("{}"))[:-1],
        GEMMA.format("{text:a b}"),
        GEMMA.format('{text:<|"|>a}'),
        GEMMA.format("{n:5 yes:true}"),
        GEMMA.format("{5}"),
        GEMMA.format("{n:}"),
        GEMMA.format("{n:NaN}"),
        GEMMA.format("{n:5"),
        GEMMA.format(""),
    ],
)
def test_broken_calls_of_families_are_malformed(raw):
    reading = read_model_text(raw, TOOLS)
    assert not reading.calls
    assert len(reading.malformed) == 1


@given(st.text(alphabet='{}[]<>|",: \n-a5', max_size=30))
def test_readers_of_families_never_raise(text):
    for form in (GLM, SECTION, GEMMA):
        read_model_text(form.format(text), TOOLS)
        read_model_text(form.format(KIMI.format(text)), TOOLS)


WHOLE = [
    '{"name": "f", "arguments": {"text": "<function=todoread></function>"}}',
    '{"name": "f", "arguments": {"text": "<tool_call> opens"}}',
    '{"name": "f", "arguments": {"text": "a </think> b"}}',
    'f(text="<tool_call> opens")',
    '[f(text="a </think> b")]',
    '```json\n{"name": "f", "arguments": {"text": "```py\\nx\\n```"}}\n```',
    '```json\r\n{"name": "f", "arguments": {"text": "x"}}\r\n```',
    '```JSON\n{"name": "f", "arguments": {"text": "x"}}\n```',
    '```tool_code\nf(text="x")\n```',
    'Sure:\n```json\n{"name": "f", "arguments": {"text": "</think>"}}\n```',
    '[TOOL_CALLS]f[ARGS]{"text": "a </think> b"}',
    '<|tool_call_start|>[f(text="a </think> b")]<|tool_call_end|>',
]


@pytest.mark.parametrize("raw", WHOLE)
def test_a_value_may_hold_any_tag(raw):
    reading = read_model_text(raw, TOOLS)
    assert [call.name for call in reading.calls] == ["f"]
    assert not reading.malformed
    assert reading.reasoning is None


@pytest.mark.parametrize("fence", [False, True])
def test_several_objects_one_after_another_are_several_calls(fence):
    raw = '{"name": "f", "arguments": {"n": 1}}\n{"name": "f", "arguments": {"n": 2}}'
    reading = read_model_text(f"```json\n{raw}\n```" if fence else raw, TOOLS)
    assert [json.loads(call.arguments) for call in reading.calls] == [{"n": 1}, {"n": 2}]


def test_an_example_of_code_in_an_answer_is_no_call():
    assert not read_model_text('Like this:\n```\nf(text="x")\n```', TOOLS).attempted


@pytest.mark.parametrize("call", ["[TOOL_CALLS]f{}", "<|tool_call_start|>[f()]<|tool_call_end|>"])
def test_a_call_of_any_format_in_the_reasoning_is_ambiguous(call):
    assert read_model_text(f"<think>I say {call}</think>Done.", TOOLS).ambiguous


def test_nested_values_of_a_pythonic_call_may_be_json():
    raw = "<|tool_call_start|>[f(items=[true, null], thing={'a': false})]<|tool_call_end|>"
    (call,) = read_model_text(raw, TOOLS).calls
    assert json.loads(call.arguments) == {"items": [True, None], "thing": {"a": False}}


@pytest.mark.parametrize(
    "raw",
    [
        '<tool_call>{"name": "f", "arguments": {"n": 5, "n": 6}}</tool_call>',
        "<|tool_call_start|>[f(n=5, n=6)]<|tool_call_end|>",
        "<|tool_call>call:f{n:5,n:6}<tool_call|>",
        "<tool_call>f<arg_key>n</arg_key><arg_value>5</arg_value>"
        "<arg_key>n</arg_key><arg_value>6</arg_value></tool_call>",
    ],
)
def test_an_argument_that_is_given_twice_makes_a_call_malformed(raw):
    reading = read_model_text(raw, TOOLS)
    assert reading.malformed
    assert not reading.calls


def test_integers_are_exact_at_any_size_in_tags_too():
    digits = "7" * 5_000
    raw = f'<tool_call>{{"name": "f", "arguments": {{"n": {digits}}}}}</tool_call>'
    (call,) = read_model_text(raw, TOOLS).calls
    assert digits in call.arguments


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "oneOf": [{"const": 5, "title": "low"}, {"const": 6}]},
        {"type": ["number", "null"], "anyOf": [{"type": "integer"}, {"type": "null"}]},
        {"$ref": "#/properties/list/anyOf/0"},
    ],
)
def test_types_of_schemas_that_generators_write(schema):
    offered = tool("g", n=schema, list={"anyOf": [{"type": "integer"}, {"type": "null"}]})
    (call,) = read_model_text(xml("g", n="5"), [offered]).calls
    assert json.loads(call.arguments) == {"n": 5}


@pytest.mark.parametrize(
    "more",
    [
        {"additionalProperties": {"type": "integer"}},
        {"patternProperties": {"^n": {"type": "integer"}}},
        {"allOf": [{"properties": {"n": {"type": "integer"}}}]},
    ],
)
def test_types_of_parameters_that_are_not_named(more):
    offered = Tool(name="g", parameters={"type": "object", "properties": {}, **more})
    (call,) = read_model_text(xml("g", n="5"), [offered]).calls
    assert json.loads(call.arguments) == {"n": 5}


def test_a_value_is_of_a_type_of_any_branch():
    branches = [
        {"properties": {"mode": {"const": mode}, "n": kind(type_)}}
        for mode, type_ in (("a", "integer"), ("b", "boolean"))
    ]
    offered = Tool(name="g", parameters={"type": "object", "anyOf": branches})
    for text, value in (("5", 5), ("true", True)):
        reading = read_model_text(xml("g", mode="b", n=text), [offered])
        assert json.loads(reading.calls[0].arguments) == {"mode": "b", "n": value}


def test_a_tag_behind_an_empty_line_is_found_whatever_else_begins_with_a_line_end():
    reading = read_model_text("Well.\n\n[TOOL_CALLS]f[ARGS]{}", [Tool(name="f")])
    assert [item.call.name for item in reading.read] == ["f"]
