"""Calls written as `<function=NAME>`, `<parameter=KEY>`: canonical, on one line, or incomplete.

A value is plain text and may hold the format's own tags. A tag ends a value only where what follows
makes it a part of the format; a missing `</parameter>` is taken for one only at a line's end (or
right at the value, in the one-line form), before a tag of the format.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals import schema as schemas
from evals.case import Tool
from evals.formats.qwen_xml import QWEN_XML
from evals.formats.reading import typed_call
from evals.parsers.events import MalformedCall, ToolCall
from evals.parsers.loose_values import with_loose_values
from evals.parsers.source import BrokenCall, Incomplete, Source

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
FUNCTION_OPEN, FUNCTION_CLOSE = "<function=", "</function>"
_PARAMETER_OPEN, _PARAMETER_CLOSE = "<parameter=", "</parameter>"

_HEAD = re.compile(r"<function=([^<>\n]{0,300})(>?)")
_KEY = re.compile(r"<parameter=([^<>\n]{0,300})(>?)")
_ENDS = re.compile(r"</parameter>|</function>|</tool_call>|<parameter=|<tool_call>")


@dataclass(frozen=True)
class _Function:
    """What reading one function needs to know of it: its tool, and whether a wrapper is open."""

    tool: Tool | None
    wrapped: bool

    @property
    def declared(self) -> frozenset[str]:
        """The parameters that the tool's schema names."""
        if self.tool is None:
            return frozenset()
        schema = schemas.resolve(self.tool.parameters, self.tool.parameters)
        properties = schema.get("properties") if isinstance(schema, Mapping) else None
        return frozenset(properties) if isinstance(properties, Mapping) else frozenset()


def read_function(
    source: Source, start: int, tools: Sequence[Tool], *, wrapped: bool
) -> tuple[ToolCall | MalformedCall, int]:
    """The function at `start`, and where it ends. One with an undeclared name is malformed.

    Raises:
        Incomplete: it may go on.
        BrokenCall: it does not keep to the format, or the text ends in it.

    """
    names = frozenset(tool.name for tool in tools)
    name, position = _name(source, start, _HEAD, names)
    while source.has(FUNCTION_OPEN, source.skip_space(position)):  # the opening tag once more
        again, end = _name(source, source.skip_space(position), _HEAD, names)
        if again != name:
            break
        position = end
    tool = next((tool for tool in tools if tool.name == name), None)
    pairs, end = _parameters(source, position, _Function(tool, wrapped))
    if tool is None:
        raw, reason = source.text[start:end], f"{name!r} is not the name of an available tool"
        return MalformedCall(raw, reason), end
    call = with_loose_values(typed_call(tool.name, pairs, QWEN_XML.name, tools), pairs, tool)
    return ToolCall(call.name, call.arguments), end


def declared_head(source: Source, start: int, tools: Sequence[Tool]) -> bool:
    """Whether a declared name stands in the `<function=` at `start`.

    Raises:
        Incomplete: it may go on.

    """
    names = frozenset(tool.name for tool in tools)
    try:
        return _name(source, start, _HEAD, names)[0] in names
    except BrokenCall:
        return False


def _name(
    source: Source, start: int, pattern: "re.Pattern[str]", declared: frozenset[str]
) -> tuple[str, int]:
    """The name in an opening tag, and where the tag ends; its `>` may be missing.

    Quotes and white space around a name go, unless they are part of a declared one.
    """
    head = pattern.match(source.text, start)
    assert head is not None, "the tag was seen before"
    if head.end() == len(source.text) and not head.group(2):
        if not source.final:
            raise Incomplete
        raise BrokenCall("the text ends in a tag", head.end(), cut=True)
    name = head.group(1)
    for inner in (name, name.strip()):
        if inner in declared:
            return inner, head.end()
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1]
    if not name:
        raise BrokenCall("a tag without a name", start)
    return name, head.end()


def _parameters(source: Source, position: int, function: _Function) -> tuple[dict[str, str], int]:
    pairs: dict[str, str] = {}
    while True:
        position = source.skip_space(position)
        if source.has(FUNCTION_CLOSE, position):
            return pairs, _behind_closers(source, position)
        if (skipped := _nameless(source, position)) is not None:
            position = skipped
            continue
        if source.has(CALL_CLOSE, position) or source.has(CALL_OPEN, position):
            return pairs, position
        if source.at_end(position):
            return pairs, position
        if position == len(source.text):
            raise BrokenCall("the text ends in a call", position, cut=True)
        if not source.has(_PARAMETER_OPEN, position):
            raise BrokenCall("neither a parameter nor </function> follows", position)
        key, start = _name(source, position, _KEY, function.declared)
        if not source.text.startswith(">", start - 1):
            raise BrokenCall(f"the tag of parameter {key} is not closed", position)
        if key in pairs:
            raise BrokenCall(f"parameter {key} comes twice", position)
        stop, position = _value_end(source, start, function, frozenset([*pairs, key]))
        value = source.text[start:stop].removeprefix("\n").removesuffix("\n")
        pairs[key] = _without_repeat(key, _without_doubled_tag(value))


def _behind_closers(source: Source, position: int) -> int:
    """Where the `</function>` at `position` ends, and those that stand behind it once more."""
    end = position + len(FUNCTION_CLOSE)
    while not source.at_end(place := source.skip_space(end)):
        if not source.has(FUNCTION_CLOSE, place):
            break
        end = place + len(FUNCTION_CLOSE)
    return end


def _nameless(source: Source, position: int) -> int | None:
    """Where a `<parameter=>` ends, whose value belongs to no argument; None if there is none."""
    if not source.has(f"{_PARAMETER_OPEN}>", position):
        return None
    close = source.text.find(_PARAMETER_CLOSE, position)
    if close < 0 and not source.final:
        raise Incomplete
    return close + len(_PARAMETER_CLOSE) if close >= 0 else None


def _without_doubled_tag(value: str) -> str:
    """`value` without a `</parameter>` that the model wrote twice.

    It is taken for one where it ends the value on a line of its own, and the value has something
    before it, but no tag that it could close.
    """
    rest = value.removesuffix(f"\n{_PARAMETER_CLOSE}")
    is_doubled = rest and rest != value and rest.count("<parameter") <= rest.count(_PARAMETER_CLOSE)
    return rest if is_doubled else value


def _without_repeat(key: str, value: str) -> str:
    """`value` once, where the model wrote the whole parameter again with the same value."""
    border = rf"\n?{_PARAMETER_CLOSE}\s*{_PARAMETER_OPEN}{re.escape(key)}>\n?"
    parts = set(re.split(border, value))
    return parts.pop() if len(parts) == 1 else value


def _value_end(
    source: Source, start: int, function: _Function, seen: frozenset[str]
) -> tuple[int, int]:
    """Where the value that begins at `start` ends, and where reading goes on."""
    likely: tuple[int, int] | None = None
    opened = False
    for tag in _ENDS.finditer(source.text, start):
        place, after = tag.span()
        if tag.group() == CALL_OPEN:
            behind_call = source.text.endswith(CALL_CLOSE, start, place)
            if behind_call or _at_line_end(source.text, start, place):
                if likely:
                    return likely
                opened = True
            continue
        closing = tag.group() == _PARAMETER_CLOSE
        span = place, after if closing else place
        if closing:
            sure = _closes(source, after, function, seen)
        elif opened or not _at_line_end(source.text, start, place):
            continue  # what follows a <tool_call> in the value belongs to that one
        else:
            sure = _ends_unclosed(source, place, tag.group(), function, seen)
        if sure:
            return span
        if sure is None and likely is None:
            likely = span
    return _at_the_end(source, likely)


def _at_the_end(source: Source, likely: tuple[int, int] | None) -> tuple[int, int]:
    """The likely end of a value that nothing in the text ends for sure."""
    if not source.final:
        raise Incomplete
    if likely and not source.cut:
        return likely
    raise BrokenCall("the text ends in a value", len(source.text), cut=True)


def _closes(source: Source, after: int, function: _Function, seen: frozenset[str]) -> bool | None:
    """Whether the `</parameter>` that ends at `after` ends the value; None: only if need be."""
    place = source.skip_space(after)
    if source.has(_PARAMETER_OPEN, place):
        nameless = source.has(f"{_PARAMETER_OPEN}>", place)
        return nameless or _opens_parameter(source, place, function, seen, declared_only=False)
    if source.has(FUNCTION_CLOSE, place):
        return not function.wrapped or _ends_function(source, place) or None
    if source.has(CALL_CLOSE, place):
        return _ends_call(source, place)
    return source.final and not source.cut and place == len(source.text)


def _ends_unclosed(
    source: Source, place: int, tag: str, function: _Function, seen: frozenset[str]
) -> bool | None:
    """Whether a tag other than `</parameter>` ends the value; None: only if need be."""
    if tag == _PARAMETER_OPEN:
        return _opens_parameter(source, place, function, seen, declared_only=True)
    if tag == CALL_CLOSE:
        return _ends_call(source, place)
    beyond = source.skip_space(_behind_closers(source, place))
    if source.has(CALL_CLOSE, beyond):
        return _ends_call(source, beyond)
    return source.has(FUNCTION_OPEN, beyond) or source.at_end(beyond) or None


def _opens_parameter(
    source: Source, place: int, function: _Function, seen: frozenset[str], *, declared_only: bool
) -> bool:
    """Whether the tag at `place` opens a parameter that the call does not have yet."""
    try:
        key, end = _name(source, place, _KEY, function.declared)
    except BrokenCall:
        return False
    closed = source.text.startswith(">", end - 1)
    return closed and key not in seen and (key in function.declared or not declared_only)


def _ends_function(source: Source, place: int) -> bool:
    """Whether a tag of the format, or the end of the text, follows the `</function>` here."""
    beyond = source.skip_space(_behind_closers(source, place))
    follows = source.has(CALL_CLOSE, beyond) or source.has(FUNCTION_OPEN, beyond)
    return follows or source.at_end(beyond)


def _ends_call(source: Source, place: int) -> bool | None:
    """Whether nothing but a next call follows the `</tool_call>` here; else it is likely."""
    beyond = source.skip_space(place + len(CALL_CLOSE))
    return source.has(CALL_OPEN, beyond) or beyond == len(source.text) or None


def _at_line_end(text: str, start: int, place: int) -> bool:
    """Whether the value would end with its line, or, in the one-line form, without white space."""
    if text.startswith("\n", start) and place > start + 1:
        return text[place - 1] == "\n"
    return place == start or text[place - 1] == "\n" or not text[place - 1].isspace()
