"""Reasons: what differs also looks different, JSON is written once, and kinds are right."""

import json
import unicodedata

import builders
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.case import Tool
from evals.judging.checks import check_stream
from evals.judging.looks import apart, one_line
from evals.observation import Call
from evals.results import Kind, Layer, Status

TOOLS = (
    Tool(name="todoread"),
    Tool(name="todowrite"),
    Tool(
        name="f",
        parameters={
            "type": "object",
            "properties": {"n": {"type": "integer"}, "text": {"type": "string"}},
        },
    ),
)
CALL = {"call": {"name": "f", "arguments": {"n": 5}}}
XML = "<tool_call>\n<function=f>\n<parameter={}>\n{}\n</parameter>\n</function>\n</tool_call>"


def called(*calls, raw=None):
    return builders.observation(
        calls=tuple(Call(*call, id=str(i)) for i, call in enumerate(calls)),
        finish_reason="tool_calls",
        raw_text=raw,
    )


def judged(expect, seen, **more):
    return builders.judge(builders.case(expect, tools=TOOLS), seen, **more)


ALIKE = [
    ("caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9"), "caf\\u00e9", "cafe\\u0301"),
    ("a b", "a\u00a0b", "a b", "a\\u00a0b"),
    ("Paris", "P\u0430ris", "Paris", "P\\u0430ris"),  # a Cyrillic letter
    ("ab", "a\u200bb", "ab", "a\\u200bb"),
    ("a-b", "a\u2011b", "a-b", "a\\u2011b"),
    ("it's", "it\u2019s", "it's", "it\\u2019s"),
    ("5", "\uff15", "5", "\\uff15"),
]


@pytest.mark.parametrize(("one", "other", "shown", "shown_other"), ALIKE)
def test_what_looks_alike_is_told_by_its_code_points(one, other, shown, shown_other):
    assert apart(one, other) == (shown, shown_other)
    expect = {"call": {"name": "f", "arguments": {"text": one}}}
    arguments = json.dumps({"text": other}, ensure_ascii=False)
    found = judged(expect, called(("f", arguments), raw=XML.format("text", one)))
    assert found.cause.kind == Kind.CHANGED_ARGUMENTS
    for verdict in found.verdicts:
        for difference in verdict.differences:
            assert (difference.expected, difference.got) == (f'"{shown}"', f'"{shown_other}"')


def test_what_looks_different_is_shown_as_it_is():
    assert apart("Café", "Zürich") == ("Café", "Zürich")
    assert apart("é", "é") == ("é", "é")
    assert apart("a\nb", "c") == ("a\\nb", "c")
    assert one_line("a\n\tb\u202ec\U000e0001") == "a\\n\\tb\\u202ec\\udb40\\udc01"


@given(st.text(), st.text())
def test_two_texts_that_differ_are_shown_as_different_ones(one, other):
    shown = apart(one, other)
    if "\\" not in one + other:
        assert (shown[0] == shown[1]) == (one == other)
    assert all(text.isprintable() for text in shown)


def test_json_is_not_encoded_once_more():
    changed = judged(CALL, called(("f", '{"n": "5"}'), raw=XML.format("n", 5)))
    faithful = next(v for v in changed.verdicts if v.check == "faithful")
    assert '$.n was written as 5 and became "5"' in faithful.reason
    lost = judged(CALL, builders.observation(raw_text=XML.format("n", 5)))
    assert any('the call f({"n": 5}) was lost' in v.reason for v in lost.verdicts)
    seen = [builders.observation(calls=(Call("f", text),)) for text in ('{"n": 5}', '{"n": 6}')]
    (difference,) = check_stream(*seen).differences
    assert (difference.expected, difference.got) == ('f({"n": 6})', 'f({"n": 5})')
    assert not any('\\"' in v.reason for found in (changed, lost) for v in found.verdicts)


@pytest.mark.parametrize(
    ("text", "said"),
    [("[1]", "are JSON, but not an object: [1]"), ("{", "are not strict JSON: ")],
)
def test_sentences_about_arguments_have_one_verb(text, said):
    found = judged(CALL, called(("f", text), raw=XML.format("n", 5)))
    reasons = [verdict.reason for verdict in found.verdicts if not verdict.passed]
    assert any(said in reason for reason in reasons)
    assert not any("are the arguments are" in reason for reason in reasons)


def test_null_and_missing_are_told_from_an_empty_text():
    plain, stream = builders.observation(content="Yes."), builders.observation(content=None)
    (difference,) = check_stream(stream, plain).differences
    assert (difference.expected, difference.got) == ('"Yes."', "null")
    (difference,) = check_stream(builders.observation(content=""), plain).differences
    assert difference.got == '""'
    found = judged({"answer": {}}, builders.observation(content=None, raw_text="Yes."))
    faithful = next(v for v in found.verdicts if v.check == "faithful")
    assert faithful.differences[0].got == "null"
    expect = {"call": {"name": "f", "arguments": {"text": ""}}}
    for arguments, shown in (('{"text": null}', "null"), ("{}", "(absent)")):
        found = judged(expect, called(("f", arguments)))
        assert f'expected "", got {shown}' in found.cause.reason


@pytest.mark.parametrize(
    ("value", "expected", "kind"),
    [
        ("5.0x", 5, Kind.WRONG_VALUE),
        ("ten", 5, Kind.WRONG_VALUE),
        ("5.5", {"$approx": 5.5}, Kind.WRONG_TYPE),
        ("5.5", {"$ignore": True}, Kind.WRONG_TYPE),
    ],
)
def test_a_wrong_type_is_one_that_a_change_of_type_would_mend(value, expected, kind):
    seen = builders.observation(raw_text=XML.format("n", value), finish_reason="tool_calls")
    found = judged({"call": {"name": "f", "arguments": {"n": expected}}}, seen)
    assert ("call_or_answer", kind, Layer.MODEL) in {
        (v.check, v.kind, v.layer) for v in found.verdicts
    }


@pytest.mark.parametrize(
    ("raw", "delivered"),
    [
        (XML.format("n", 5), [("f", '{"n": 5}')]),
        (XML.format("n", 5).removesuffix("\n</tool_call>"), []),
        (XML.format("n", "ten"), []),
        ('<tool_call>{"name": "f", "arguments": {"n": 5}}</tool_call>', []),
        ('<tools>{"name": "f", "arguments": {"n": 5}}</tools>', []),
    ],
)
def test_a_call_where_an_answer_is_expected_is_spurious_whatever_came_of_it(raw, delivered):
    seen = called(*delivered, raw=raw) if delivered else builders.observation(raw_text=raw)
    found = judged({"answer": {}}, seen)
    first = next(v for v in found.verdicts if v.check == "call_or_answer")
    assert (first.kind, first.layer) == (Kind.SPURIOUS_CALL, Layer.MODEL)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["todoread"], Kind.WRONG_TOOL),
        (["todoread", "todowrite", "todoread"], Kind.WRONG_TOOL),
        (["f", "todoread"], Kind.SPURIOUS_CALL),
    ],
)
def test_several_wrong_tools_are_wrong_tools(names, kind):
    found = judged(CALL, called(*((name, '{"n": 5}' if name == "f" else "{}") for name in names)))
    assert next(v for v in found.verdicts if v.check == "tool_name").kind == kind


def test_a_call_too_few_is_missing_and_another_one_is_wrong():
    two = {"calls": [CALL["call"], {"name": "todoread"}]}
    found = judged(two, called(("f", '{"n": 5}')))
    assert found.cause.kind == Kind.MISSING_CALL
    assert judged(two, called(("todowrite", "{}"))).cause.kind == Kind.WRONG_TOOL


def test_a_parameter_that_comes_twice_with_one_value_is_not_ambiguous():
    twice = "<parameter=n>\n5\n</parameter>\n"
    raw = f"<tool_call>\n<function=f>\n{twice}{twice}</function>\n</tool_call>"
    assert judged(CALL, called(("f", '{"n": 5}'), raw=raw)).verdicts[-1].reason == ""
    found = judged(CALL, called(("f", '{"n": 6}'), raw=raw))
    assert found.cause.layer == Layer.PARSER
    other = raw.replace("5", "6", 1)
    assert judged(CALL, called(("f", '{"n": 7}'), raw=other)).cause.layer == Layer.UNKNOWN
    assert judged(CALL, called(("f", '{"n": 5}'), raw=other)).status == Status.PASS
