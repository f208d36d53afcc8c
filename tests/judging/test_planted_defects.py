"""Responses with one planted defect each: every one is caught and blamed on the right layer.

The corpus is what a correct pipeline delivers. Conformance defects change a response behind the
model, so that its raw text stays right; the model's own defects change the raw text, and the
response is what a server makes of that.
"""

import json
from collections.abc import Callable
from dataclasses import replace

import builders
import pytest
from builders import judge

from evals.case import Case, Tool
from evals.observation import Call, Observation, Usage
from evals.results import Judgement, Kind, Layer, Status

type_ = {name: {"type": name} for name in ("string", "integer", "number", "boolean")}
GUEST = {"type": "object", "properties": {"name": type_["string"], "age": type_["integer"]}}


def tool(name, required=None, **properties):
    required = list(properties) if required is None else required
    schema = {"type": "object", "properties": properties, "required": required}
    return Tool(name=name, parameters=schema)


TOOLS = (
    tool("todoread"),
    tool("todowrite", items={"type": "array", "items": type_["string"]}),
    tool(
        "get_weather", city=type_["string"], unit={"enum": ["celsius", "kelvin"]}, required=["city"]
    ),
    tool("set_number", n=type_["integer"]),
    tool("set_temperature", celsius=type_["number"], enabled=type_["boolean"]),
    tool("book", guest=GUEST, rooms={"type": "array", "items": GUEST}),
    tool(
        "assign",
        user={"type": ["string", "null"]},
        level={"anyOf": [type_["integer"], {"type": "null"}]},
    ),
    tool("write", path=type_["string"], text=type_["string"]),
)

CALLS = {
    "none": [("todoread", {})],
    "array": [("todowrite", {"items": ["milk", "bread", "tea"]})],
    "enum": [("get_weather", {"city": "Oslo", "unit": "celsius"})],
    "optional": [("get_weather", {"city": "Café"})],
    "integer": [("set_number", {"n": 9007199254740993})],
    "number": [("set_temperature", {"celsius": 22.5, "enabled": True})],
    "object": [("book", {"guest": {"name": "Ann", "age": 9}, "rooms": [{"name": "A", "age": 1}]})],
    "nullable": [("assign", {"user": None, "level": 5})],
    "null text": [("write", {"path": "null", "text": "3"})],
    "space": [("write", {"path": "a & b", "text": "  one\n\n\ttwo \\n three\n"})],
    "markup": [("write", {"path": "x", "text": "a </tool_call> b </parameter> <function=f> c"})],
    "parallel": [("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"})],
    "mixed": [("get_weather", {"city": "Oslo"}), ("todoread", {})],
}
ANSWER = "Dependency injection hands an object what it needs, if a < b."


def case_of(calls, **more) -> Case:
    expect = {"calls": [{"name": n, "arguments": a} for n, a in calls]}
    if not calls:
        expect = {"answer": {"contains": ["injection"]}}
    return builders.case(
        expect, tools=TOOLS, max_tokens=21, **more
    )  # one more than `delivered` has used


def xml(name, arguments) -> str:
    values = {k: v if isinstance(v, str) else json.dumps(v) for k, v in arguments.items()}
    inner = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in values.items())
    return f"<tool_call>\n<function={name}>\n{inner}</function>\n</tool_call>"


def delivered(calls, raw=None, lane="server", content=None) -> Observation:
    """What a correct server makes of the calls, or of the answer where there are none."""
    text = content if content is not None else None if calls else ANSWER
    return Observation(
        lane=lane,
        status=None if lane in ("direct", "agent") else 200,
        content=text,
        calls=tuple(Call(n, json.dumps(a, ensure_ascii=False)) for n, a in calls),
        finish_reason=None if lane == "agent" else "tool_calls" if calls else "stop",
        usage=Usage(100, 20),
        raw_text=("\n".join(xml(n, a) for n, a in calls) or text) if raw is None else raw,
    )


def name(new):
    def plant(seen):
        return replace(seen, calls=(replace(seen.calls[0], name=new), *seen.calls[1:]))

    return plant


def arguments(new):
    """`new` is raw text, or a function of the parsed arguments."""

    def plant(seen):
        first = seen.calls[0]
        text = new if isinstance(new, str) else json.dumps(new(json.loads(first.arguments)))
        return replace(seen, calls=(replace(first, arguments=text), *seen.calls[1:]))

    return plant


def put(key, value):
    return arguments(lambda old: {**old, key: value(old[key]) if callable(value) else value})


def response(**changes):
    return lambda seen: replace(seen, **changes)


def drop(index, **changes):
    return lambda seen: replace(seen, calls=seen.calls[:index] + seen.calls[index + 1 :], **changes)


CORRUPT = (Kind.CORRUPT_NAME, Layer.PARSER)
CHANGED = (Kind.CHANGED_ARGUMENTS, Layer.PARSER)
INVALID = (Kind.INVALID_ARGUMENTS, Layer.PARSER)
DROPPED = (Kind.LOST_CALL, Layer.PARSER)

BEHIND: list[tuple[str, str, Callable[[Observation], Observation], Kind, Layer]] = [
    # names
    ("tag in name", "none", name("todoread</function"), *CORRUPT),
    ("newline in name", "none", name("todoread\n"), *CORRUPT),
    ("space after name", "none", name("todoread "), *CORRUPT),
    ("case of name", "none", name("TodoRead"), *CORRUPT),
    ("underscore in name", "none", name("todo_read"), *CORRUPT),
    ("nearest other name", "none", name("todowrite"), *CORRUPT),
    ("name in quotes", "none", name('"todoread"'), *CORRUPT),
    ("name with prefix", "none", name("functions.todoread"), *CORRUPT),
    ("name cut", "none", name("todo"), *CORRUPT),
    ("name empty", "none", name(""), *CORRUPT),
    ("name and parameter", "enum", name("get_weather</name"), *CORRUPT),
    (
        "name of second call",
        "mixed",
        lambda o: replace(o, calls=(o.calls[0], Call("todoread<", "{}"))),
        *CORRUPT,
    ),
    # strings
    ("text null to null", "null text", put("path", None), *CHANGED),
    ("text digit to integer", "null text", put("text", 3), *CHANGED),
    ("text stripped", "space", put("text", str.strip), *CHANGED),
    ("text without indent", "space", put("text", str.lstrip), *CHANGED),
    ("newline lost", "space", put("text", lambda v: v.replace("\n", " ")), *CHANGED),
    ("escape resolved", "space", put("text", lambda v: v.replace("\\n", "\n")), *CHANGED),
    ("entity", "space", put("path", "a &amp; b"), *CHANGED),
    ("decomposed", "optional", put("city", "Cafe\u0301"), *CHANGED),
    ("text cut at tag", "markup", put("text", "a "), *CHANGED),
    ("case of enum", "enum", put("unit", "Celsius"), *CHANGED),
    ("text in a list", "optional", put("city", ["Café"]), *CHANGED),
    # numbers, booleans, null
    ("integer to text", "integer", put("n", str), *CHANGED),
    ("integer through float", "integer", put("n", lambda v: int(float(v))), *CHANGED),
    ("number cut", "number", put("celsius", int), *CHANGED),
    ("number to text", "number", put("celsius", str), *CHANGED),
    ("true to text", "number", put("enabled", "true"), *CHANGED),
    ("true to one", "number", put("enabled", 1), *CHANGED),
    ("true to false", "number", put("enabled", False), *CHANGED),
    ("union integer to text", "nullable", put("level", "5"), *CHANGED),
    ("null to zero", "nullable", put("user", 0), *CHANGED),
    # arrays and objects
    ("array to text", "array", put("items", json.dumps), *CHANGED),
    ("array reversed", "array", put("items", lambda v: v[::-1]), *CHANGED),
    ("item lost", "array", put("items", lambda v: v[:-1]), *CHANGED),
    ("item twice", "array", put("items", lambda v: [*v, v[-1]]), *CHANGED),
    ("array in array", "array", put("items", lambda v: [v]), *CHANGED),
    ("object to text", "object", put("guest", json.dumps), *CHANGED),
    ("inner type", "object", put("guest", {"name": "Ann", "age": "9"}), *CHANGED),
    ("inner key lost", "object", put("rooms", [{"name": "A"}]), *CHANGED),
    # whole arguments
    ("argument lost", "enum", arguments(lambda old: {"city": old["city"]}), *CHANGED),
    ("argument invented", "optional", arguments(lambda old: {**old, "unit": "kelvin"}), *CHANGED),
    ("argument for none", "none", arguments(lambda old: {"items": []}), *CHANGED),
    ("argument renamed", "optional", arguments(lambda old: {"City": old["city"]}), *CHANGED),
    ("all arguments lost", "optional", arguments("{}"), *CHANGED),
    ("JSON cut", "optional", arguments('{"city": "Caf'), *INVALID),
    ("NaN", "integer", arguments('{"n": NaN}'), *INVALID),
    ("Infinity", "number", arguments('{"celsius": Infinity, "enabled": true}'), *INVALID),
    ("key twice", "optional", arguments('{"city": "Rome", "city": "Café"}'), *INVALID),
    ("encoded twice", "optional", arguments(lambda old: json.dumps(old)), *INVALID),
    ("arguments in a list", "optional", arguments(lambda old: [old]), *INVALID),
    ("no arguments text", "none", arguments(""), *INVALID),
    ("Python repr", "number", arguments("{'celsius': 22.5, 'enabled': True}"), *INVALID),
    # structure
    ("call lost", "optional", drop(0, finish_reason="stop", content=""), *DROPPED),
    ("call lost, reason kept", "none", drop(0, content=None), *DROPPED),
    ("call lost, tail in text", "markup", drop(0, content=" b </parameter>"), *DROPPED),
    (
        "call as text",
        "optional",
        lambda o: replace(o, calls=(), content=o.raw_text, finish_reason="stop"),
        *DROPPED,
    ),
    ("second call lost", "parallel", drop(1), *DROPPED),
    ("first call lost", "mixed", drop(0), *DROPPED),
    (
        "call twice",
        "optional",
        lambda o: replace(o, calls=o.calls * 2),
        Kind.INVENTED_CALL,
        Layer.PARSER,
    ),
    (
        "call from nowhere",
        "answer",
        response(calls=(Call("todoread", "{}"),), finish_reason="tool_calls"),
        Kind.INVENTED_CALL,
        Layer.PARSER,
    ),
    (
        "closing tag left",
        "optional",
        response(content="</tool_call>"),
        Kind.LEAKED_MARKUP,
        Layer.PARSER,
    ),
    (
        "thought in answer",
        "answer",
        response(content="Hm.</think>\n" + ANSWER, raw_text="Hm.</think>\n" + ANSWER),
        Kind.LEAKED_MARKUP,
        Layer.PARSER,
    ),
    (
        "tail of answer lost",
        "answer",
        response(content=ANSWER[:-4]),
        Kind.CHANGED_CONTENT,
        Layer.SERVER,
    ),
    ("answer lost", "answer", response(content=None), Kind.CHANGED_CONTENT, Layer.SERVER),
    (
        "word of answer lost",
        "answer",
        response(content=ANSWER.replace("injection", "")),
        Kind.CHANGED_CONTENT,
        Layer.SERVER,
    ),
    ("text beside call", "optional", response(content="Sure!"), Kind.CHANGED_CONTENT, Layer.SERVER),
    (
        "reason of a call",
        "optional",
        response(finish_reason="stop"),
        Kind.FINISH_REASON,
        Layer.SERVER,
    ),
    ("no reason", "answer", response(finish_reason=None), Kind.FINISH_REASON, Layer.SERVER),
    (
        "unknown reason",
        "none",
        response(finish_reason="function_call"),
        Kind.FINISH_REASON,
        Layer.SERVER,
    ),
    (
        "call claimed for text",
        "answer",
        response(finish_reason="tool_calls"),
        Kind.FINISH_REASON,
        Layer.SERVER,
    ),
]


def seen_as(judgement: Judgement) -> str:
    return "\n".join(f"{v.check} {v.kind} {v.layer} {v.reason}" for v in judgement.verdicts)


def corpus(kind: str):
    return [] if kind == "answer" else CALLS[kind]


@pytest.mark.parametrize("kind", [*CALLS, "answer"])
@pytest.mark.parametrize("lane", ["server", "stream", "agent", "direct"])
def test_unchanged_corpus_passes(kind, lane):
    plain = delivered(corpus(kind))
    seen = delivered(corpus(kind), lane=lane)
    if lane in ("stream", "agent"):
        seen = replace(seen, raw_text=None, received=plain if lane == "agent" else None)
    found = judge(case_of(corpus(kind)), seen, plain=plain, rendered_prompt_tokens=100)
    assert found.status == Status.PASS, seen_as(found)
    assert found.scores.case
    assert found.scores.discrimination


@pytest.mark.parametrize(
    ("kind", "plant", "expected", "layer"), [row[1:] for row in BEHIND], ids=[r[0] for r in BEHIND]
)
def test_defect_behind_the_model(kind, plant, expected, layer):
    case, right = case_of(corpus(kind)), delivered(corpus(kind))
    wrong = plant(right)
    assert wrong != right
    found = judge(case, wrong)
    assert found.status == Status.FAIL
    assert (found.cause.kind, found.cause.layer) == (expected, layer), seen_as(found)
    misses = [verdict for verdict in found.verdicts if verdict.is_miss]
    assert not misses, "the model was right: " + seen_as(found)


LOST = {"calls": (), "content": None, "finish_reason": "tool_calls"}
OSLO = [("get_weather", {"city": "Oslo"})]
JSON_CALL = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'


def wrote(calls, **changes):
    """The model wrote these calls, and the server delivered them."""
    return lambda: replace(delivered(calls), **changes)


def leaked(raw):
    """A server that does not know the format hands the text on."""
    return lambda: delivered([], raw=raw, content=raw)


def lost(raw, **changes):
    return lambda: replace(delivered([], raw=raw), **{**LOST, **changes})


OWN: list[tuple[str, list, Callable[[], Observation], Kind]] = [
    ("other tool", OSLO, wrote([("todoread", {})]), Kind.WRONG_TOOL),
    ("tool made up", OSLO, wrote([("weather", {"city": "Oslo"})]), Kind.WRONG_TOOL),
    ("one of two", CALLS["parallel"], wrote(OSLO), Kind.MISSING_CALL),
    ("one too many", OSLO, wrote([*OSLO, ("todoread", {})]), Kind.SPURIOUS_CALL),
    ("no call", OSLO, lambda: delivered([], content="It is cold."), Kind.MISSING_CALL),
    ("needless call", [], wrote(OSLO), Kind.SPURIOUS_CALL),
    ("wrong city", OSLO, wrote([("get_weather", {"city": "Rome"})]), Kind.WRONG_VALUE),
    (
        "extra argument",
        OSLO,
        wrote([("get_weather", {"city": "Oslo", "unit": "kelvin"})]),
        Kind.WRONG_VALUE,
    ),
    ("missing argument", CALLS["enum"], wrote(OSLO), Kind.WRONG_VALUE),
    ("word for integer", CALLS["integer"], wrote([("set_number", {"n": "ten"})]), Kind.WRONG_VALUE),
    (
        "text for integer",
        CALLS["integer"],
        lambda: delivered(
            [("set_number", {"n": "9007199254740993"})],
            raw=xml("set_number", {"n": '"9007199254740993"'}),
        ),
        Kind.WRONG_VALUE,
    ),
    (
        "typed badly and lost",
        CALLS["integer"],
        lost(xml("set_number", {"n": "ten"})),
        Kind.WRONG_VALUE,
    ),
    ("wrong answer", [], lambda: delivered([], content="I do not know."), Kind.WRONG_ANSWER),
    ("empty answer", [], lambda: delivered([], content="", raw=""), Kind.WRONG_ANSWER),
    (
        "missing >",
        OSLO,
        lost("<tool_call>\n<function=todoread</function>\n</tool_call>"),
        Kind.MALFORMED_CALL,
    ),
    (
        "missing > kept as a name",
        CALLS["none"],
        lambda: replace(
            delivered([("todoread</function", {})]),
            raw_text="<tool_call>\n<function=todoread</function>\n</tool_call>",
        ),
        Kind.MALFORMED_CALL,
    ),
    ("name in quotes", OSLO, lost(xml('"get_weather"', {"city": "Oslo"})), Kind.MALFORMED_CALL),
    ("no </function>", OSLO, lost(xml(*OSLO[0]).replace("</function>\n", "")), Kind.MALFORMED_CALL),
    (
        "no </parameter>",
        OSLO,
        lost(xml(*OSLO[0]).replace("</parameter>\n", "")),
        Kind.MALFORMED_CALL,
    ),
    ("empty wrapper", OSLO, lost("<tool_call>\n</tool_call>"), Kind.MALFORMED_CALL),
    (
        "text in wrapper",
        OSLO,
        lost("<tool_call>\nget_weather Oslo\n</tool_call>"),
        Kind.MALFORMED_CALL,
    ),
    (
        "text behind function",
        OSLO,
        lost(xml(*OSLO[0]).replace("\n</tool_call>", " ok\n</tool_call>")),
        Kind.MALFORMED_CALL,
    ),
    (
        "attribute style",
        OSLO,
        lost(xml(*OSLO[0]).replace("<parameter=city>", '<parameter name="city">')),
        Kind.MALFORMED_CALL,
    ),
    (
        "JSON cut in wrapper",
        OSLO,
        lost('<tool_call>\n{"name": "get_weather", "arg\n</tool_call>'),
        Kind.MALFORMED_CALL,
    ),
    ("markup leaks by the model", OSLO, leaked("</function>\n</tool_call>"), Kind.MALFORMED_CALL),
    ("malformed where no call is due", [], lost("<tool_call>\n</tool_call>"), Kind.SPURIOUS_CALL),
    (
        "one of two malformed",
        CALLS["parallel"],
        lambda: replace(
            delivered(OSLO),
            raw_text=xml(*OSLO[0]) + "\n<tool_call>\n<function=get_weather>\n</tool_call>",
            content="\n",
        ),
        Kind.MALFORMED_CALL,
    ),
    (
        "no </tool_call>, no call",
        OSLO,
        lost(xml(*OSLO[0]).removesuffix("\n</tool_call>"), finish_reason="stop"),
        Kind.MALFORMED_CALL,
    ),
    ("cut in a call", OSLO, lost(xml(*OSLO[0])[:40], finish_reason="length"), Kind.TRUNCATED),
    (
        "cut in prose",
        OSLO,
        lambda: replace(delivered([], content="Well, let"), finish_reason="length"),
        Kind.TRUNCATED,
    ),
    (
        "cut in an answer",
        [],
        lambda: replace(delivered([]), finish_reason="length"),
        Kind.TRUNCATED,
    ),
    ("JSON fence", OSLO, leaked(f"```json\n{JSON_CALL}\n```"), Kind.FORMAT_MISMATCH),
    ("JSON bare", OSLO, leaked(JSON_CALL), Kind.FORMAT_MISMATCH),
    ("Hermes", OSLO, lost(f"<tool_call>\n{JSON_CALL}\n</tool_call>"), Kind.FORMAT_MISMATCH),
    (
        "bare function",
        OSLO,
        leaked(xml(*OSLO[0]).removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")),
        Kind.FORMAT_MISMATCH,
    ),
    (
        "no opening tag",
        OSLO,
        leaked(xml(*OSLO[0]).removeprefix("<tool_call>\n")),
        Kind.FORMAT_MISMATCH,
    ),
    (
        "Mistral",
        OSLO,
        leaked('[TOOL_CALLS]get_weather[ARGS]{"city": "Oslo"}'),
        Kind.FORMAT_MISMATCH,
    ),
    ("Mistral list", OSLO, leaked(f"[TOOL_CALLS][{JSON_CALL}]"), Kind.FORMAT_MISMATCH),
    ("pythonic", OSLO, leaked('[get_weather(city="Oslo")]'), Kind.FORMAT_MISMATCH),
    ("fence where no call is due", [], leaked(f"```json\n{JSON_CALL}\n```"), Kind.SPURIOUS_CALL),
]


@pytest.mark.parametrize(
    ("calls", "make", "expected"), [row[1:] for row in OWN], ids=[row[0] for row in OWN]
)
def test_defect_of_the_model(calls, make, expected):
    found = judge(case_of(calls), make())
    assert found.status == Status.FAIL
    assert (found.cause.kind, found.cause.layer) == (expected, Layer.MODEL), seen_as(found)
    assert not [v for v in found.verdicts if v.is_violation], seen_as(found)
    assert not found.scores.case


def plant_in(lane, kind, plant):
    plain = delivered(corpus(kind))
    seen = plant(delivered(corpus(kind), lane=lane))
    if lane == "agent":
        seen = replace(seen, received=plain)
    return judge(case_of(corpus(kind)), replace(seen, raw_text=None), plain=plain)


@pytest.mark.parametrize(
    ("kind", "plant"),
    [row[1:3] for row in BEHIND if row[0] != "thought in answer"],
    ids=[row[0] for row in BEHIND if row[0] != "thought in answer"],
)
def test_defect_of_a_stream(kind, plant):
    found = plant_in("stream", kind, plant)
    assert found.status == Status.FAIL
    verdicts = {v.check: v for v in found.verdicts}
    assert verdicts["stream"].kind == Kind.STREAM_MISMATCH
    assert verdicts["stream"].layer == Layer.SERVER


CLIENT = [
    row
    for row in BEHIND
    if not row[0].endswith("reason")
    and "reason" not in row[0]
    and row[0]
    not in ("thought in answer", "closing tag left", "call claimed for text", "text beside call")
]


@pytest.mark.parametrize(
    ("kind", "plant", "expected"), [r[1:4] for r in CLIENT], ids=[r[0] for r in CLIENT]
)
def test_defect_of_a_client(kind, plant, expected):
    found = plant_in("agent", kind, plant)
    verdict = next(v for v in found.verdicts if v.check == "client")
    assert (verdict.kind, verdict.layer) == (expected, Layer.CLIENT), seen_as(found)
    assert found.cause.layer in (Layer.CLIENT, Layer.PARSER)


WITHOUT_TEXT = [
    (
        "no call",
        OSLO,
        response(**{**LOST, "finish_reason": "stop"}),
        Kind.MISSING_CALL,
        Layer.UNKNOWN,
    ),
    ("lost call", OSLO, response(**LOST), Kind.LOST_CALL, Layer.UNKNOWN),
    (
        "lost call for an answer",
        [],
        response(finish_reason="tool_calls"),
        Kind.LOST_CALL,
        Layer.UNKNOWN,
    ),
    ("tag in name", OSLO, name("get_weather</name"), Kind.CORRUPT_NAME, Layer.UNKNOWN),
    ("no JSON", OSLO, arguments('{"city": '), Kind.INVALID_ARGUMENTS, Layer.PARSER),
    ("value", OSLO, put("city", "Rome"), Kind.WRONG_VALUE, Layer.UNKNOWN),
    ("type", CALLS["integer"], put("n", str), Kind.WRONG_TYPE, Layer.UNKNOWN),
    ("markup", [], response(content="<tool_call>" + ANSWER), Kind.LEAKED_MARKUP, Layer.UNKNOWN),
    ("cut", OSLO, response(**{**LOST, "finish_reason": "length"}), Kind.TRUNCATED, Layer.MODEL),
    ("reason", OSLO, response(finish_reason="stop"), Kind.FINISH_REASON, Layer.SERVER),
]


@pytest.mark.parametrize(
    ("calls", "plant", "kind", "layer"),
    [r[1:] for r in WITHOUT_TEXT],
    ids=[r[0] for r in WITHOUT_TEXT],
)
def test_defect_without_raw_text(calls, plant, kind, layer):
    found = judge(case_of(calls), replace(plant(delivered(calls)), raw_text=None))
    assert found.status == Status.FAIL
    assert (found.cause.kind, found.cause.layer) == (kind, layer), seen_as(found)


@pytest.mark.parametrize("lane", ["server", "stream", "agent"])
@pytest.mark.parametrize("kind", ["none", "answer"])
@pytest.mark.parametrize(
    "changes",
    [
        {"status": 500, "error": "HTTP 500: boom"},
        {"status": 404},
        {"status": None, "error": "connection closed without a response"},
        {"status": 200, "error": "empty body"},
    ],
    ids=["500", "404", "closed", "empty"],
)
def test_broken_exchange_is_an_error_and_never_a_pass(lane, kind, changes):
    found = judge(case_of(corpus(kind)), replace(delivered(corpus(kind), lane=lane), **changes))
    assert found.status == Status.ERROR
    assert found.scores is None
    assert [(v.kind, v.layer) for v in found.verdicts] == [(Kind.SERVER_ERROR, Layer.SERVER)]


def test_prompt_drift_is_the_templates():
    found = judge(case_of(OSLO), delivered(OSLO), rendered_prompt_tokens=180)
    assert (found.cause.kind, found.cause.layer) == (Kind.PROMPT_DRIFT, Layer.TEMPLATE)
    assert found.scores.case


@pytest.mark.parametrize(
    ("choice", "expected", "delivered_calls"),
    [
        ("none", [], OSLO),
        ("required", OSLO, []),
        ({"type": "function", "function": {"name": "todoread"}}, CALLS["none"], OSLO),
        ({"type": "function", "function": {"name": "todoread"}}, CALLS["none"], []),
    ],
    ids=["none", "required", "named", "named-text"],
)
def test_ignored_tool_choice_is_the_servers_alone(choice, expected, delivered_calls):
    found = judge(case_of(expected, tool_choice=choice), delivered(delivered_calls))
    failed = [(v.kind, v.layer) for v in found.verdicts if not v.passed]
    assert failed == [(Kind.TOOL_CHOICE_IGNORED, Layer.SERVER)], seen_as(found)
    assert "server ignores tool_choice" in found.cause.reason
    assert (found.scores.discrimination, found.scores.case) == (None, None)


@pytest.mark.parametrize(
    ("tail", "value"),
    [
        ("a</parameter>\n<parameter=text>\n5", "text twice"),
        ("a</parameter>\n</function>\n</tool_call> b", "left over"),
        ("see <parameter=text> here", "holds a declared tag"),
    ],
)
def test_text_that_can_be_read_twice_blames_nobody(tail, value):
    calls = [("write", {"path": tail, "text": "x"})]
    seen = replace(delivered(calls), calls=(Call("write", '{"path": "a", "text": "5"}'),))
    found = judge(case_of(calls), seen)
    assert found.status == Status.FAIL
    assert {v.layer for v in found.verdicts if not v.passed} == {Layer.UNKNOWN}, value


def test_there_are_enough_plants():
    assert len(BEHIND) + len(OWN) >= 100
    assert len({row[0] for row in BEHIND}) == len(BEHIND)
