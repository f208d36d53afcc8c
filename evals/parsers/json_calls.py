"""Calls written as JSON: in `<tool_call>`, or in a code fence."""

import re
from collections.abc import Sequence
from typing import Any

from evals import schema as schemas
from evals.case import Tool
from evals.formats.hermes_json import HERMES_JSON
from evals.formats.reading import json_call
from evals.json_text import parse_strict
from evals.parsers.events import MalformedCall, ToolCall
from evals.parsers.source import BrokenCall, Incomplete, Source

_OUTSIDE = re.compile(r"[\s:,0-9A-Za-z+.-]*")
_STRING = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*')
_FENCE = re.compile(r"```(\w*)[ \t]*(\n?)\s*")
_HEADERS = ("", "json", "tool_call", "tool_code")


def json_end(source: Source, position: int) -> int:
    """Where the JSON object or array that begins at `position` ends; its inside is not judged.

    Raises:
        Incomplete: it may go on.
        BrokenCall: it is no JSON, or the text ends in it.

    """
    text, depth = source.text, 0
    while True:
        place = _OUTSIDE.match(text, position)
        position = place.end() if place else position
        if position == len(text):
            raise _ended(source, position)
        mark = text[position]
        if mark == '"':
            position = _string_end(source, position)
            continue
        if mark not in "{}[]":
            raise BrokenCall(f"not JSON: {mark!r} stands outside a string", position)
        depth += 1 if mark in "{[" else -1
        position += 1
        if depth == 0:
            return position


def _string_end(source: Source, position: int) -> int:
    string = _STRING.match(source.text, position)
    end = string.end() if string else position
    if source.text.startswith('"', end):
        return end + 1
    if end >= len(source.text) - 1 and not source.text.startswith("\n", end):
        raise _ended(source, len(source.text))
    raise BrokenCall("not JSON: a string holds a line break", end)


def _ended(source: Source, position: int) -> Exception:
    return (
        BrokenCall("the JSON is not complete", position, cut=True) if source.final else Incomplete()
    )


def read_json(
    source: Source, position: int, tools: Sequence[Tool]
) -> tuple[list[ToolCall | MalformedCall], int]:
    """The call, or list of calls, at `position`, and where it ends.

    Raises:
        Incomplete: it may go on.
        BrokenCall: it is no JSON, or the text ends in it.

    """
    end = json_end(source, position)
    raw = source.text[position:end]
    try:
        value = parse_strict(raw)
    except ValueError as error:
        return [MalformedCall(raw, f"not JSON: {error}")], end
    calls = [_call(item, tools) for item in (value if isinstance(value, list) else [value])]
    read = [call for call in calls if isinstance(call, ToolCall)]
    if len(read) < len(calls) or not calls:
        reason = next((call for call in calls if isinstance(call, str)), "the list is empty")
        return [MalformedCall(raw, reason)], end
    return [*read], end


def read_fence(
    source: Source, position: int, tools: Sequence[Tool]
) -> tuple[list[ToolCall], int] | None:
    """The calls in the code fence at `position`, and where it ends; None if it holds none.

    Raises:
        Incomplete: it may become one.

    """
    fence = _FENCE.match(source.text, position)
    assert fence is not None, "a fence begins with three backticks"
    if fence.end() == len(source.text) and not source.final:
        raise Incomplete
    opened = source.text.startswith(("{", "["), fence.end())
    if fence.group(1) not in _HEADERS or not fence.group(2) or not opened:
        return None
    try:
        calls, end = read_json(source, fence.end(), tools)
    except BrokenCall:
        return None
    close = source.skip_space(end)
    if source.has("```", close):
        end = close + 3
    elif not source.at_end(close):
        return None
    read = [call for call in calls if isinstance(call, ToolCall)]
    return (read, end) if len(read) == len(calls) else None


def _call(value: Any, tools: Sequence[Tool]) -> ToolCall | str:
    """The call that a JSON value is, or why it is none."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return 'the JSON is not an object with a "name"'
    tool = next((tool for tool in tools if tool.name == value["name"]), None)
    if tool is None:
        return f"{value['name']!r} is not the name of an available tool"
    keys = [key for key in ("arguments", "parameters") if key in value]
    if len(keys) > 1 or set(value) - {"name", "id", "type", *keys}:
        return "the call has more than a name and arguments"
    arguments = value[keys[0]] if keys else _no_arguments(tool)
    if isinstance(arguments, str):
        arguments = _unpacked(arguments)
    if not isinstance(arguments, dict):
        return '"arguments" is not an object'
    call = json_call(tool.name, arguments, HERMES_JSON.name, tools).call
    return ToolCall(call.name, call.arguments)


def _no_arguments(tool: Tool) -> dict[str, Any] | None:
    """`{}` where a call without arguments can only mean that; None for a tool that takes some."""
    schema = schemas.resolve(tool.parameters, tool.parameters)
    takes = any(schema.get(key) for key in ("properties", "required", "anyOf", "allOf", "oneOf"))
    return None if takes else {}


def _unpacked(text: str) -> Any:
    try:
        return parse_strict(text)
    except ValueError:
        return None
