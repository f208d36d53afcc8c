"""The adaptive parser: forms, types, splits, broken calls, and that its time is linear."""

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evals.case import Tool
from evals.formats.model_text import read_model_text
from evals.parsers.adaptive_xml import (
    AdaptiveXmlParser,
    declared_tools,
    parse,
    parse_tool_call,
)
from evals.parsers.events import Content, MalformedCall, ParserEvent, ToolCall, merged


def tool(name: str, definitions: dict[str, Any] | None = None, **properties: Any) -> Tool:
    schema = {"type": "object", "properties": properties, "$defs": definitions or {}}
    return Tool(name=name, parameters=schema)


TOOLS = (
    tool("todoread"),
    tool("todo"),
    tool("get", city={"type": "string"}, unit={"type": "string"}),
    tool("write-file.v2", path={"type": "string"}, content={"type": "string"}),
    tool(
        "f",
        {"far": {"type": "integer"}},
        text={"type": "string"},
        n={"type": "integer"},
        x={"type": "number"},
        yes={"type": "boolean"},
        items={"type": "array"},
        thing={"type": "object"},
        maybe={"type": ["string", "null"]},
        level={"anyOf": [{"type": "integer"}, {"type": "null"}]},
        size={"enum": [1, 2, "big"]},
        colour={"enum": ["red", "1"]},
        far={"$ref": "#/$defs/far"},
        free={},
    ),
)
READ = {"city": "Paris"}
CLOSED = "</function>\n</tool_call>"


def split(text: str, *places: int, cut: bool = False, thinking: bool = False) -> list[ParserEvent]:
    parser = AdaptiveXmlParser(TOOLS, thinking=thinking)
    bounds = [0, *places, len(text)]
    events = [event for i, j in itertools.pairwise(bounds) for event in parser.feed(text[i:j])]
    return merged([*events, *parser.finish(cut=cut)])


def calls(events: list[ParserEvent]) -> list[tuple[str, Any]]:
    return [(e.name, json.loads(e.arguments)) for e in events if isinstance(e, ToolCall)]


def content(events: list[ParserEvent]) -> str:
    return "".join(e.text for e in events if isinstance(e, Content))


def malformed(events: list[ParserEvent]) -> list[str]:
    return [e.raw for e in events if isinstance(e, MalformedCall)]


TODO = [("todoread", {})]
GET = [("get", READ)]
FORMS = [
    # canonical, and on one line
    ("<tool_call>\n<function=todoread>\n</function>\n</tool_call>", TODO, ""),
    ("<tool_call><function=todoread></function></tool_call>", TODO, ""),
    ("<tool_call>\n<function=get>\n<parameter=city>\nParis\n</parameter>\n" + CLOSED, GET, ""),
    (
        "<tool_call><function=get><parameter=city>Paris</parameter></function></tool_call>",
        GET,
        "",
    ),
    # the name's > is missing
    ("<tool_call>\n<function=todoread</function>\n</tool_call>", TODO, ""),
    ("<tool_call><function=todoread</function></tool_call>", TODO, ""),
    ("<function=todoread</function>", TODO, ""),
    ("<tool_call>\n<function=todoread\n</function>\n</tool_call>", TODO, ""),
    ("<tool_call>\n<function=get\n<parameter=city>\nParis\n</parameter>\n" + CLOSED, GET, ""),
    # JSON
    ('<tool_call>\n{"name": "todoread", "arguments": {}}\n</tool_call>', TODO, ""),
    ('<tool_call>{"name": "todoread"}</tool_call>', TODO, ""),
    ('<tool_call>{"name": "get", "arguments": {"city": "Paris"}}</tool_call>', GET, ""),
    ('<tool_call>{"name": "get", "parameters": {"city": "Paris"}}</tool_call>', GET, ""),
    ('<tool_call>{"name": "get", "arguments": "{\\"city\\": \\"Paris\\"}"}</tool_call>', GET, ""),
    ('<tool_call>{"name": "todoread"}\n{"name": "todo"}</tool_call>', [*TODO, ("todo", {})], ""),
    ('<tool_call>[{"name": "todoread"}, {"name": "todo"}]</tool_call>', [*TODO, ("todo", {})], ""),
    ('Here:\n```json\n{"name": "get", "arguments": {"city": "Paris"}}\n```\n', GET, "Here:\n\n"),
    ('```\n{"name": "todoread", "arguments": {}}\n```', TODO, ""),
    ('```tool_call\n{"name": "todoread", "arguments": {}}\n', TODO, "\n"),
    # several functions in one wrapper, several wrappers
    (
        "<tool_call>\n<function=todoread>\n</function>\n<function=get>\n<parameter=city>\nParis\n"
        "</parameter>\n" + CLOSED,
        [*TODO, *GET],
        "",
    ),
    (
        "<tool_call><function=todoread></function></tool_call>\n"
        "<tool_call><function=todo></function></tool_call>",
        [*TODO, ("todo", {})],
        "\n",
    ),
    # wrapper or closers are missing
    ("I look.\n<function=todoread>\n</function>", TODO, "I look.\n"),
    ("<function=todoread>\n</function>\n</tool_call>", TODO, ""),
    ("<tool_call>\n<function=todoread>\n</function>", TODO, ""),
    ("<tool_call>\n<function=todoread>", TODO, ""),
    ("<tool_call>\n<function=todoread>\n</tool_call> done", TODO, " done"),
    ("<tool_call>\n<function=get>\n<parameter=city>\nParis\n</parameter>", GET, ""),
    ("<tool_call>\n<function=get>\n<parameter=city>\nParis\n</function>\n</tool_call>", GET, ""),
    ("<tool_call>\n<function=get>\n<parameter=city>\nParis\n</tool_call>", GET, ""),
    ("<tool_call><function=get><parameter=city>Paris</function></tool_call> ok", GET, " ok"),
    (
        "<tool_call><function=get><parameter=city>Paris<parameter=unit>C</parameter></function>",
        [("get", {"city": "Paris", "unit": "C"})],
        "",
    ),
    (
        "<tool_call>\n<function=get>\n<parameter=city>\nParis\n</function>\n"
        "<tool_call>\n<function=todoread>\n" + CLOSED,
        [*GET, *TODO],
        "",
    ),
    # quotes, spaces, names that are not letters only
    ('<tool_call><function="todoread"></function></tool_call>', TODO, ""),
    ("<tool_call>\n<function= 'todoread' >\n</function>\n</tool_call>", TODO, ""),
    ('<tool_call><function=get><parameter="city">Paris</parameter></function>', GET, ""),
    ("<tool_call>\n<function=todoread>\n</function> \n\n </tool_call> ", TODO, " "),
    (
        "<tool_call> <function=get> <parameter=city>\nParis\n</parameter> \n\n </function>\t"
        "</tool_call>",
        GET,
        "",
    ),
    ("<tool_call>\n<function=todoread>\n</function>\nDone.\n</tool_call>", TODO, "\nDone.\n"),
    ("before<tool_call><function=todoread></function></tool_call>after", TODO, "beforeafter"),
    # thought
    ("<think>a</think><tool_call><function=todoread></function>", TODO, "<think>a</think>"),
    ("<think>a <tool_call><function=todoread></function></tool_call>", TODO, "<think>a "),
    ("<think><tool_call><function=todoread></function></tool_call></think>Hi.", [], None),
    # no call
    ("if a <", [], None),
    ("use <tool_call> and </tool_call> tags", [], None),
    ("the tag <function=todoread> opens a call", [], None),
    ("<function=unknown></function>", [], None),
    ('```json\n{"name": "unknown", "arguments": {}}\n```', [], None),
    ('```json\n{"a": 1}\n```\nand ```python\nx\n```', [], None),
    ("`x` ``y``", [], None),
]


@pytest.mark.parametrize(("text", "expected", "around"), FORMS, ids=[f[0][:70] for f in FORMS])
def test_forms_and_every_split_in_two(text: str, expected: Any, around: str | None) -> None:
    whole = parse(text, TOOLS)
    assert calls(whole) == expected
    assert content(whole) == (text if around is None else around)
    assert malformed(whole) == []
    for place in range(len(text) + 1):
        assert split(text, place) == whole, text[:place]
    assert split(text, *range(len(text))) == whole


VALUES = [
    ("text", "null", "null"),
    ("text", "3", "3"),
    ("text", "  a \t", "  a \t"),
    ("text", "\na\n", "\na\n"),
    ("text", "", ""),
    ("text", "x </tool_call> y", "x </tool_call> y"),
    ("text", "x </function> y", "x </function> y"),
    ("text", "x </parameter> y", "x </parameter> y"),
    ("text", "<title>\n</parameter>", "<title>"),
    ("text", "</parameter>", "</parameter>"),
    ("text", "\n</parameter>", "\n</parameter>"),
    ("text", "x</parameter>", "x</parameter>"),
    ("text", "<parameter>\n1\n</parameter>", "<parameter>\n1\n</parameter>"),
    ("text", "</parameter>\n</parameter>", "</parameter>"),
    ("text", "x <parameter=n> y", "x <parameter=n> y"),
    ("text", "x\n</parameter>\n<parameter=text>\ny", "x\n</parameter>\n<parameter=text>\ny"),
    ("text", "x\n<parameter=no>\ny", "x\n<parameter=no>\ny"),
    ("text", "<tool_call>\n<function=todoread>", "<tool_call>\n<function=todoread>"),
    ("text", "</function></tool_call> are closers", "</function></tool_call> are closers"),
    ("text", "</function>\n</tool_call>\nis an end", "</function>\n</tool_call>\nis an end"),
    ("text", "```json\n{}\n``` <think>", "```json\n{}\n``` <think>"),
    ("n", "5", 5),
    ("n", "9007199254740993", 9007199254740993),
    ("n", "5.5", "5.5"),
    ("n", "null", "null"),
    ("x", "1e400", "1e400"),
    ("x", "1e20", 1e20),
    ("yes", "true", True),
    ("yes", "False", False),
    ("yes", "1", "1"),
    ("items", "[1, [2]]", [1, [2]]),
    ("items", "{1,2}", "{1,2}"),
    ("thing", '{"a": "</parameter>"}', {"a": "</parameter>"}),
    ("thing", "[" * 5000, "[" * 5000),
    ("maybe", "null", None),
    ("maybe", "42", "42"),
    ("maybe", "[1]", "[1]"),
    ("level", "5", 5),
    ("level", "null", None),
    ("size", "1", 1),
    ("size", "big", "big"),
    ("colour", "1", "1"),
    ("far", "7", 7),
    ("free", "1", "1"),
    ("undeclared", "1", "1"),
]


@pytest.mark.parametrize(("key", "text", "value"), VALUES)
def test_values_have_exactly_the_types_of_the_schema(key: str, text: str, value: Any) -> None:
    written = f"<tool_call>\n<function=f>\n<parameter={key}>\n{text}\n</parameter>\n{CLOSED}"
    (call,) = calls(parse(written, TOOLS))
    assert call == ("f", {key: value})
    assert type(call[1][key]) is type(value)


def test_a_tag_at_a_lines_end_ends_a_value_only_where_the_call_lacks_that_parameter() -> None:
    text = "<tool_call>\n<function=get>\n<parameter=city>\na\n<parameter=unit>\nb\n</parameter>\n"
    assert calls(parse(text + CLOSED, TOOLS)) == [("get", {"city": "a", "unit": "b"})]
    text = "<tool_call>\n<function=get>\n<parameter=city>\na\n<parameter=city>\nb\n</parameter>\n"
    assert calls(parse(text + CLOSED, TOOLS)) == [("get", {"city": "a\n<parameter=city>\nb"})]


BROKEN = [
    "<tool_call>",
    "<tool_call>\n",
    "<tool_call>\n<function=tod",
    "<tool_call>\n<function=unknown>\n</function>\n</tool_call>",
    "<tool_call>\n<function=Todoread>\n</function>\n</tool_call>",
    "<tool_call>\n<function=todoread_>\n</function>\n</tool_call>",
    "<tool_call>\n<function=get>\n<parameter=city>\nrm -rf /",
    "<function=get>\n<parameter=city>\nrm -rf /",
    "<tool_call>\n<function=get>\n<parameter=city\nx\n</parameter>\n</function>\n</tool_call>",
    '<tool_call>\n<function=get, "arguments": {}}\n</tool_call>',
    '<tool_call>\n<function name="get">\n</function>\n</tool_call>',
    '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
    '<tool_call>{"name": "get"}</tool_call>',
    '<tool_call>{"name": "get", "arguments": {"city": "Par',
    '<tool_call>{"name": "get", "arguments": {"city": "a\nb"}}</tool_call>',
    '<tool_call>{"name": "get", "arguments": {"city": NaN}}</tool_call>',
    '<tool_call>{"name": "get", "arguments": {"city": "a",}}</tool_call>',
    '<tool_call>{"name": "get", "arguments": [1]}</tool_call>',
    '<tool_call>{"name": "get", "arguments": {}, "city": "x"}</tool_call>',
    "<tool_call>[]</tool_call>",
]


@pytest.mark.parametrize("text", BROKEN)
def test_what_cannot_be_read_is_returned_as_written(text: str) -> None:
    whole = parse(text, TOOLS)
    assert calls(whole) == []
    assert content(whole).strip() == ""
    (raw,) = malformed(whole)
    inner = text.removeprefix("<tool_call>").removesuffix("</tool_call>").strip()
    assert inner in raw
    for place in range(len(text) + 1):
        assert split(text, place) == whole, text[:place]


@pytest.mark.parametrize("text", BROKEN)
def test_a_call_after_a_broken_one_is_not_lost(text: str) -> None:
    good = "\n<tool_call>\n<function=todoread>\n</function>\n</tool_call>"
    whole = parse(text + good, TOOLS)
    assert calls(whole) == TODO
    if text.strip() != "<tool_call>":  # that is the opening tag once more
        assert len(malformed(whole)) == 1 or content(whole).strip() == text.strip()


ONE = "<parameter=city>\nParis\n</parameter>\n"


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n<tool_call>\n<function=get>\n{ONE}{CLOSED}",
        f"<tool_call><tool_call>\n<tool_call>\n<function=get>\n{ONE}{CLOSED}",
        f"<tool_call>\n<function=get>\n<function=get>\n{ONE}{CLOSED}",
        f"<tool_call>\n<function=get>\n{ONE}</function>\n{CLOSED}",
        f"<tool_call>\n<function=get>\n{ONE}{CLOSED}\n</tool_call>\n</tool_call>",
        f"<tool_call>\n<function=get>\n{ONE}{ONE}{CLOSED}",
        f"<tool_call>\n<function=get>\n{ONE}<parameter=>\n</parameter>\n{CLOSED}",
        f"<tool_call>\n<function=get>\n<parameter=>\n</parameter>\n{ONE}{CLOSED}",
        f"<function=get>\n{ONE}</function>\n</function>\n</tool_call>\n</tool_call>",
    ],
)
def test_a_tag_that_is_written_twice_or_names_nothing_costs_no_call(text: str) -> None:
    whole = parse(text, TOOLS)
    assert calls(whole) == GET
    assert content(whole).strip() == ""
    assert malformed(whole) == []
    for place in range(len(text) + 1):
        assert split(text, place) == whole, text[:place]


@pytest.mark.parametrize("junk", ["\n<parameter=", "Paris"])
def test_a_call_directly_behind_one_with_too_much_in_it_is_no_part_of_its_value(junk: str) -> None:
    one = "<tool_call>\n<function=get>\n<parameter=city>\nParis\n</parameter>\n</function>"
    text = f"{one}{junk}</tool_call><tool_call>\n<function=todoread>\n{CLOSED}"
    for place in range(len(text)):
        assert calls(split(text, place)) == [("get", READ), ("todoread", {})]


def test_a_closing_tag_behind_words_is_a_part_of_them() -> None:
    text = f"<tool_call>\n<function=get>\n{ONE}{CLOSED}\nSo </tool_call>"
    assert content(parse(text, TOOLS)) == "\nSo </tool_call>"


LOOSE = Tool(
    name="loose",
    parameters={
        "type": "object",
        "properties": {
            "settings": {"type": "object"},
            "tags": {"type": "array"},
            "n": {"type": "integer"},
            "x": {"type": "number"},
            "dark": {"type": "boolean"},
            "words": {"type": "string"},
            "maybe": {"type": ["array", "null"]},
        },
    },
)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        (
            "settings",
            "{'theme': 'dark', 'big': True, 'font': None}",
            {"theme": "dark", "big": True, "font": None},
        ),
        ("settings", '{"a": "one\ntwo"}', {"a": "one\ntwo"}),
        ("tags", "['a', \"b's\"]", ["a", "b's"]),
        ("tags", "('a', 'b')", ["a", "b"]),
        ("tags", "[1, [True, None]]", [1, [True, None]]),
        ("maybe", "['a']", ["a"]),
        ("n", "+5", 5),
        ("n", "1e3", 1000.0),
        ("n", "007", 7),
        ("x", ".5", 0.5),
        ("dark", "TRUE", True),
        ("words", "['a']", "['a']"),
        ("tags", "a, b", "a, b"),
        ("tags", "{'a', 'b'}", "{'a', 'b'}"),
        ("settings", '{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ("n", "140.5", "140.5"),
        ("x", "nan", "nan"),
        ("dark", "yes", "yes"),
        ("tags", "__import__('os')", "__import__('os')"),
    ],
)
def test_pythons_spelling_is_read_where_the_schema_allows_no_text(
    key: str, text: str, value: Any
) -> None:
    written = f"<tool_call>\n<function=loose>\n<parameter={key}>\n{text}\n</parameter>\n{CLOSED}"
    (call,) = calls(parse(written, [LOOSE]))
    assert call == ("loose", {key: value})
    assert type(call[1][key]) is type(value)


def test_a_text_that_a_limit_cut_is_not_completed() -> None:
    text = "<tool_call>\n<function=get>\n<parameter=city>\nParis\n</parameter>\n"
    assert calls(split(text)) == GET
    (event,) = split(text, cut=True)
    assert isinstance(event, MalformedCall)
    assert event.cut
    assert event.raw == text


def test_without_tools_all_is_text() -> None:
    text = "<tool_call>\n<function=todoread>\n</function>\n</tool_call>"
    assert parse(text, ()) == [Content(text)]


def test_nothing_is_held_that_is_certainly_text() -> None:
    parser = AdaptiveXmlParser(TOOLS)
    assert parser.feed("Hello <") == [Content("Hello ")]
    assert parser.pending
    assert parser.feed("b>") == [Content("<b>")]
    assert not parser.pending


def test_a_call_comes_out_as_soon_as_it_is_closed() -> None:
    parser = AdaptiveXmlParser(TOOLS)
    assert parser.feed("<tool_call><function=todoread></function></tool_call>") == [
        ToolCall("todoread", "{}")
    ]


def test_the_interface_of_mlx_lm() -> None:
    body = [{"type": "function", "function": {"name": t.name, "parameters": t.parameters}}
            for t in TOOLS]  # fmt: skip
    one = "\n<function=todoread</function>\n</tool_call>"
    two = "\n<tool_call>\n<function=get>\n<parameter=city>\nParis\n</parameter>\n" + CLOSED
    assert parse_tool_call(one + two, body) == [
        {"name": "todoread", "arguments": {}},
        {"name": "get", "arguments": READ},
    ]
    (lost,) = parse_tool_call("nonsense</tool_call>", body)
    assert lost["name"] == "malformed_tool_call"
    assert "nonsense" in lost["arguments"]["raw"]


def test_an_integer_that_python_cannot_write_costs_one_call_not_the_response() -> None:
    body = [{"function": {"name": t.name, "parameters": t.parameters}} for t in TOOLS]
    text = f"<function=f>\n<parameter=n>\n{'9' * 5000}\n</parameter>\n{CLOSED}"
    (call,) = parse_tool_call(text, body)
    assert call["name"] == "malformed_tool_call"


@pytest.mark.parametrize(
    "entry", [None, 1, {}, {"function": None}, {"function": {}}, {"function": {"name": 3}}]
)
def test_a_tool_that_is_none_is_left_out(entry: Any) -> None:
    assert declared_tools([entry]) == ()


# --- generated -----------------------------------------------------------------------------------

PIECES = st.sampled_from(
    ["<tool_call>", "</tool_call>", "<function=", "</function>", "<parameter=", "</parameter>",
     "todoread", "get", "city", "unit", ">", "\n", " ", "{", "}", '"', "\\", "[", "]", ":", ",",
     '"name"', '"arguments"', '"get"', '{"name": "todoread"}', "```", "```json\n", "<think>",
     "</think>", "Paris", "<", "=", "é", "\U0001f600", "\x00"]
)  # fmt: skip
PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="<"), max_size=30)
MARKED = st.lists(PIECES.filter(lambda piece: "</parameter>" not in piece), max_size=6).map(
    lambda parts: "a" + " ".join(parts) + " z"
)


@given(st.lists(PIECES, max_size=30).map("".join), st.data())
@settings(max_examples=200)
@example("<tool_call>{", None)
def test_broken_text_never_crashes_nor_depends_on_the_split(text: str, data: Any) -> None:
    whole = split(text)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5))) if data else [1, 12]
    assert split(text, *places) == whole
    assert split(text, *range(len(text))) == whole


@given(st.lists(PIECES, max_size=30).map("".join))
@settings(max_examples=150)
def test_what_is_written_is_in_a_call_or_comes_back(text: str) -> None:
    events = split(text)
    returned = content(events) + "".join(malformed(events))
    arguments = "".join(
        e.name + str(json.loads(e.arguments)) for e in events if isinstance(e, ToolCall)
    )
    for word in ("Paris", "\U0001f600"):
        assert text.count(word) <= returned.count(word) + arguments.count(word), events
    for name, values in calls(events):
        assert name in {"todoread", "get"}
        assert name in text
        assert all(key in text for key in values)


@given(
    st.lists(
        st.one_of(
            st.just(("todoread", {})),
            st.fixed_dictionaries({"text": st.one_of(PLAIN, MARKED)}).map(lambda v: ("f", v)),
            st.fixed_dictionaries(
                {"n": st.integers(), "text": PLAIN, "yes": st.booleans(), "level": st.none()}
            ).map(lambda v: ("f", v)),
        ),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
    st.data(),
)
@settings(max_examples=100)
def test_generated_calls_come_back_exactly(written: Any, several: bool, data: Any) -> None:
    functions = [
        f"<function={name}>\n"
        + "".join(
            f"<parameter={key}>\n{v if isinstance(v, str) else json.dumps(v)}\n</parameter>\n"
            for key, v in values.items()
        )
        + "</function>\n"
        for name, values in written
    ]
    wrapped = ["".join(functions)] if several else functions
    text = "\n".join(f"<tool_call>\n{inner}</tool_call>" for inner in wrapped)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    events = split(text, *places)
    assert calls(events) == written
    assert content(events).strip() == ""


READ_HERE = {"qwen3-coder-xml", "bare-function", "hermes-json"}


@given(st.lists(PIECES, max_size=20).map("".join))
@example('todoread{"name": "todoread"}')  # a form of others
@settings(max_examples=150)
def test_calls_that_a_strict_reader_is_sure_of_are_never_lost(text: str) -> None:
    reading = read_model_text(text, TOOLS)
    sound = all(r.call.name in {"todoread", "get"} and r.format in READ_HERE for r in reading.read)
    if reading.malformed or reading.ambiguous or not sound or "think>" in text:
        return
    expected = [(c.name, json.loads(c.arguments)) for c in reading.calls if c.name]
    assert [call for call in calls(split(text)) if call in expected] == expected


# --- time ----------------------------------------------------------------------------------------


def per_byte(text: str, size: int, repeats: int) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for _ in range(repeats):
            parser = AdaptiveXmlParser(TOOLS)
            for i in range(0, len(text), size):
                parser.feed(text[i : i + size])
            parser.finish()
        best = min(best, (time.process_time() - start) / repeats)
    return best / len(text)


def call_of(length: int) -> str:
    value = "A line of text, with </parameter> and </function> in it.\n" * (length // 57 + 1)
    return f"<tool_call>\n<function=f>\n<parameter=text>\n{value}</parameter>\n{CLOSED}"


@pytest.mark.parametrize(
    ("size", "length", "repeats"), [(1 << 30, 1_000, 200), (16, 1_000, 20), (16, 100_000, 2)]
)
def test_time_is_linear_in_the_text(size: int, length: int, repeats: int) -> None:
    small, large = call_of(length), call_of(500_000)
    assert per_byte(large, size, 1) / per_byte(small, size, repeats) <= 1.5


@pytest.mark.parametrize(
    "piece",
    ["<tool_call>", "<tool_call><function=f><parameter=text>", '<tool_call>{"\\" </tool_call>',
     "</parameter></function>", "<function=f><parameter=text>", "```json\n{", "</think>", " ",
     "<tool_call>\n<function=f>\n<parameter=text>\nx\n</function>\nno\n",
     "</function>\n</tool_call>\nx\n", "{", '"'],
)  # fmt: skip
@pytest.mark.parametrize("start", ["", "<tool_call><function=f><parameter=text>", "<tool_call>{"])
def test_time_is_linear_in_hostile_text_too(start: str, piece: str) -> None:
    times = []
    for length in (20_000, 160_000):
        text = start + piece * (length // len(piece))
        times.append(per_byte(text, 1000, 1))
    assert times[1] / times[0] <= 4, "eight times the text must not cost thirty times the time"
