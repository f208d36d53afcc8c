"""Every parser of the stock server has a reader here, and on valid text both say the same."""

import importlib
import json
import pkgutil

import mlx_lm.tool_parsers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.case import Tool
from evals.formats.model_text import read_model_text
from evals.formats.registry import OTHER, find_format, format_of_parser

GEMMA_TEXT = '<|"|>'
PROPERTIES = {"text": "string", "n": "integer", "x": "number", "yes": "boolean", "items": "array"}
TOOLS = [
    Tool(name="todoread"),
    Tool(
        name="f",
        parameters={
            "type": "object",
            "properties": {key: {"type": kind} for key, kind in PROPERTIES.items()},
        },
    ),
]
OFFERED = [
    {"type": "function", "function": {"name": t.name, "parameters": dict(t.parameters)}}
    for t in TOOLS
]


def plain(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def pairs(form, values):
    return "".join(form.format(key, plain(value)) for key, value in values.items())


def bare(mark, values):
    inner = (f"{k}:{mark}{v}{mark}" if isinstance(v, str) else f"{k}:{plain(v)}" for k, v in values)
    return "{" + ",".join(inner) + "}"


def object_of(name, values):
    return f'{{"name": "{name}", "arguments": {json.dumps(values, ensure_ascii=False)}}}'


def kind(value):
    return {str: "string", bool: "boolean", list: "array"}.get(type(value), "number")


def kimi_k3(name, values):
    inner = "".join(
        f'<|open|>argument key="{k}" type="{kind(v)}"<|sep|>{plain(v)}<|close|>argument<|sep|>'
        for k, v in values.items()
    )
    call = f'<|open|>call tool="{name}" index="1"<|sep|>{inner}<|close|>call<|sep|>'
    return f"<|open|>tools<|sep|>{call}<|close|>tools<|sep|>"


WRITTEN = {
    "qwen3_coder": lambda n, v: (
        f"<tool_call>\n<function={n}>\n"
        + pairs("<parameter={}>\n{}\n</parameter>\n", v)
        + "</function>\n</tool_call>"
    ),
    "json_tools": lambda n, v: f"<tool_call>\n{object_of(n, v)}\n</tool_call>",
    "mistral": lambda n, v: f"[TOOL_CALLS]{n}[ARGS]{json.dumps(v)}",
    "pythonic": lambda n, v: (
        f"<|tool_call_start|>[{n}({', '.join(f'{k}={x!r}' for k, x in v.items())})]"
        "<|tool_call_end|>"
    ),
    "glm47": lambda n, v: (
        f"<tool_call>{n}"
        + pairs("<arg_key>{}</arg_key><arg_value>{}</arg_value>", v)
        + "</tool_call>"
    ),
    "kimi_k2": lambda n, v: (
        f"<|tool_calls_section_begin|><|tool_call_begin|>functions.{n}:0"
        f"<|tool_call_argument_begin|>{json.dumps(v)}<|tool_call_end|><|tool_calls_section_end|>"
    ),
    "gemma4": lambda n, v: f"<|tool_call>call:{n}{bare(GEMMA_TEXT, v.items())}<tool_call|>",
    "kimi_k3": kimi_k3,
    "minimax_m2": lambda n, v: (
        f'<minimax:tool_call>\n<invoke name="{n}">\n'
        + pairs('<parameter name="{}">{}</parameter>\n', v)
        + "</invoke>\n</minimax:tool_call>"
    ),
    "minicpm5": lambda n, v: (
        f'<function name="{n}">' + pairs('<param name="{}">{}</param>', v) + "</function>"
    ),
    "longcat": lambda n, v: (
        f"<longcat_tool_call>{n}\n"
        + pairs(
            "<longcat_arg_key>{}</longcat_arg_key>\n<longcat_arg_value>{}</longcat_arg_value>\n", v
        )
        + "</longcat_tool_call>"
    ),
    "function_gemma": lambda n, v: (
        f"<start_function_call>call:{n}{bare('<escape>', v.items())}<end_function_call>"
    ),
    "muse_spark": lambda n, v: (
        f'<atem:function_calls>\n<atem:invoke name="{n}">\n'
        + pairs('<atem:parameter name="{}">{}</atem:parameter>\n', v)
        + "</atem:invoke>\n</atem:function_calls>"
    ),
}
WRITTEN["laguna"] = WRITTEN["glm47"]
STOCK = sorted(module.name for module in pkgutil.iter_modules(mlx_lm.tool_parsers.__path__))


def test_every_parser_of_the_stock_server_has_a_reader_and_a_way_to_write():
    assert [name for name in STOCK if format_of_parser(name) is OTHER] == []
    assert sorted(WRITTEN) == STOCK


def test_a_parser_without_a_reader_has_the_format_that_tells_nothing():
    assert format_of_parser("of_tomorrow") is OTHER
    assert find_format("other") is OTHER
    assert not OTHER.openings


def parsed(parser, text):
    """What the stock parser makes of the text between its tags, as the server gives it."""
    module = importlib.import_module(f"mlx_lm.tool_parsers.{parser}")
    inside = text.partition(module.tool_call_start)[2]
    if module.tool_call_end:
        inside = inside.rpartition(module.tool_call_end)[0]
    calls = module.parse_tool_call(inside, OFFERED)
    return [(c["name"], c["arguments"]) for c in (calls if isinstance(calls, list) else [calls])]


def read(text):
    reading = read_model_text(text, TOOLS)
    return [(call.name, json.loads(call.arguments)) for call in reading.calls], reading


# What some parser of the server changes is left out: white space around, numbers and null as text,
# commas and braces. The strict readers keep all of that, and tests of their own say so.
WORDS = st.from_regex(r"[A-Za-zé][A-Za-zé ]{0,10}[A-Za-zé]", fullmatch=True).filter(
    lambda text: text.lower() not in ("null", "true", "false", "none", "nan", "infinity")
)
VALUES = {
    "text": WORDS,
    "n": st.integers(-(2**53), 2**53),
    "x": st.floats(-1e6, 1e6).map(lambda x: round(x, 3)).filter(lambda x: not x.is_integer()),
    "yes": st.booleans(),
    "items": st.lists(WORDS, min_size=1, max_size=1),
}
CALLS = st.fixed_dictionaries({"text": VALUES.pop("text")}, optional=VALUES).map(
    lambda values: ("f", values)
)


@pytest.mark.parametrize("parser", STOCK)
@settings(max_examples=settings.default.max_examples // 4)
@given(CALLS)
def test_on_a_valid_call_the_reader_and_the_parser_agree(parser, call):
    name, values = call
    if parser in ("function_gemma", "gemma4"):  # a list is no JSON in their forms
        values = {key: value for key, value in values.items() if key != "items"}
    text = WRITTEN[parser](name, values)
    calls, reading = read(f"Well. {text}" if parser != "mistral" else text)
    assert calls == parsed(parser, text) == [(name, values)]
    assert reading.format == format_of_parser(parser).name
    assert not reading.malformed
    assert not reading.ambiguous
    assert reading.text.strip() in ("", "Well.")


VALUES_OF_ONE_CALL = {"text": "a b", "n": 5}


@pytest.mark.parametrize("parser", STOCK)
def test_a_call_that_is_cut_anywhere_is_no_call(parser):
    text = WRITTEN[parser]("f", VALUES_OF_ONE_CALL)
    opening = len(importlib.import_module(f"mlx_lm.tool_parsers.{parser}").tool_call_start)
    for end in range(opening + 2, len(text.rstrip())):
        calls, reading = read(text[:end])
        assert calls == []
        # A name alone may still become other text.
        assert reading.malformed or reading.text.strip(), text[:end]


@pytest.mark.parametrize("parser", sorted(set(STOCK) - {"pythonic", "mistral", "json_tools"}))
def test_a_call_that_lacks_a_tag_inside_is_malformed(parser):
    text = WRITTEN[parser]("f", VALUES_OF_ONE_CALL)
    form = format_of_parser(parser)
    start = text.index("f", len(form.openings[0].tag)) + 1
    for place in range(start, len(text) - 1):
        if text[place] not in "<>{}:|":
            continue
        calls, reading = read(text[:place] + text[place + 1 :])
        other = [call for call in calls if call != ("f", VALUES_OF_ONE_CALL)]
        assert not other or reading.malformed or reading.ambiguous or _spoiled(other), place


def _spoiled(calls):
    """A call whose value holds what was a tag: the text says so, and no reader can know better."""
    return all(any(mark in str(values) for mark in "<>|") for _, values in calls)


@pytest.mark.parametrize(
    ("parser", "values"),
    [
        ("minimax_m2", {"text": " a </parameter> b "}),
        ("minimax_m2", {"text": "null", "n": None}),
        ("minicpm5", {"text": "a\n"}),
        ("kimi_k3", {"text": "<|close|>argument<|sep|>"}),
        ("longcat", {"text": " 5 "}),
        ("function_gemma", {"text": "a, {b}: c", "items": [1, [True]]}),
        ("muse_spark", {"text": "5", "items": ["</atem:parameter>"]}),
    ],
)
def test_readers_keep_what_a_parser_changes(parser, values):
    text = WRITTEN[parser]("f", values)
    if "None" in str(values):
        text = text.replace("None", "null")
    calls, reading = read(text)
    assert not reading.malformed
    assert [name for name, _ in calls] == ["f"]
    assert calls[0][1]["text"] == values["text"]


def test_values_of_minicpm_may_stand_in_cdata():
    text = (
        '<function name="f"><param name="text"><![CDATA[a < b & "c"\n</param>]]></param></function>'
    )
    assert read(text)[0] == [("f", {"text": 'a < b & "c"\n</param>'})]


def test_kimi_k3_may_write_one_json_object_and_escapes_names():
    inner = '<|open|>json type="object"<|sep|>{"text": "a"}<|close|>json<|sep|>'
    call = f'<|open|>call tool="f" index="1"<|sep|>{inner}<|close|>call<|sep|>'
    text = f"<|open|>tools<|sep|>{call}<|close|>tools<|sep|>"
    assert read(text)[0] == [("f", {"text": "a"})] == parsed("kimi_k3", text)
    text = WRITTEN["kimi_k3"]("f", {"say &quot;a&amp;b&quot;": "x"})
    assert read(text)[0] == [("f", {'say "a&b"': "x"})] == parsed("kimi_k3", text)


def test_two_calls_in_one_section():
    for parser in ("minimax_m2", "muse_spark", "kimi_k3"):
        text = WRITTEN[parser]("todoread", {})
        start, end = {
            "minimax_m2": ("<minimax:tool_call>", "</minimax:tool_call>"),
            "muse_spark": ("<atem:function_calls>", "</atem:function_calls>"),
            "kimi_k3": ("<|open|>tools<|sep|>", "<|close|>tools<|sep|>"),
        }[parser]
        inside = text.removeprefix(start).removesuffix(end)
        assert read(start + inside + inside + end)[0] == [("todoread", {})] * 2


@pytest.mark.parametrize(
    "text",
    [
        "<minimax:tool_call>f(n=5)</minimax:tool_call>",
        '<minimax:tool_call><invoke name="f">5</invoke></minimax:tool_call>',
        "<minimax:tool_call><invoke name=f></invoke></minimax:tool_call>",
        '<function name="f"><param name="text">a</function>',
        '<function name="f"><param name="n">5</param><param name="n">6</param></function>',
        "<longcat_tool_call>Let me look.</longcat_tool_call>",
        '<longcat_tool_call>{"name": "f"}</longcat_tool_call>',
        "<start_function_call>call:f{text:a}<end_function_call>",
        "<start_function_call>f<end_function_call>",
        '<atem:function_calls><atem:invoke name="f"></atem:function_calls>',
        "<|open|>tools<|sep|><|close|>tools<|sep|>",
        kimi_k3("f", {"n": 5}).replace(">5<", ">five<"),
        kimi_k3("f", {"n": 5}).replace('key="n"', ""),
    ],
)
def test_what_breaks_the_form_is_malformed(text):
    calls, reading = read(text)
    assert calls == []
    assert len(reading.malformed) == 1
