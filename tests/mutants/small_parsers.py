"""A small parser that reads every valid call right, and copies of it with one planted defect each.

They read a text when it is over, as one, and have the form of `AdaptiveXmlParser`.
"""

import difflib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from evals import schema as schemas
from evals.case import Tool
from evals.parsers.events import Content, ParserEvent, ToolCall

PARAMETER = r"<parameter=([^>\n]+)>(.*?)</parameter>\s*(?=<parameter=|</function>)"
FUNCTION = rf"<function=[^>\n]+>\s*(?:{PARAMETER})*</function>"
CALL = rf"<tool_call>\s*(?:{FUNCTION}\s*)+</tool_call>"

Step = Callable[[list[ParserEvent], Sequence[Tool]], list[ParserEvent]]


def value_of(text: str, types: frozenset[str] | None) -> Any:
    """A parameter's value: JSON where the schema has no text, else the text."""
    if types is None or "string" in types:
        return text
    try:
        return json.loads({"True": "true", "False": "false"}.get(text.strip(), text))
    except ValueError:
        return text


def unchanged(events: list[ParserEvent], _tools: Sequence[Tool]) -> list[ParserEvent]:
    return events


@dataclass(frozen=True)
class SmallParser:
    """Its steps; a defect is planted by replacing one of them.

    `name` is given all that follows `<function=`; `text` what stands between the value's tags.
    """

    call: str = CALL
    function: str = FUNCTION
    parameter: str = PARAMETER
    join: Callable[[Sequence[str]], str] = "".join
    name: Callable[[str], str] = lambda rest: rest.partition(">")[0]
    text: Callable[[str], str] = lambda inner: inner.removeprefix("\n").removesuffix("\n")
    value: Callable[[str, frozenset[str] | None], Any] = value_of
    after: Step = unchanged
    after_in_stream: Step = unchanged

    def read(
        self, pieces: Sequence[str], tools: Sequence[Tool], *, stream: bool
    ) -> list[ParserEvent]:
        text, position = self.join(pieces), 0
        events: list[ParserEvent] = []
        for call in re.finditer(self.call, text, re.DOTALL):
            events.append(Content(text[position : call.start()]))
            functions = re.finditer(self.function, call.group(), re.DOTALL)
            events += [self._call(function.group(), tools) for function in functions]
            position = call.end()
        events = self.after([*events, Content(text[position:])], tools)
        return self.after_in_stream(events, tools) if stream else events

    def _call(self, function: str, tools: Sequence[Tool]) -> ToolCall:
        name = self.name(function.removeprefix("<function="))
        schema = next((tool.parameters for tool in tools if tool.name == name), {})
        arguments = {}
        for key, inner in re.findall(self.parameter, function, re.DOTALL):
            types = schemas.allowed_types(schemas.child(schema, key, schema), schema)
            arguments[key] = self.value(self.text(inner), types)
        return ToolCall(name, json.dumps(arguments))


def on_calls(change: Callable[[list[ToolCall]], list[ParserEvent]]) -> Step:
    """A step that changes the calls and puts them behind the text."""

    def step(events: list[ParserEvent], _tools: Sequence[Tool]) -> list[ParserEvent]:
        calls = [event for event in events if isinstance(event, ToolCall)]
        return [*(event for event in events if not isinstance(event, ToolCall)), *change(calls)]

    return step


def changed(change: Callable[[ToolCall, dict[str, Any], Sequence[Tool]], ToolCall]) -> Step:
    """A step that changes each call, given its arguments."""

    def step(events: list[ParserEvent], tools: Sequence[Tool]) -> list[ParserEvent]:
        return [
            change(event, json.loads(event.arguments), tools)
            if isinstance(event, ToolCall)
            else event
            for event in events
        ]

    return step


def fill_in(call: ToolCall, arguments: dict[str, Any], tools: Sequence[Tool]) -> ToolCall:
    tool = next(tool for tool in tools if tool.name == call.name)
    missing = dict.fromkeys(tool.parameters.get("properties", {}), "")
    return replace(call, arguments=json.dumps({**missing, **arguments}))


def nearest_other(call: ToolCall, _: dict[str, Any], tools: Sequence[Tool]) -> ToolCall:
    # Longest names first, and whether one is right already is not asked.
    names = sorted((tool.name for tool in tools), key=len, reverse=True)
    near = (name for name in names if difflib.SequenceMatcher(None, name, call.name).ratio() > 0.6)
    return replace(call, name=next(near))


def fenced(events: list[ParserEvent], _tools: Sequence[Tool]) -> list[ParserEvent]:
    result: list[ParserEvent] = []
    for event in events:
        match = isinstance(event, Content) and re.search(r"```json\n(.*?)\n```", event.text, re.S)
        if match:
            value = json.loads(match.group(1))
            result.append(ToolCall(value["name"], json.dumps(value["arguments"])))
        else:
            result.append(event)
    return result


def only_calls(events: list[ParserEvent], _tools: Sequence[Tool]) -> list[ParserEvent]:
    calls: list[ParserEvent] = [event for event in events if isinstance(event, ToolCall)]
    return calls or events


def crash(call: ToolCall, arguments: dict[str, Any], _: Sequence[Tool]) -> ToolCall:
    return replace(call, arguments=json.dumps({"path": arguments["path"]}))


def without_split_tags(pieces: Sequence[str]) -> str:
    text = "".join(pieces)
    return text if "<tool_call>" in pieces else text.replace("<tool_call>", "")


def null_or(text: str, types: frozenset[str] | None) -> Any:
    return None if text.lower() == "null" else value_of(text, types)


def true_or_false(text: str, types: frozenset[str] | None) -> Any:
    return text == "true" if types and "boolean" in types else value_of(text, types)


def through_float(text: str, types: frozenset[str] | None) -> Any:
    value = value_of(text, types)
    return int(float(value)) if type(value) is int else value


def loosely_typed(text: str, types: frozenset[str] | None) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return value_of(text, types)


def untyped_unions(text: str, types: frozenset[str] | None) -> Any:
    return text if types and len(types) > 1 else value_of(text, types)


SMALL = SmallParser()
changes = partial(replace, SMALL)

MUTANTS: dict[str, SmallParser] = {
    "name-keeps-end-tag": changes(name=lambda rest: rest.split("\n")[0].replace(">", "")),
    "name-keeps-newline": changes(name=lambda rest: rest.split("<")[0].replace(">", "")),
    "name-of-near-tool": changes(after=changed(nearest_other)),
    "name-in-capitals": changes(name=lambda rest: rest.partition(">")[0].title()),
    "zero-parameters-lost": changes(function=FUNCTION.replace(")*</", ")+</")),
    "null-for-text-null": changes(value=null_or),
    "false-for-spaced-true": changes(value=true_or_false),
    "false-for-one": changes(value=true_or_false),
    "integer-through-float": changes(value=through_float),
    "text-as-json": changes(value=loosely_typed),
    "union-as-text": changes(value=untyped_unions),
    "text-stripped": changes(text=str.strip),
    "text-unescaped": changes(text=lambda t: t.strip("\n").replace("\\n", "\n")),
    "text-escaped": changes(text=lambda t: t.strip("\n").replace("&", "&amp;")),
    "value-cut-at-inner-tag": changes(parameter=r"<parameter=([^>\n]+)>(.*?)</parameter>"),
    "call-cut-at-inner-tag": changes(call=r"<tool_call>.*?</tool_call>"),
    "argument-invented": changes(after=changed(fill_in)),
    "arguments-encoded-twice": changes(
        after=changed(lambda call, _, __: replace(call, arguments=json.dumps(call.arguments)))
    ),
    "arguments-lost": changes(after=changed(lambda call, _, __: replace(call, arguments="{}"))),
    "second-call-lost": changes(after=on_calls(lambda calls: list(calls[:1]))),
    "first-call-lost": changes(after=on_calls(lambda calls: list(calls[-1:]))),
    "calls-reversed": changes(after=on_calls(lambda calls: list(calls[::-1]))),
    "functions-merged": changes(function=r"<function=.*</function>"),
    "call-twice": changes(after=on_calls(lambda calls: [*calls, *calls])),
    "end-tag-left-in-text": changes(call=CALL.removesuffix(r"\s*)+</tool_call>") + ")+"),
    "call-left-in-text": changes(
        after=on_calls(lambda calls: [*calls, *(Content(f"<function={c.name}>") for c in calls)])
    ),
    "text-beside-call-lost": changes(after=only_calls),
    "call-behind-text-lost": changes(call=rf"^{CALL}"),
    "tags-only-in-one-token": changes(join=without_split_tags),
    "undeclared-name-passed": changes(after=fenced),
    "call-lost-in-stream": changes(after_in_stream=on_calls(lambda _: [])),
    "name-changed-in-stream": changes(
        after_in_stream=changed(lambda call, _, __: replace(call, name=call.name + call.name))
    ),
    "text-lost-in-stream": changes(after_in_stream=only_calls),
    "crash-without-path": changes(after=changed(crash)),
}


class WholeText:
    """A parser of whole texts where the server wants one that is fed."""

    def __init__(self, parser: SmallParser, tools: Sequence[Tool], *, stream: bool) -> None:
        self._parser, self._tools, self._stream = parser, tools, stream
        self._pieces: list[str] = []

    @property
    def pending(self) -> bool:
        return bool(self._pieces)

    def feed(self, text: str) -> list[ParserEvent]:
        self._pieces.append(text)
        return []

    def finish(self, *, cut: bool = False) -> list[ParserEvent]:
        pieces, self._pieces = self._pieces, []
        return self._parser.read(pieces, self._tools, stream=self._stream)
