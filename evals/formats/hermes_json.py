"""Hermes and Qwen: a JSON object in `<tool_call>`."""

from collections.abc import Sequence

from evals.case import Tool
from evals.formats.call_format import (
    Broken,
    CallFormat,
    Opening,
    Section,
    Unwritable,
    skip_space,
)
from evals.formats.json_object import call_problem, call_text, json_at
from evals.formats.reading import json_call
from evals.observation import Call

OPEN, CLOSE = "<tool_call>", "</tool_call>"


def _read(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
    inside = skip_space(body, start + len(OPEN))
    if not body.startswith("{", inside):
        return None
    value, end = json_at(body, inside, CLOSE)
    close = skip_space(body, end)
    if not body.startswith(CLOSE, close):
        raise Broken.within(body, inside, f"the JSON object is not followed by {CLOSE}", CLOSE)
    if problem := call_problem(value):
        raise Broken(problem, close + len(CLOSE))
    call = json_call(value["name"], value["arguments"], HERMES_JSON.name, tools)
    return Section([call], close + len(CLOSE))


def _write(call: Call) -> str:
    text = call_text(call)
    if tag := next((tag for tag in (OPEN, CLOSE) if tag in text), None):
        raise Unwritable(f"{call.name}: a value holds {tag}, where parsers would cut the call")
    return f"{OPEN}\n{text}\n{CLOSE}"


HERMES_JSON = CallFormat(
    "hermes-json",
    doc='`<tool_call>{"name": …, "arguments": {…}}</tool_call>`',
    openings=(Opening(OPEN, _read, close=CLOSE, begins="a JSON object"),),
    markup=(OPEN, CLOSE),
    write=_write,
    template="hermes",
    parsers=("json_tools",),
)
