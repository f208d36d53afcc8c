"""The converter of training rows: nothing lost, nothing changed, and back to the same bytes."""

import functools
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from typer.testing import CliRunner

from evals.case import Tool
from evals.cli import app
from evals.errors import ConfigError
from evals.formats.model_text import read_model_text
from evals.json_text import to_text
from evals.models import base
from evals.observation import Call
from evals.training import catalogue, dataset
from evals.training.convert import Validation, convert_file, report_lines
from evals.training.rows import SOURCE_KEY, convert_line, convert_row, learned_rows
from evals.training.turns import Unconvertible, read_turn, turn_text, write_turn, written_formats

SCHEMAS = Path(__file__).parents[2] / "cases" / "tools"
TEMPLATE = base.CHAT_TEMPLATE


def fence(name, arguments):
    return f'```json\n{{"name": {to_text(name)}, "arguments": {to_text(arguments)}}}\n```'


def xml(name, **values):
    inner = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in values.items())
    return f"<tool_call>\n<function={name}>\n{inner}</function>\n</tool_call>"


def openai(name, arguments, **more):
    return {**more, "type": "function", "function": {"name": name, "arguments": arguments}}


def chat(answer, *after, tools=None, **more):
    messages = [
        {"role": "user", "content": "Do it."},
        {"role": "assistant", "content": answer, **more},
    ]
    row = {"messages": [*messages, *after]}
    return {**row, "tools": tools} if tools else row


def schema(name, **properties):
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def line(row):
    return to_text(row)


def answer(row, to="qwen3-coder-xml"):
    return convert_row(row, to)["messages"][1]["content"]


@functools.cache
def template():
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def rendered(row):
    messages = json.loads(json.dumps(row["messages"]))
    for message in messages:
        for call in message.get("tool_calls") or []:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return template().render(messages=messages, tools=row.get("tools"))


@pytest.fixture(scope="module")
def generated():
    """Rows of the generated dataset, with calls in OpenAI's form; at least 683."""
    rows = dataset.generate(catalogue.read_catalogue(SCHEMAS), exchanges=3000, seed=11)
    assert len(rows) >= 683
    return rows


# What the converter that this one replaces got wrong.


def test_a_call_without_arguments_is_converted():
    assert answer(chat(fence("todoread", {}))) == xml("todoread")


def test_values_are_json_and_never_python():
    call = fence("f", {"a": True, "b": None, "c": [1, {"k": False}], "d": 'say "x"', "e": 2.0})
    values = {"a": "true", "b": "null", "c": '[1, {"k": false}]', "d": 'say "x"', "e": "2.0"}
    assert answer(chat(call)) == xml("f", **values)


def test_all_calls_and_the_text_around_them_are_kept():
    written = f"First:\n{fence('f', {'n': 1})}\nthen\n\n{fence('g', {})} done."
    assert answer(chat(written)) == f"First:\n{xml('f', n=1)}\nthen\n\n{xml('g')} done."


def test_all_calls_of_one_block_are_kept():
    block = '```json\n[{"name": "f", "arguments": {"n": 1}}, {"name": "g", "arguments": {}}]\n```'
    assert answer(chat(block)) == f"{xml('f', n=1)}\n{xml('g')}"


def test_arguments_with_backticks_are_converted():
    code = "`ls`\n```python\nprint(1)\n```\n"
    assert answer(chat(fence("write", {"text": code}))) == xml("write", text=code)


def test_what_is_not_converted_is_not_counted_as_converted(tmp_path):
    good, broken = chat(fence("f", {"n": 1})), chat('```json\n{"name": "f", "arguments": {]}\n```')
    report = write_and_convert(
        tmp_path, [line(good), line(broken), line(chat("Paris."))], "qwen3-coder-xml"
    )
    assert (report.total, report.converted, report.without_calls) == (3, 1, 1)
    assert [item.number for item in report.rejected] == [2]


# Reading.


@pytest.mark.parametrize(
    ("content", "format_"),
    [
        (fence("f", {"n": 1}), "json-fence"),
        ('```\n{"arguments": {"n": 1},\n "name": "f"}\n\n ```', "json-fence"),
        ('```json {"name": "f", "arguments": {"n": 1}} ```', "json-fence"),
        ('```tool_call\r\n[{"name": "f", "arguments": {"n": 1}}]\r\n```', "json-fence"),
        ('<tool_call>\n{"name": "f", "arguments": {"n": 1}}\n</tool_call>', "hermes-json"),
        ('<tool_call>{"arguments":{"n":1},"name":"f"}</tool_call>', "hermes-json"),
        (xml("f", n=1), "qwen3-coder-xml"),
        (
            "<tool_call><function=f><parameter=n>1</parameter></function></tool_call>",
            "qwen3-coder-xml",
        ),
    ],
)
def test_the_format_of_a_call_is_told_by_itself(content, format_):
    turn = read_turn({"role": "assistant", "content": content}, [])
    assert turn.calls == (Call("f", '{"n": 1}'),)
    assert turn.formats == {format_}


def test_a_row_that_mixes_formats_is_read():
    mixed = chat(f"{fence('a', {})}\n{xml('b')}", tool_calls=[openai("c", "{}")])
    assert answer(mixed) == f"{xml('a')}\n{xml('b')}\n{xml('c')}"
    again = convert_line(line(mixed), "qwen3-coder-xml")
    assert again.row[SOURCE_KEY] == line(mixed)


@pytest.mark.parametrize(
    "content",
    [
        'The file:\n```json\n{"name": "left-pad", "version": "1.0.0"}\n```',
        '```json\n{"name": "Ada"}\n```',
        '```json\n["a", {"b": 1}]\n```',
        "```js\n{ broken }\n```",
        "```python\n[print(1)]\n```",
        "a ``` b",
        '{"temperature": 20}',
        "1 < 2 & 3",
        "",
    ],
)
def test_an_answer_in_words_stays_as_it_is(content):
    converted = convert_line(line(chat(content)), "qwen3-coder-xml")
    assert converted.line == line(chat(content))
    assert (converted.turns, converted.call_turns) == (1, 0)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ('{"messages": [], "messages": []}', "duplicate key"),
        ("[]", "not a chat row"),
        ({"prompt": "a", "completion": "b"}, "not a chat row"),
        ({"messages": [{"content": "a"}]}, r"messages\[0\]"),
        ({"text": "no turns"}, "not ChatML"),
        ({"text": "<|im_start|>user\na<|im_end|>\nrest"}, "not ChatML"),
        (chat([{"type": "text", "text": "a"}]), "not a text"),
        (chat("", function_call={"name": "f"}), "function_call"),
        (chat("", tool_calls={"name": "f"}), "not a list"),
        (chat("", tool_calls=["f"]), "no object"),
        (chat("", tool_calls=[openai("f", "{", id="1")]), "arguments of f are not JSON"),
        (chat("", tool_calls=[openai("f", "[]")]), "not an object"),
        (chat("", tool_calls=[openai("f", "{}", extra=1)]), '"extra"'),
        (chat(fence("f", [1])), "not an object"),
        (chat(fence("f", '{"n": 1}')), "not an object"),
        (chat('```json\n{"name": "f", "arguments": {}, "why": 1}\n```'), '"why" beside'),
        (chat('```json\n{"name": "f", "arguments": {"n": NaN}}\n```'), "NaN"),
        (chat('```json\n{"name": "f", "arguments": {"n": 1, "n": 2}}\n```'), "duplicate key"),
        (chat("```json\n{'name': 'f', 'arguments': {'n': True}}\n```"), "broken"),
        (chat('```json\n{"arguments": {"a": tru}, "name": "f"}\n```'), "broken"),
        (chat('```json\n{"name": "f", "arguments": {}}\n{"name": "g"}\n```'), "not followed by"),
        (chat('```json\n{"name": "f", "arguments": {}}'), "not followed by"),
        (chat('```json\n{"name": "f"}\n```', tools=[schema("f")]), '"arguments" of f'),
        (chat('```json\n[{"name": "f", "arguments": {}}, 1]\n```'), "not an object"),
        (chat('{"name": "f", "arguments": {}}'), "neither in a code block nor in tags"),
        (chat('<tool_call>{"name": "f"}</tool_call>'), '"arguments" of f'),
        (chat('<tool_call>{"name": "f", "arguments": {}}'), "not followed by </tool_call>"),
        (chat("<tool_call></tool_call>"), "empty"),
        (chat(xml("f", a="1</parameter><parameter=a>2")), "a comes twice"),
        (chat("<tool_call><function=f></tool_call>"), "broken XML"),
        (chat("<function=f>\n</function>"), "<function= stands outside"),
        (chat(f"{xml('f')}</tool_call>"), "</tool_call> stands outside"),
        (chat(f"Say </parameter>. {fence('f', {})}"), "</parameter> stands outside"),
        ({**chat(fence("f", {})), "tools": {"f": 1}}, '"tools" is not a list'),
        ({**chat(fence("f", {})), "tools": [{"function": {}}]}, r"tools\[0\]"),
        (chat(fence("f", {}), {"role": "tool", "content": [1]}), "tool message is not a text"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(row, reason):
    with pytest.raises(Unconvertible, match=reason):
        convert_line(row if isinstance(row, str) else line(row), "qwen3-coder-xml")


# Writing.


@pytest.mark.parametrize(
    ("value", "kind", "remedy"),
    [
        ("1", "string", True),
        ("true", "string", True),
        ("null", "string", True),
        ("[]", "string", True),
        ("1 ", "string", True),
        (1, "integer", True),
        ("True", "string", False),
        ('"quoted"', "string", False),
        ("Zürich\n", "string", False),
    ],
)
def test_the_schema_tells_text_from_other_types(value, kind, remedy):
    bare = chat(fence("f", {"a": value}))
    if remedy and isinstance(value, str):
        with pytest.raises(Unconvertible, match="declare its type"):
            convert_line(line(bare), "qwen3-coder-xml")
    elif not remedy:
        assert answer(bare) == xml("f", a=value)
    typed = {**bare, "tools": [schema("f", a={"type": kind})]}
    there = convert_line(line(typed), "qwen3-coder-xml")
    assert there.row["messages"][1]["content"] == xml("f", a=value)
    assert convert_line(there.line, "json-fence").line == line(typed)


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        ("5", {"type": "integer"}),
        ("null", {"type": ["string", "null"]}),
        ("7", {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ("True", {"type": "boolean"}),
        (5, {"type": "string"}),
        (5, {}),
    ],
)
def test_a_value_that_would_change_its_type_is_refused(value, declared):
    row = chat(fence("f", {"a": value}), tools=[schema("f", a=declared)])
    with pytest.raises(Unconvertible, match=r"f: a is .* would be read back"):
        convert_line(line(row), "qwen3-coder-xml")


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("f", {"a": "x</parameter>y"}, "a holds </parameter>"),
        ("f", {"a": ["<tool_call>"]}, "a holds <tool_call>"),
        ("f", {"a": "</tool_call>"}, "a holds </tool_call>"),
        ("f", {"a": "<function=g>"}, "a holds <function="),
        ("f", {"a>b": 1}, "cannot be written as XML"),
        ("f", {"": 1}, "cannot be written as XML"),
        ("f", {" a": 1}, "cannot be written as XML"),
        ("f g", {}, "cannot be written as XML"),
        ("f>", {}, "cannot be written as XML"),
        ("f>\n</function>\n</tool_call>\n", {}, "as the name of an XML call"),
    ],
)
def test_what_xml_cannot_hold_is_refused(name, arguments, reason):
    with pytest.raises(Unconvertible, match=reason):
        convert_line(line(chat(fence(name, arguments))), "qwen3-coder-xml")


def test_hermes_cannot_hold_its_own_tags():
    with pytest.raises(Unconvertible, match="</tool_call>"):
        convert_line(line(chat(fence("f", {"a": "</tool_call>"}))), "hermes-json")


def test_tool_calls_have_no_place_for_text_behind_them():
    with pytest.raises(Unconvertible, match="text stands behind a call"):
        convert_line(line(chat(f"{fence('f', {})}\nDone.")), "openai")


def test_a_turn_is_written_in_each_format():
    calls = [Call("f", '{"n": 1}'), Call("g", "{}")]
    assert turn_text("Now.", calls, "json-fence") == (
        f"Now.\n{fence('f', {'n': 1})}\n{fence('g', {})}"
    )
    assert turn_text("", calls, "qwen3-coder-xml") == f"{xml('f', n=1)}\n{xml('g')}"
    assert turn_text("", calls[1:], "hermes-json") == (
        '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>'
    )
    assert turn_text("Hello.", [], "json-fence") == "Hello."
    with pytest.raises(Unconvertible):
        turn_text("", calls, "openai")


# Results of tools.


def test_results_become_tool_messages_and_go_back():
    results = ["Tool result: 3 files", "Tool result: a\nb"]
    after = [{"role": "user", "content": text} for text in results]
    row = chat(fence("ls", {}), *after, {"role": "assistant", "content": "Three."})
    there = convert_line(line(row), "qwen3-coder-xml")
    assert there.row["messages"][2:4] == [
        {"role": "tool", "content": "3 files"},
        {"role": "tool", "content": "a\nb"},
    ]
    assert "<tool_response>\n3 files\n</tool_response>\n<tool_response>\na\nb\n" in rendered(
        there.row
    )
    assert convert_line(there.line, "json-fence").line == line(row)


def test_a_user_who_only_says_tool_result_is_left_alone():
    row = chat("Paris.", {"role": "user", "content": "Tool result: what is that?"})
    assert convert_line(line(row), "qwen3-coder-xml").line == line(row)


def test_results_beside_calls_in_the_wanted_format_are_converted_too():
    row = chat(xml("ls"), {"role": "user", "content": "Tool result: 3 files"})
    once = convert_line(line(row), "qwen3-coder-xml")
    assert once.row == chat(xml("ls"), {"role": "tool", "content": "3 files"})
    assert convert_line(once.line, "qwen3-coder-xml").line == once.line


def test_a_result_without_a_call_has_no_place_beside_fences():
    messages = [{"role": "tool", "content": "3"}, {"role": "assistant", "content": xml("f")}]
    with pytest.raises(Unconvertible, match="read back differently"):
        convert_line(line({"messages": messages}), "json-fence")


def test_chatml_rows_are_converted_and_go_back():
    turns = [
        ("system", "You help."),
        ("user", "List."),
        ("assistant", f"{fence('ls', {})}\n{fence('ls', {'path': 'src'})}"),
        ("user", "Tool result: a"),
        ("user", "Tool result: b"),
        ("assistant", "Two."),
    ]
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    for source in (text, text.removesuffix("\n")):
        there = convert_line(line({"text": source}), "qwen3-coder-xml")
        assert f"assistant\n{xml('ls')}\n{xml('ls', path='src')}<|im_end|>" in there.row["text"]
        assert (
            "<|im_start|>user\n<tool_response>\na\n</tool_response>\n<tool_response>\nb\n"
            "</tool_response><|im_end|>\n<|im_start|>assistant\nTwo." in there.row["text"]
        )
        assert not there.keeps_source
        assert convert_line(there.line, "json-fence").line == line({"text": source})
        with pytest.raises(Unconvertible, match="no place for tool_calls"):
            convert_line(line({"text": source}), "openai")


# The way back.

NAMES = st.from_regex(r"[a-z_]{1,6}", fullmatch=True)
# Hypothesis draws strings of the code under test, too: no text here may begin a tag or a result.
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="<"), max_size=12
) | st.sampled_from(["\n", "a\nb", " x ", 'é <b> & "q" \'', "`", "```"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner | TEXTS, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(NAMES, VALUES | TEXTS, max_size=4)
CALLS = st.lists(st.tuples(NAMES, ARGUMENTS), min_size=1, max_size=3)
PROSE = st.text(st.characters(codec="utf-8", exclude_characters="<`{:"), max_size=12)
TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array"}


def declared(calls):
    """Schemas under which each value is of the declared type, as in any sane dataset."""
    found = {}
    for name, arguments in calls:
        kinds = {
            key: {"type": "null" if value is None else TYPES.get(type(value), "object")}
            for key, value in arguments.items()
        }
        if found.setdefault(name, kinds) != kinds:
            return None
    return [schema(name, **kinds) for name, kinds in found.items()]


@st.composite
def rows(draw):
    """Canonical rows in OpenAI's form; in the other formats `convert_row` makes them."""
    messages = [{"role": "system", "content": draw(TEXTS)}]
    every = []
    for calls in draw(st.lists(CALLS, min_size=1, max_size=2)):
        if declared([*every, *calls]) is None:
            continue
        every += calls
        structured = [openai(name, to_text(arguments)) for name, arguments in calls]
        content = draw(PROSE).strip()
        messages.append({"role": "user", "content": draw(PROSE)})
        messages.append({"role": "assistant", "content": content, "tool_calls": structured})
        results = draw(st.lists(TEXTS, max_size=len(calls)))
        messages += [{"role": "tool", "content": result} for result in results]
    messages.append({"role": "assistant", "content": draw(PROSE)})
    return {"messages": messages, "tools": declared(every)}


@settings(deadline=None)
@given(rows(), st.permutations(written_formats()), st.booleans(), st.booleans())
def test_canonical_rows_go_through_all_formats_and_back(row, formats, ascii_only, compact):
    separators = (",", ":") if compact else None
    row = convert_row(row, formats[0])
    start = json.dumps(row, ensure_ascii=ascii_only, separators=separators)
    start = start.encode("utf-8", "backslashreplace").decode("utf-8")
    current = start
    for format_ in [*formats[1:], formats[0]]:
        converted = convert_line(current, format_)
        assert SOURCE_KEY not in converted.row
        current = converted.line
    assert current == start


@settings(deadline=None)
@given(rows())
def test_every_format_renders_to_the_same_prompt_and_reads_as_the_same_calls(row):
    as_xml = convert_row(row, "qwen3-coder-xml")
    assert rendered(as_xml) == rendered(row)
    tools = [
        Tool(name=t["function"]["name"], parameters=t["function"]["parameters"])
        for t in row["tools"]
    ]
    for before, after in zip(row["messages"], as_xml["messages"], strict=True):
        if before.get("tool_calls"):
            reading = read_model_text(after["content"], tools)
            assert [(call.name, json.loads(call.arguments)) for call in reading.calls] == [
                (call["function"]["name"], json.loads(call["function"]["arguments"]))
                for call in before["tool_calls"]
            ]
            assert not reading.malformed


FENCES = st.builds(
    lambda name, arguments, language, before, after, indent, ascii_only: (
        f"```{language}{before}"
        + json.dumps({"arguments": arguments, "name": name}, indent=indent, ensure_ascii=ascii_only)
        + f"{after}```"
    ),
    NAMES,
    ARGUMENTS,
    st.sampled_from(["json", "", "tool_call"]),
    st.sampled_from(["\n", " ", "\r\n\n"]),
    st.sampled_from(["\n", "", "\n  \n"]),
    st.sampled_from([None, 2]),
    st.booleans(),
)


@settings(deadline=None)
@given(
    st.lists(FENCES | PROSE, max_size=4).map("".join),
    st.sampled_from(["qwen3-coder-xml", "hermes-json", "openai"]),
    st.sampled_from([None, 1]),
)
@example("no call", "qwen3-coder-xml", None)
def test_any_spelling_comes_back_byte_for_byte_or_is_refused(content, to, indent):
    start = json.dumps(chat(content), indent=indent).replace("\n", "")
    try:
        there = convert_line(start, to)
    except Unconvertible:
        return
    assert convert_line(there.line, "json-fence").line == start
    turns = [read_turn(r["messages"][1], []) for r in (json.loads(start), there.row)]
    assert turns[0].calls == turns[1].calls


def test_openai_ids_and_odd_white_space_come_back():
    row = chat(
        None,
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        tool_calls=[openai("f", '{"n":1}', id="call_1")],
    )
    start = json.dumps(row, indent=0).replace("\n", " ")
    there = convert_line(start, "qwen3-coder-xml")
    assert there.keeps_source
    assert there.row["messages"][1:] == [
        {"role": "assistant", "content": xml("f", n=1)},
        {"role": "tool", "content": "3"},
    ]
    through = convert_line(there.line, "hermes-json")
    assert convert_line(through.line, "openai").line == start
    assert convert_line(through.line, "qwen3-coder-xml").line == there.line


def test_only_the_line_end_before_a_call_belongs_to_the_format():
    start = line(chat(f"Look: \n\n{fence('f', {})}"))
    there = convert_line(start, "openai")
    assert there.row["messages"][1]["content"] == "Look: \n"
    assert not there.keeps_source
    assert convert_line(there.line, "json-fence").line == start


def test_an_edited_row_is_not_replaced_by_its_source():
    there = convert_line(line(chat(f"{fence('f', {'n': 1})}\n\n{fence('g', {})}   ")), "openai")
    assert there.keeps_source
    edited = there.line.replace('{\\"n\\": 1}', '{\\"n\\": 2}')
    assert edited != there.line
    back = convert_line(edited, "json-fence")
    assert back.row["messages"][1]["content"] == f"{fence('f', {'n': 2})}\n{fence('g', {})}"
    assert convert_line(back.line, "openai").line == edited


def test_a_row_in_the_wanted_format_keeps_its_bytes():
    call = "<tool_call><function=f></function></tool_call>"
    start = '{"messages":[ {"role":"assistant","content":"' + call + '"}]}'
    assert convert_line(start, "qwen3-coder-xml").line == start


# Rows for trainers that learn the last message only.


def test_each_assistant_turn_gets_a_row_of_its_own():
    row = chat(
        xml("ls"),
        {"role": "tool", "content": "a"},
        {"role": "assistant", "content": "One file."},
        {"role": "user", "content": "Thanks."},
        tools=[schema("ls")],
    )
    parts = learned_rows(row)
    assert [part["messages"] for part in parts] == [row["messages"][:2], row["messages"][:4]]
    assert all(part["tools"] == row["tools"] for part in parts)
    assert learned_rows({"messages": row["messages"][:1]}) == [{"messages": row["messages"][:1]}]


# Files and the command.


def write_and_convert(folder, lines, to, **options):
    (folder / "in.jsonl").write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return convert_file(folder / "in.jsonl", folder / "out.jsonl", to, **options)


def command(*arguments):
    return CliRunner().invoke(app, ["model", "convert", *map(str, arguments)])


def test_a_file_of_fences_is_converted_whole_and_comes_back_byte_for_byte(tmp_path, generated):
    start, there, back = (tmp_path / name for name in ("fence.jsonl", "xml.jsonl", "back.jsonl"))
    fences = [convert_row(row, "json-fence") for row in generated]
    start.write_text("".join(f"{line(row)}\n" for row in fences), encoding="utf-8")
    result = command(start, there, "--to", "qwen3-coder-xml")
    assert result.exit_code == 0, result.output
    rows = [json.loads(text) for text in there.read_text(encoding="utf-8").splitlines()]
    calling = sum(any(m.get("tool_calls") for m in row["messages"]) for row in generated)
    counts = f"{len(rows)} rows = {calling} converted + {len(rows) - calling} without calls"
    assert f"{counts} + 0 rejected" in result.output
    assert "carry their source" not in result.output
    assert "```json" not in there.read_text(encoding="utf-8")
    assert [rendered(row) for row in rows] == [rendered(row) for row in generated]
    assert command(there, back, "--to", "json-fence").exit_code == 0
    assert back.read_bytes() == start.read_bytes()


@pytest.mark.parametrize("to", ["qwen3-coder-xml", "hermes-json", "openai"])
def test_odd_files_come_back_byte_for_byte_but_for_the_listed(tmp_path, to):
    odd = [
        json.dumps(chat(f"{fence('f', {'city': 'Zürich'})} \n"), separators=(",", ":")).encode(),
        b'{ "messages": [ {"role": "assistant", "content": "```\\n{\\"name\\": \\"f\\", '
        b'\\"arguments\\": {\\"n\\": 1e2}}```"} ] } ',
        b"",
        b"\xff",
        line(chat(fence("f", {"n": "\ud800x"}))).encode(),
        b'{"text": 1}\r',
        line(chat("Paris.\u2028")).encode() + b"\r",
    ]
    start, there, back = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl"))
    start.write_bytes(b"\n".join(odd))
    result = command(start, there, "--to", to)
    assert result.exit_code == 1
    assert "7 rows = 3 converted + 1 without calls + 3 rejected" in result.output
    for number in (3, 4, 6):
        assert f"{start}:{number}: " in result.output
    assert (tmp_path / "b.rejected.jsonl").read_bytes() == b"\n\xff\n" + odd[5] + b"\n"
    assert command(there, back, "--to", "json-fence").exit_code == 0
    assert back.read_bytes() == b"\n".join(odd[i] for i in (0, 1, 4, 6))


def test_a_later_run_leaves_no_old_list(tmp_path):
    assert write_and_convert(tmp_path, ["{"], "qwen3-coder-xml").rejected
    assert (tmp_path / "out.rejected.jsonl").exists()
    assert not write_and_convert(tmp_path, [line(chat("a"))], "qwen3-coder-xml").rejected
    assert not (tmp_path / "out.rejected.jsonl").exists()


def test_a_split_loses_nothing_and_keeps_equal_questions_together(tmp_path, generated):
    lines = [line(row) for row in generated[:300] for _ in range(2)]
    held = tmp_path / "valid.jsonl"
    report = write_and_convert(
        tmp_path, lines, "qwen3-coder-xml", validation=Validation(held, 0.1, 7)
    )
    parts = [
        path.read_text(encoding="utf-8").splitlines() for path in (report.written[0].path, held)
    ]
    assert [len(part) for part in parts] == [part.rows for part in report.written]
    everything = Counter(convert_line(text, "qwen3-coder-xml").line for text in lines)
    assert Counter(parts[0]) + Counter(parts[1]) == everything
    assert len(parts[1]) / len(lines) == pytest.approx(0.1, abs=0.01)
    assert not set(parts[0]) & set(parts[1])
    before = held.read_bytes()
    write_and_convert(tmp_path, lines, "qwen3-coder-xml", validation=Validation(held, 0.1, 7))
    assert held.read_bytes() == before
    write_and_convert(tmp_path, lines, "qwen3-coder-xml", validation=Validation(held, 0.1, 8))
    assert held.read_bytes() != before


def test_the_report_tells_sizes_and_the_share_of_calls(tmp_path):
    lines = [line(chat(fence("f", {"n": i}))) for i in range(3)] + [line(chat("Paris."))]
    report = write_and_convert(tmp_path, lines, "qwen3-coder-xml", shape="per-turn")
    assert report_lines(report) == [
        f"{tmp_path}/in.jsonl: 4 rows = 3 converted + 1 without calls + 0 rejected",
        f"{tmp_path}/out.jsonl: 4 rows; 3 of 4 assistant turns have calls, 75.0%",
    ]


def test_per_turn_rows_end_with_the_turn_that_is_learned(tmp_path, generated):
    report = write_and_convert(
        tmp_path, [line(row) for row in generated], "qwen3-coder-xml", shape="per-turn"
    )
    written = [json.loads(text) for text in report.written[0].path.read_text().splitlines()]
    turns = [m for row in generated for m in row["messages"] if m["role"] == "assistant"]
    assert len(written) == report.written[0].rows == report.written[0].turns == len(turns)
    assert all(row["messages"][-1]["role"] == "assistant" for row in written)
    calling = [row for row in written if "<tool_call>" in row["messages"][-1]["content"]]
    assert len(calling) == report.written[0].call_turns == sum("tool_calls" in m for m in turns)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jsonl", "out.jsonl"], "there is no file"),
        (["empty.jsonl", "out.jsonl"], "is empty"),
        (["in.jsonl", "in.jsonl"], "would be overwritten"),
        (["in.jsonl", "out.jsonl", "--validation", "out.jsonl"], "would be overwritten"),
        (["in.jsonl", "nowhere/out.jsonl"], "there is no folder nowhere"),
        (["in.jsonl", "."], "is a folder"),
        (["in.jsonl", "out.jsonl", "--validation", "v.jsonl", "--share", "2"], "--share 2.0"),
    ],
)
def test_wrong_use_is_said_and_nothing_is_written(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text(line(chat("a")) + "\n", encoding="utf-8")
    Path("empty.jsonl").touch()
    result = command(*arguments, "--to", "qwen3-coder-xml")
    assert result.exit_code == 1
    assert message in str(result.exception) + result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.jsonl", "in.jsonl"]


def test_errors_of_use_are_config_errors(tmp_path):
    with pytest.raises(ConfigError):
        convert_file(tmp_path / "none", tmp_path / "out", "qwen3-coder-xml")


def test_write_turn_leaves_other_keys_alone():
    message = {"role": "assistant", "content": fence("f", {}), "weight": 1}
    turn = read_turn(message, [])
    assert write_turn(message, turn, "openai", []) == {
        "role": "assistant",
        "content": "",
        "weight": 1,
        "tool_calls": [openai("f", "{}")],
    }
