"""What is said of every response to every case, whatever the model wrote: also of unlikely ones."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import builders
import golden

from evals.case import KnownDefect, Tool
from evals.judging.contract import stream_problems
from evals.observation import STREAM, Call, Event, Observation, Usage
from evals.results import Judgement, Prompt

KEPT = Path(__file__).with_name("said")
OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}}
TOOLS = (Tool(name="f", parameters=OBJECT), Tool(name="g"))
FIVE = {"call": {"name": "f", "arguments": {"n": 5}}}
DEFECT = KnownDefect(profiles=("default",), reason="so", link="https://e.x/1", no_answer=True)
CASES = {
    "call": builders.case(FIVE, tools=TOOLS),
    "no_arguments": builders.case({"call": {"name": "g"}}, tools=TOOLS),
    "both": builders.case({"calls": [FIVE["call"], {"name": "g"}]}, tools=TOOLS),
    "some": builders.case({"some_call": True, "not_call": ["g"]}, tools=TOOLS),
    "either": builders.case({"any_of": [FIVE, {"answer": {"contains": ["yes"]}}]}, tools=TOOLS),
    "answer": builders.case({"answer": {"contains": ["yes"]}}, tools=TOOLS),
    "no_tools": builders.case({"answer": {}}),
    "json": builders.case(
        {"answer": {"contains": ["yes"]}}, tools=TOOLS, response_format={"type": "json_object"}
    ),
    "known": builders.case(FIVE, tools=TOOLS, known_defects=(DEFECT,)),
}
XML = "<tool_call>\n<function=f>\n<parameter=n>\n5\n</parameter>\n</function>\n</tool_call>"
EMPTY = "<tool_call>\n<function=g>\n</function>\n</tool_call>"
HERMES = '<tool_call>\n{"name": "f", "arguments": {"n": 5}}\n</tool_call>'
TEXTS = {
    "unknown": None,
    "nothing": "",
    "yes": "yes",
    "xml": XML,
    "empty": EMPTY,
    "two": f"{XML}\n{EMPTY}",
    "text, xml": f"yes\n{XML}",
    "thought": f"<think>so</think>{XML}",
    "in thought": f"<think>{XML}",
    "wrong": XML.replace("5", "6"),
    "no tool": XML.replace("=f", "=h"),
    "cut": XML[:40],
    "json": HERMES,
    "list": HERMES.replace('{"n": 5}', "[5]"),
    "mistral": '[TOOL_CALLS]f[ARGS]{"n": 5}',
    "named": "`<tool_call>` opens a call.",
    "quoted": f"Write\n```\n{XML}\n```\nthen.",
}
GOOD, OTHER = Call("f", '{"n": 5}', id="1"), Call("g", "{}", id="2")


def body(**message: Any) -> str:
    """A plain response with this message."""
    return json.dumps({"object": "chat.completion", "choices": [{"message": message}]})


RESPONSES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "yes": {"content": "yes"},
    "xml": {"content": XML},
    "json": {"content": '{"a": "yes"}'},
    "call": {"calls": (GOOD,)},
    "call, text": {"calls": (GOOD,), "content": "yes"},
    "call, stop": {"calls": (GOOD,), "finish_reason": "stop"},
    "call, length": {"calls": (GOOD,), "finish_reason": "length"},
    "other": {"calls": (OTHER,)},
    "two": {"calls": (GOOD, OTHER)},
    "twice": {"calls": (GOOD, GOOD)},
    "cut": {"calls": (Call("f", '{"n": 5', id="1"),), "finish_reason": "length"},
    "list": {"calls": (Call("f", "[5]", id="1"),)},
    "unknown": {"calls": (Call("h", '{"n": 5}', id="1"),)},
    "text, tool_calls": {"content": "yes", "finish_reason": "tool_calls"},
    "text, length": {"content": "yes", "finish_reason": "length"},
    "text, none": {"content": "yes", "finish_reason": None},
    "thought": {"reasoning": XML},
    "outdated": {"body": body(function_call={"name": "f", "arguments": "{}"})},
    "lost": {"finish_reason": "tool_calls"},
    "500": {"status": 500, "error": "HTTP status 500: no", "finish_reason": None},
    "unasked": {"unasked": True, "error": "no file", "finish_reason": None},
    "long": {"content": "yes " + "word " * 200},
}
PLAIN = ("nothing", "yes", "xml", "call", "call, text", "two", "cut", "thought", "lost", "500")
FORMATS = ("qwen3-coder-xml", "hermes-json")


def said(found: Judgement) -> str:
    """All that is said against an answer, in one line."""
    scores = [*asdict(found.scores).values()] if found.scores else None
    return json.dumps(
        [found.status, scores, builders.reasons(found)], ensure_ascii=False, default=str
    )


def seen(text: str | None, response: dict[str, Any], lane: str = "server") -> Observation:
    """The response, and what the model wrote."""
    finish = "tool_calls" if response.get("calls") else "stop"
    values = {"finish_reason": finish, **response, "raw_text": text}
    return builders.observation(lane, **values)


def grouped(told: Iterator[tuple[str, str]]) -> list[str]:
    """What is said, of how many, and the first of them."""
    groups: dict[str, list[str]] = {}
    for of, line in told:
        groups.setdefault(line, []).append(of)
    return [f"{len(of)} {of[0]}: {line}" for line, of in groups.items()]


def test_each_response_to_each_case():
    def told() -> Iterator[tuple[str, str]]:
        for case, text, response in product(CASES, TEXTS, RESPONSES):
            for parsed in FORMATS[: 2 if text in ("xml", "json", "mistral") else 1]:
                came = seen(TEXTS[text], RESPONSES[response])
                found = builders.judge(CASES[case], came, call_format=parsed)
                yield f"{case}, {text}, {response}, {parsed[:1]}", said(found)

    golden.as_kept(KEPT / "met.txt", grouped(told()))


def test_each_stream_beside_each_plain_answer():
    def told() -> Iterator[tuple[str, str]]:
        for case, text, response, plain in product(
            ("call", "answer"), ("unknown", "xml"), RESPONSES, PLAIN
        ):
            found = builders.judge(
                CASES[case],
                seen(None, RESPONSES[response], STREAM.name),
                plain=seen(TEXTS[text], RESPONSES[plain]),
                call_format=FORMATS[0],
                prompt=Prompt(opens_thought=False, error="no template"),
            )
            yield f"{case}, {text}, {response}, {plain}", said(found)

    golden.as_kept(KEPT / "met-streams.txt", grouped(told()))


FRAGMENT = {"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}
REST = {"index": 0, "function": {"arguments": "}"}}
HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHUNKS: list[Any] = [
    {**HEAD, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]},
    {**HEAD, "choices": [{"index": 0, "delta": {"tool_calls": [FRAGMENT]}}]},
    {**HEAD, "choices": [{"index": 0, "delta": {"tool_calls": [REST]}}]},
    {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {
        **HEAD,
        "choices": [],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    },
]


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value within."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*way, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*way, key))


def changed(way: tuple[Any, ...], to: Any) -> list[Any]:
    """The chunks with another value there; without it where `to` is `...`."""
    chunks = deepcopy(CHUNKS)
    inside: Any = chunks
    for key in way[:-1]:
        inside = inside[key]
    if to is ...:
        del inside[way[-1]]
    else:
        inside[way[-1]] = to
    return chunks


def test_a_stream_with_one_odd_value():
    def told() -> Iterator[tuple[str, str]]:
        for way, to in product(places(CHUNKS), (..., None, "", "x", 0, 5, -1, True, [], {}, [1])):
            chunks = changed(way, to)
            if not all(isinstance(chunk, dict) for chunk in chunks):
                continue
            problems = list(stream_problems(chunks))
            events = tuple(Event(0.1, json.dumps(chunk)) for chunk in chunks)
            response = {**RESPONSES["call"], "content": "a", "events": events}
            found = builders.judge(CASES["call"], seen(None, response, STREAM.name))
            yield f"{'.'.join(map(str, way))}={to}", f"{problems} {said(found)}"

    golden.as_kept(KEPT / "met-chunks.txt", grouped(told()))


def test_fragments_of_two_calls():
    def told() -> Iterator[tuple[str, str]]:
        for index, number, name in product((0, 1), ("1", "2", "", None), ("f", "g", None)):
            second = {"index": index, "function": {"name": name, "arguments": "}"}}
            if number is not None:
                second["id"] = number
            chunks = changed((2, "choices", 0, "delta", "tool_calls", 0), second)
            yield f"{index}, {number}, {name}", str(list(stream_problems(chunks)))

    golden.as_kept(KEPT / "met-fragments.txt", grouped(told()))


def test_counts_of_tokens():
    def told() -> Iterator[tuple[str, str]]:
        for bare, rendered, prompt, completion, cached in product(
            (None, 5), (None, 5, 9), (0, 5, 9), (0, 2, 24, 25, 26), (-1, 0, 5, 6)
        ):
            case = builders.case({"answer": {}}, tools=TOOLS, max_tokens=24)
            usage = Usage(prompt, completion, cached)
            came = seen("yes", {"content": "yes", "usage": usage})
            rendering = {"prompt": Prompt(without_tools=bare), "rendered_prompt_tokens": rendered}
            found = builders.judge(case, came, **rendering)
            yield f"{bare}, {rendered}, {prompt}, {completion}, {cached}", said(found)

    golden.as_kept(KEPT / "met-counts.txt", grouped(told()))
