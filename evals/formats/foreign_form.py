"""A form of calls that no parser of the stock server reads.

Models fall back on the form that they were trained on, whatever the prompt asks for. A text counts
as such a call only if it is a whole one of an available tool: prose is none, and nothing is ever
malformed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from evals.case import Tool
from evals.formats.call_format import CallFormat, Opening, Section, skip_space
from evals.formats.naming import CodeMarks
from evals.formats.pythonic import python_calls
from evals.formats.reading import ReadCall, json_call
from evals.json_text import parse_strict, parse_strict_at

Payload = Literal["arguments", "calls", "python"]
NAME_KEYS = ("name", "function", "tool", "tool_name", "action", "recipient_name")
ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "action_input")


@dataclass(frozen=True)
class ForeignForm:
    """A form by what stands before a call, what the call is, and what may stand behind it.

    `head` is a pattern that begins with one of `tags`. Its group `name`, if it has one, is the
    tool's. The payload is a JSON object of `arguments`, JSON of whole `calls`, or `python` calls up
    to `tail`.
    """

    name: str
    doc: str
    tags: tuple[str, ...]
    head: str
    payload: Payload
    tail: str = ""

    def read(self, body: str, start: int, tools: Sequence[Tool]) -> Section | None:
        """The calls that begin with the tag at `start`; None if there are none."""
        head = re.compile(self.head).match(body, start)
        if head is None:
            return None
        if self.payload == "python":
            end = re.compile(self.tail).search(body, head.end())
            inside = body[head.end() : end.start() if end else len(body)]
            calls = [call for line in _statements(inside) for call in python_calls(line, tools)]
            after = end.end() if end else len(body)
        else:
            try:
                value, after = parse_strict_at(body, head.end())
            except ValueError:
                return None
            named = head["name"] if self.payload == "arguments" else None
            calls = _json_calls(value, named, self.name, tools)
            if named is None:
                more, after = _further(body, after, self.name, tools)
                calls += more
            tail = re.compile(self.tail).match(body, after)
            after = tail.end() if tail else after
        if not of_available_tools(calls, tools):
            return None
        return Section([ReadCall(c.call, self.name, c.unfit, c.either) for c in calls], after)

    @property
    def format(self) -> CallFormat:
        """The form as a call format."""
        openings = tuple(Opening(tag, self.read) for tag in self.tags)
        return CallFormat(self.name, doc=self.doc, openings=openings)


def of_available_tools(calls: Sequence[ReadCall], tools: Sequence[Tool]) -> bool:
    """Whether these are calls, and of available tools alone."""
    names = {tool.name for tool in tools}
    return bool(calls) and all(item.call.name in names for item in calls)


def _statements(inside: str) -> list[str]:
    """A list of calls is one statement; else each line is one, without what it is wrapped in."""
    text = inside.strip()
    if text.startswith("["):
        return [text]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [re.sub(r"^(\w+)\.call\(", r"\1(", re.sub(r"^print\((.*)\)$", r"\1", x)) for x in lines]


def _json_calls(value: Any, name: str | None, form: str, tools: Sequence[Tool]) -> list[ReadCall]:
    """The calls that a JSON value is; `name` where it is the arguments of one. Else nothing."""
    if name is not None:
        return [json_call(name, value, form, tools)] if isinstance(value, dict) else []
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    items = value if isinstance(value, list) else [value]
    parts = [_name_and_arguments(item, tools) for item in items]
    calls = [json_call(*part, form, tools) for part in parts if part]
    return calls if len(calls) == len(parts) else []


def _further(
    body: str, position: int, form: str, tools: Sequence[Tool]
) -> tuple[list[ReadCall], int]:
    """The calls that follow as JSON values of their own, one a line, and where the last ends."""
    calls: list[ReadCall] = []
    while separator := re.compile(r"[;,]?\s*\n\s*(?=\{)").match(body, position):
        try:
            value, after = parse_strict_at(body, separator.end())
        except ValueError:
            break
        more = _json_calls(value, None, form, tools)
        if not of_available_tools(more, tools):
            break
        calls, position = calls + more, after
    return calls, position


def _name_and_arguments(value: Any, tools: Sequence[Tool]) -> tuple[str, Mapping[str, Any]] | None:
    """Name and arguments of a call as families write it in JSON; None if it is none."""
    if not isinstance(value, dict):
        return None
    if len(value) == 1:  # Apertus: the name is the key
        ((key, inner),) = value.items()
        if isinstance(inner, dict) and any(tool.name == key for tool in tools):
            return key, inner
    inner = (value[k] for k in ("function", "function_call", "functionCall") if k in value)
    value = next((each for each in inner if isinstance(each, dict)), value)
    name = next((value[k] for k in NAME_KEYS if k in value), None)
    arguments = next((_object_of(value[k]) for k in ARGUMENT_KEYS if k in value), None)
    if not isinstance(name, str) or arguments is None:
        return None
    return name.removeprefix("functions."), arguments


def _object_of(value: Any) -> Mapping[str, Any] | None:
    """An object, which may be written as JSON text once more."""
    try:
        value = parse_strict(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


# A closing tag in any of the ways in which families write one.
_CLOSER = re.compile(r"\s*(?:</[\w:.-]{1,40}>|<\|/?[\w:-]{1,40}\|>|\[/?[A-Z_]{2,40}\]|```)")
_OPENER = re.compile(r"(?:[>\]]|```\w*)\s*\Z")
_FIRST_KEY = re.compile(r"[\[{\s]*[\"'](\w{1,80})[\"']\s*:")
_OUTER_KEYS = ("type", "id", "tool_calls", "tool_call_id", "function_call", "functionCall")


def read_bare(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
    """JSON of a call with which a text ends, behind words and in any tags."""
    first = _FIRST_KEY.match(body, start)
    named = {*NAME_KEYS, *ARGUMENT_KEYS, *_OUTER_KEYS, *(tool.name for tool in tools)}
    if first is None or first[1] not in named:
        return None
    section = ForeignForm("bare-json", "", (), "", "calls").read(body, start, tools)
    if section is None:
        return None
    end = section.end
    opened = _OPENER.search(body, 0, start)
    while closer := opened and _CLOSER.match(body, end):
        end = closer.end()
    marks = CodeMarks(body)
    if skip_space(body, end) < len(body) or any(a < start < b for a, b in marks.inline):
        return None
    return replace(section, end=end)


_NAME_FIRST = re.compile(r"\s*(?:functions\.)?(?P<name>[\w.-]+?)(?::\d+)?\s*\(?\s*(?=\{)")


def read_name_first(text: str, tools: Sequence[Tool]) -> list[ReadCall]:
    """A text that is a tool's name and the JSON object of its arguments, else nothing."""
    head = _NAME_FIRST.match(text)
    if head is None or head["name"] not in {tool.name for tool in tools}:
        return []
    try:
        value, end = parse_strict_at(text, head.end())
    except ValueError:
        return []
    rest = text[end:].strip()
    return _json_calls(value, head["name"], "name-first", tools) if rest in ("", ")") else []


def read_python(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
    """A list of Python calls with which a text ends, on lines of its own."""
    calls = python_calls(body[start:], tools)
    return Section(calls, len(body)) if of_available_tools(calls, tools) else None
