"""What matchers, examples, rates and gates tell, word for word."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import builders
import golden

from evals.case import Tool
from evals.judging.matchers import check_arguments, examples
from evals.judging.schema_values import Where, sample
from evals.judging.scoring import check_gate, score, score_repeats
from evals.observation import Call, Observation
from evals.results import Record

KEPT = Path(__file__).with_name("said")
EXPECTED: tuple[Any, ...] = (
    {"$any_of": ["Paris", {"$regex": "^b"}, 5, "é"]},
    {"$any_of": []},
    {"$any_of": [{"$regex": "("}]},
    {"$regex": "^a+$"},
    {"$regex": 5},
    {"$approx": 3.14, "abs": 0.01},
    {"$approx": 100, "rel": 0.1},
    {"$approx": 2},
    {"$approx": "x"},
    {"$approx": 1, "abs": -1},
    {"$unordered": ["a", {"$any_of": ["b", "c"]}]},
    {"$unordered": "a"},
    {"$unordered": [{"$regex": "["}, 1]},
    {"$contains": ["a"]},
    {"$contains": "a"},
    {"$contains": [{"$approx": None}]},
    {"$optional": 5},
    {"$optional": {"$regex": "*"}},
    {"$ignore": True},
    {"$ignore": False},
    {"$text": "A b", "ignore": ["case", "space"]},
    {"$text": "a", "ignore": ["all"]},
    {"$text": 5},
    {"$partial": {"k": 1, "l": {"$optional": "x"}}},
    {"$partial": [1]},
    {"$partial": {"k": {"$regex": 1}}},
    {"$literal": {"$any_of": 1}},
    {"$unknown": 1},
    {"$any_of": ["a"], "abs": 1},
    {"k": [{"$any_of": []}]},
    "a b",
    None,
    5,
    [1, "a"],
)
VALUES: tuple[Any, ...] = (
    *("Paris", "paris", "b", "5", 5, 5.0, "e\u0301", "aa", "aa\n", 3.145, 3.2, 109, 111, 2.000001),
    *(["b", "a"], ["a", "c"], ["a"], ["a", "b", "b"], "xa", "A  B", "ab", "a b", "a\u00a0b"),
    *({"k": 1}, {"k": 1, "l": "x"}, {"k": 1, "m": 2}, {"k": 2}, {"$any_of": 1}, None, "", True, []),
)
SCHEMAS: tuple[Any, ...] = (
    *({}, True, False, {"type": "string"}, {"type": "integer", "minimum": 3, "maximum": 7}),
    {"type": "number", "exclusiveMinimum": 3, "exclusiveMaximum": 3.5, "multipleOf": 0.25},
    {"type": "integer", "exclusiveMinimum": 3, "multipleOf": 4},
    {"type": "integer", "exclusiveMaximum": 8, "multipleOf": 4},
    {"type": "string", "minLength": 3, "maxLength": 4, "pattern": "^[a-c]+$"},
    {"type": "string", "enum": ["Paris", "Rome"]},
    {"type": ["string", "null"]},
    {"oneOf": [{"type": "integer"}, {"type": "string", "maxLength": 2}]},
    {"anyOf": [{"const": 5}, {"type": "array", "items": {"type": "string"}, "minItems": 2}]},
    {"allOf": [{"type": "array"}, {"minItems": 3, "items": {"type": "integer"}}]},
    {"type": "array", "prefixItems": [{"const": 1}], "maxItems": 2, "uniqueItems": True},
    {"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k", "z"]},
    {"type": "object", "additionalProperties": {"type": "boolean"}, "minProperties": 1},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string", "minLength": 1}}},
    {"type": "boolean"},
)


def rounded(figures: Any) -> Any:
    """Its numbers to nine digits: the last ones may differ between machines."""
    return json.loads(json.dumps(figures, default=str), parse_float=lambda n: round(float(n), 9))


def line(*parts: object) -> str:
    return " ".join(json.dumps(part, ensure_ascii=False, default=str) for part in parts)


def test_each_matcher_and_each_value():
    tools = (Tool(name="f", parameters={"type": "object", "properties": {"v": {}}}),)
    lines = []
    for expected in EXPECTED:
        if problems := check_arguments({"v": expected}):
            lines.append(line(expected, problems))
            continue
        case = builders.case({"call": {"name": "f", "arguments": {"v": expected}}}, tools=tools)
        for value in (*VALUES, ...):
            given = {} if value is ... else {"v": value}
            call = Call("f", json.dumps(given, ensure_ascii=False), id="1")
            seen = builders.observation(calls=(call,), finish_reason="tool_calls")
            found = [v for v in builders.judge(case, seen).verdicts if v.check == "arguments"]
            said = [
                [v.passed, v.reason, [list(asdict(d).values()) for d in v.differences]]
                for v in found
            ]
            lines.append(line(expected, given, said))
    golden.as_kept(KEPT / "matchers.jsonl", lines)


def test_examples_of_each_matcher_in_each_schema():
    lines = [
        line(expected, schema, asdict(examples(expected, Where(schema, schema))))
        for expected, schema in product(EXPECTED, SCHEMAS)
        if not check_arguments({"v": expected})
    ]
    lines += [line(schema, asdict(sample(Where(schema, schema)))) for schema in SCHEMAS]
    golden.as_kept(KEPT / "examples.jsonl", lines)


def answers() -> Iterator[Record]:
    """Right, wrong, broken and missing answers to two questions, each asked three times."""
    tools = (
        Tool(name="f", parameters={"type": "object", "properties": {"n": {"type": "integer"}}}),
    )
    call = {"call": {"name": "f", "arguments": {"n": 5}}}
    for number, expect in enumerate((call, {"answer": {"contains": ["yes"]}})):
        case = builders.case(expect, tools=tools, id=f"c{number}", repeat=3, critical=not number)
        for repeat in range(3):
            arguments = json.dumps({"n": 5 + repeat // 2})
            called = {"calls": (Call("f", arguments, id="1"),), "finish_reason": "tool_calls"}
            said = {"content": "yes" if repeat else "no", "finish_reason": "stop"}
            for seen in (called, said, {**called, "finish_reason": "stop"}, {"error": "HTTP 500"}):
                yield builders.record(case, builders.observation(**seen), repeat=repeat)


def test_rates_and_gates():
    records = list(answers())
    parts: list[list[Record]] = [
        records,
        records[::4],
        records[1::4],
        records[:1],
        records[3::4],
        [],
    ]
    limits = {"case": 0.9, "tool_name": 0.2, "arguments": 0.5, "discrimination": 0.6}
    lines = []
    for part in parts:
        for thresholds in (None, limits):
            figures = score(part, thresholds)
            lines.append(line(rounded(asdict(figures))))
            for on in ("low", "value"):
                lines.append(line(asdict(check_gate("p", figures, on=on, critical=part))))
        repeats = score_repeats(part)
        lines.append(line(rounded(asdict(repeats)) if repeats else None))
    golden.as_kept(KEPT / "rates.jsonl", lines)


NOTHING = {"type": "object", "properties": {}}
TOOL = (Tool(name="f", parameters=NOTHING),)
XML = "<tool_call>\n<function=f>\n</function>\n</tool_call>"
CALL = Call("f", "{}", id="1")
WANTS = {"call": {"name": "f"}}
RARE: tuple[tuple[dict[str, Any], dict[str, Any], dict[str, Any]], ...] = (
    ({"tools": ()}, {"calls": (CALL,)}, {}),
    ({"expect": WANTS}, {"calls": (Call("f", "[1]", id="1"),)}, {}),
    ({"expect": WANTS}, {"calls": (Call("f", "5", id="1"),), "raw_text": XML}, {}),
    ({"expect": WANTS}, {"calls": (), "raw_text": XML}, {"call_format": "glm"}),
    ({"expect": WANTS}, {"calls": (), "content": XML, "raw_text": XML}, {"call_format": "mistral"}),
    ({"expect": WANTS}, {"calls": (), "finish_reason": "tool_calls", "raw_text": None}, {}),
    ({"expect": WANTS}, {"calls": (CALL,), "finish_reason": "stop", "raw_text": XML}, {}),
    ({"expect": WANTS}, {"calls": (Call("", "{}", id="1"),), "raw_text": None}, {}),
    ({"response_format": {"type": "json_object"}}, {"content": "no"}, {}),
    ({"response_format": {"type": "json_object"}}, {"calls": (CALL,), "content": "no"}, {}),
    ({"stop": ("b",)}, {"content": "a b c", "raw_text": "a b c"}, {}),
    ({"tool_choice": "none"}, {"calls": (CALL,), "raw_text": XML}, {}),
    ({"parallel_tool_calls": False, "expect": WANTS}, {"calls": (CALL, CALL)}, {}),
)


def test_rare_answers():
    lines = []
    for asked, came, how in RARE:
        values = {"tools": TOOL, **{key: v for key, v in asked.items() if key != "expect"}}
        case = builders.case(asked.get("expect"), **values)
        finish = "tool_calls" if came.get("calls") else "stop"
        seen = builders.observation(**{"finish_reason": finish, "raw_text": None, **came})
        found = builders.judge(case, seen, **how)
        lines.append(line(found.status, builders.reasons(found)))
    golden.as_kept(KEPT / "rare.jsonl", lines)


def test_a_response_without_anything():
    seen = Observation("server", status=200)
    found = builders.judge(builders.case({"answer": {}}), seen)
    assert [str(v.kind) for v in found.verdicts if not v.passed]
