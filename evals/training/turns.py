r"""Assistant turns of training data, read and written in several formats of tool calls.

* `qwen3-coder-xml`: strings stand raw, every other value as JSON.
* `json-fence`: one code block a call, ```` ```json\n{"name": …, "arguments": {…}}\n``` ````.
* `hermes-json`: `<tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>`.
* `openai`: the message's `tool_calls`, with arguments as JSON text.

The names are those of `evals.formats.registry`, and of it every format that can be written.

Canonical, in every format: JSON as `json.dumps(value, ensure_ascii=False)` writes it; text, if any,
then calls, with one newline between each. That is also what the chat template renders.

XML has no types. Where the row declares the tool, its schema tells them (`evals.formats`); where it
does not, a value that is JSON is that value and every other is text. A call that would be read back
differently (the text `"1"` without a schema, a value that holds a tag) is refused, never written.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.case import Tool
from evals.formats import registry
from evals.formats.call_format import FENCE, Broken, Unwritable, skip_space
from evals.formats.hermes_json import HERMES_JSON
from evals.formats.json_fence import JSON_FENCE
from evals.formats.qwen_xml import CALL_CLOSE, CALL_OPEN, QWEN_XML, TAGS, read_functions
from evals.json_text import parse_strict, parse_strict_at, to_text
from evals.observation import Call

OPENAI = "openai"
"""Calls that stand in a message's `tool_calls`, not in its text."""

Message = Mapping[str, Any]

_MARKER = re.compile(rf"{CALL_OPEN}|{FENCE}[\w-]*\s*(?=[\[{{])")
_CALL_KEYS = [re.compile(rf"[\"']{key}[\"']") for key in ("name", "arguments")]


class Unconvertible(ValueError):  # noqa: N818 (a row that is rejected is not an error)
    """A row or turn that cannot be read, or written in the wanted format without a change."""


@dataclass(frozen=True)
class Turn:
    """An assistant turn: text and calls in order, and the formats that its calls were in.

    Arguments of calls are canonical JSON text.
    """

    parts: tuple[str | Call, ...]
    formats: frozenset[str]

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls, in order."""
        return tuple(part for part in self.parts if isinstance(part, Call))

    @property
    def text(self) -> str:
        """What stands around the calls."""
        return "".join(part for part in self.parts if isinstance(part, str))


def written_formats() -> list[str]:
    """The formats that calls of training data can be written in."""
    return [format_.name for format_ in registry.FORMATS if format_.write] + [OPENAI]


def turn_text(content: str, calls: Sequence[Call], format_: str, tools: Sequence[Tool] = ()) -> str:
    """An assistant turn as canonical text: `content`, then `calls`, each on a line of its own.

    Raises:
        Unconvertible: the format cannot hold a call, or is `openai`, which is not text.

    """
    written = [_write(call, format_, tools) for call in calls]
    return "\n".join([content, *written] if content else written)


def read_turn(message: Message, tools: Sequence[Tool]) -> Turn:
    """Read an assistant message; the format of each call is told by itself.

    Raises:
        Unconvertible: something in it begins a call and is none.

    """
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        raise Unconvertible("the content of an assistant message is not a text")
    if message.get("function_call"):
        raise Unconvertible("function_call is not read; write it as tool_calls")
    structured = _read_tool_calls(message.get("tool_calls") or [])
    found = list(_read_text(content or "", tools))
    parts = [part for _, part in found]
    if structured and content:
        parts.append("\n")
    for index, call in enumerate(structured):
        parts += ["\n", call] if index else [call]
    formats = {format_ for format_, _ in found if format_}
    if structured:
        formats.add(OPENAI)
    return Turn(tuple(parts), frozenset(formats))


def write_turn(message: Message, turn: Turn, format_: str, tools: Sequence[Tool]) -> dict[str, Any]:
    """`message` with the calls of `turn` in another format; what is in it already stays as it is.

    Raises:
        Unconvertible: the format cannot hold a call, or text stands where it has no place for it.

    """
    if turn.formats <= {format_}:
        return dict(message)
    if format_ == OPENAI:
        content, calls = _content_and_calls(turn)
        return {**message, "content": content, "tool_calls": [_write_openai(c) for c in calls]}
    parts = [part if isinstance(part, str) else _write(part, format_, tools) for part in turn.parts]
    kept = {key: value for key, value in message.items() if key != "tool_calls"}
    return {**kept, "content": "".join(parts)}


def _content_and_calls(turn: Turn) -> tuple[str, tuple[Call, ...]]:
    first = next(i for i, part in enumerate(turn.parts) if isinstance(part, Call))
    if any(isinstance(part, str) and part.strip() for part in turn.parts[first:]):
        raise Unconvertible("text stands behind a call; tool_calls has no place for it")
    content = "".join(part for part in turn.parts[:first] if isinstance(part, str))
    return content.removesuffix("\n"), turn.calls


def _read_text(body: str, tools: Sequence[Tool]) -> Iterator[tuple[str | None, str | Call]]:
    """Text and calls in order, each call with its format."""
    if body.lstrip().startswith("{") and _is_bare_call(body, {tool.name for tool in tools}):
        raise Unconvertible("a call in JSON stands neither in a code block nor in tags")
    done = position = 0
    while marker := _MARKER.search(body, position):
        if marker.group() == CALL_OPEN:
            format_, calls, position = _read_tagged(body, marker.end(), tools)
        else:
            format_, calls, position = _read_fence(body, marker.end(), tools)
        if calls:
            yield from _text(body[done : marker.start()])
            for index, call in enumerate(calls):
                yield from [(None, "\n")] if index else []
                yield format_, call
            done = position
    yield from _text(body[done:])


def _text(text: str) -> Iterator[tuple[None, str]]:
    if tag := next((tag for tag in TAGS if tag in text), None):
        raise Unconvertible(f"{tag} stands outside of a call")
    if text:
        yield None, text


def _read_tagged(body: str, start: int, tools: Sequence[Tool]) -> tuple[str, list[Call], int]:
    inside = skip_space(body, start)
    if body.startswith("{", inside):
        value, end = _json_at(body, inside, CALL_CLOSE)
        return HERMES_JSON.name, [_json_call(value)], end
    try:
        found, end, ambiguous = read_functions(body, inside, tools, wrapped=True)
    except Broken as broken:
        raise Unconvertible(f"broken XML call: {broken.reason}") from None
    if ambiguous:
        raise Unconvertible(f"ambiguous XML call: {ambiguous[0]}")
    return QWEN_XML.name, [_typed(item.call, tools) for item in found], end


def _typed(call: Call, tools: Sequence[Tool]) -> Call:
    """An XML call with canonical arguments; without a schema, what is JSON is not text."""
    arguments = parse_strict(call.arguments)
    if not any(tool.name == call.name for tool in tools):
        arguments = {key: _guess(text) for key, text in arguments.items()}
    return Call(call.name, to_text(arguments))


def _guess(text: str) -> Any:
    try:
        value = parse_strict(text)
    except ValueError:
        return text
    return text if isinstance(value, str) else value


def _read_fence(body: str, start: int, tools: Sequence[Tool]) -> tuple[str, list[Call], int]:
    """The calls in the code block whose JSON begins at `start`; none in any other block."""
    names = {tool.name for tool in tools}
    try:
        value, end = _json_at(body, start, FENCE)
    except Unconvertible:
        block = body[start:].partition(FENCE)[0]
        if all(key.search(block) for key in _CALL_KEYS):
            raise
        return JSON_FENCE.name, [], start
    values = value if isinstance(value, list) else [value]
    if not any(_is_meant_as_call(item, names) for item in values):
        return JSON_FENCE.name, [], end
    return JSON_FENCE.name, [_json_call(item) for item in values], end


def _is_bare_call(body: str, names: set[str]) -> bool:
    try:
        return _is_meant_as_call(parse_strict(body), names)
    except ValueError:
        return False


def _is_meant_as_call(value: Any, names: set[str]) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return False
    return "arguments" in value or value["name"] in names


def _json_at(body: str, start: int, closer: str) -> tuple[Any, int]:
    """The strict JSON value at `start`, and the end of `closer`, which must follow it."""
    try:
        value, end = parse_strict_at(body, start)
    except ValueError as error:
        raise Unconvertible(f"a call's JSON is broken: {error}") from None
    close = skip_space(body, end)
    if not body.startswith(closer, close):
        raise Unconvertible(f"a call's JSON is not followed by {closer}")
    return value, close + len(closer)


def _json_call(value: Any) -> Call:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        raise Unconvertible('a call is not an object with a "name"')
    if not isinstance(value.get("arguments"), dict):
        raise Unconvertible(f'the "arguments" of {value["name"]} are not an object')
    if extra := value.keys() - {"name", "arguments"}:
        raise Unconvertible(f"{value['name']} has {to_text(min(extra))} beside name and arguments")
    return Call(value["name"], to_text(value["arguments"]))


def _read_tool_calls(values: Any) -> list[Call]:
    if not isinstance(values, list):
        raise Unconvertible("tool_calls is not a list")
    return [_openai_call(value) for value in values]


def _openai_call(value: Any) -> Call:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict):
        raise Unconvertible('an entry of tool_calls has no object "function"')
    if extra := value.keys() - {"id", "type", "index", "function"}:
        raise Unconvertible(f"an entry of tool_calls has the unknown key {to_text(min(extra))}")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = parse_strict(arguments)
        except ValueError as error:
            name = function.get("name")
            raise Unconvertible(f"the arguments of {name} are not JSON: {error}") from None
    return _json_call({**function, "arguments": arguments})


def _write(call: Call, format_: str, tools: Sequence[Tool]) -> str:
    if format_ == OPENAI:
        raise Unconvertible("a text has no place for tool_calls; use rows with messages")
    write = registry.find_format(format_).write
    if write is None:
        known = ", ".join(written_formats())
        raise Unconvertible(f"calls cannot be written as {format_} (choose from {known})")
    try:
        written = write(call)
    except Unwritable as error:
        raise Unconvertible(str(error)) from None
    if format_ == QWEN_XML.name:
        _check_xml(call, written, tools)
    return written


def _write_openai(call: Call) -> dict[str, Any]:
    return {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _check_xml(call: Call, written: str, tools: Sequence[Tool]) -> None:
    """XML has no types: refuse what would be read back as another call."""
    try:
        _, again, _ = _read_tagged(written, len(CALL_OPEN), tools)
    except Unconvertible as error:
        raise Unconvertible(f"{call.name} cannot be written as XML: {error}") from None
    if [found.name for found in again] != [call.name]:
        raise Unconvertible(f"{to_text(call.name)} cannot be written as the name of an XML call")
    _compare(call.name, parse_strict(call.arguments), parse_strict(again[0].arguments))


def _compare(name: str, arguments: Mapping[str, Any], again: Mapping[str, Any]) -> None:
    if list(arguments) != list(again):
        raise Unconvertible(f"{name}: a parameter's name cannot be written as XML")
    for key, value in arguments.items():
        if to_text(value) != to_text(again[key]):
            raise Unconvertible(
                f"{name}: {key} is {to_text(value)[:60]} and would be read back from XML as "
                f"{to_text(again[key])[:60]}; declare its type in the row's tools"
            )
