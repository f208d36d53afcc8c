"""The XML of Qwen3-Coder: `<function=NAME>`, `<parameter=KEY>`, values as plain text.

Values are not escaped, so a value may hold the format's own tags. Structure decides: a closing tag
counts only where the next tag of the format follows it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from evals import schema as schemas
from evals.case import Tool
from evals.formats.call_format import (
    Broken,
    CallFormat,
    Opening,
    Section,
    Unwritable,
    skip_space,
    swallowed,
)
from evals.formats.reading import ReadCall, typed_call
from evals.json_text import parse_strict, to_text
from evals.observation import Call

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
FUNCTION_CLOSE, PARAMETER_CLOSE = "</function>", "</parameter>"
TAGS = (CALL_OPEN, CALL_CLOSE, "<function=", FUNCTION_CLOSE, "<parameter=", PARAMETER_CLOSE)
FUNCTION = re.compile(r"<function=([^\s<>\"'{}]+)>")
PARAMETER = re.compile(r"<parameter=([^\s<>](?:[^<>\n]*[^\s<>])?)>")
_BEGUN = re.compile(rf"{CALL_OPEN}\s*{FUNCTION.pattern}")


def _read(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
    inside = skip_space(body, start + len(CALL_OPEN))
    if not body.startswith("<function=", inside):
        return None
    return Section(*read_functions(body, inside, tools, wrapped=True))


def _read_bare(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
    if not FUNCTION.match(body, start):
        return None
    calls, end, ambiguous = read_functions(body, start, tools, wrapped=False)
    close = skip_space(body, end)
    end = close + len(CALL_CLOSE) if body.startswith(CALL_CLOSE, close) else end
    return Section(calls, end, ambiguous)


def read_functions(
    body: str, start: int, tools: Sequence[Tool], *, wrapped: bool
) -> tuple[list[ReadCall], int, list[str]]:
    """The function at `start` and, in one `<tool_call>`, those that follow it.

    Returns the calls, where they end, and why they can be read in another way.

    Raises:
        Broken: they do not keep to the format.

    """
    closer = CALL_CLOSE if wrapped else FUNCTION_CLOSE
    calls: list[ReadCall] = []
    ambiguous: list[str] = []
    position = start
    while True:
        opening = FUNCTION.match(body, position)
        if not opening:
            raise Broken.within(body, position, _no_function(body, position), closer)
        pairs, position = _read_parameters(body, opening.end(), wrapped, closer)
        schema = _schema(opening.group(1), tools)
        if reason := _unopened(pairs, schema):
            raise Broken.within(body, position, reason, closer)
        ambiguous += _ambiguities(pairs, schema)
        name = QWEN_XML.name if wrapped else BARE_FUNCTION.name
        calls.append(typed_call(opening.group(1), dict(pairs), name, tools))
        if not wrapped:
            return calls, position, ambiguous
        position = skip_space(body, position)
        if body.startswith(CALL_CLOSE, position):
            return calls, position + len(CALL_CLOSE), ambiguous
        if not body.startswith("<function=", position):
            reason = f"{FUNCTION_CLOSE} is not followed by {CALL_CLOSE}"
            raise Broken.within(body, position, reason, closer)


def _no_function(body: str, position: int) -> str:
    if body.startswith("<function=", position):
        return "the name in <function=…> is not closed by > or is not a name"
    if body.startswith(CALL_CLOSE, position):
        return f"{CALL_OPEN} is empty"
    return f"{CALL_OPEN} is not followed by <function=…> or a JSON object"


def _read_parameters(
    body: str, position: int, wrapped: bool, closer: str
) -> tuple[list[tuple[str, str]], int]:
    pairs: list[tuple[str, str]] = []
    while True:
        position = skip_space(body, position)
        if body.startswith(FUNCTION_CLOSE, position):
            return pairs, position + len(FUNCTION_CLOSE)
        opening = PARAMETER.match(body, position)
        if not opening:
            raise Broken.within(
                body, position, "neither a parameter nor </function> follows", closer
            )
        close = _closing(body, opening.end(), wrapped)
        if close is None:
            reason = f"<parameter={opening.group(1)}> is not closed"
            raise Broken.within(body, position, reason, closer)
        pairs.append((opening.group(1), _strip_newline(body[opening.end() : close])))
        position = close + len(PARAMETER_CLOSE)


def _closing(body: str, position: int, wrapped: bool) -> int | None:
    """The first `</parameter>` from `position` on that the format's next tag follows."""
    close = body.find(PARAMETER_CLOSE, position)
    while close >= 0:
        after = skip_space(body, close + len(PARAMETER_CLOSE))
        if PARAMETER.match(body, after) or body.startswith("<parameter=>", after):
            return close
        if body.startswith(FUNCTION_CLOSE, after):
            beyond = skip_space(body, after + len(FUNCTION_CLOSE))
            tags = (CALL_CLOSE, "<function=")
            if not wrapped or beyond == len(body) or body.startswith(tags, beyond):
                return close
        close = body.find(PARAMETER_CLOSE, close + 1)
    return None


def _strip_newline(value: str) -> str:
    """The value without the one newline on each side that belongs to the format."""
    if value.startswith("\r\n"):  # the model ends all of its lines so
        return value.removeprefix("\r\n").removesuffix("\r\n")
    return value.removeprefix("\n").removesuffix("\n")


def _schema(name: str, tools: Sequence[Tool]) -> Mapping[str, Any]:
    """What the arguments of a tool are to be; empty for one that is not there."""
    tool = next((tool for tool in tools if tool.name == name), None)
    return schemas.resolve(tool.parameters, tool.parameters) if tool else {}


def _unopened(pairs: Sequence[tuple[str, str]], schema: Mapping[str, Any]) -> str | None:
    """What tells that an opening tag is missing: a value holds more, and an argument lacks."""
    keys = {key for key, _ in pairs}
    required = schema.get("required")
    missing = [key for key in required if key not in keys] if isinstance(required, list) else []
    long = [key for key, value in pairs if PARAMETER_CLOSE in value]
    if not (missing and long):
        return None
    return (
        f"the value of {long[0]} holds {PARAMETER_CLOSE}, and <parameter={missing[0]}> is missing"
    )


def _ambiguities(pairs: Sequence[tuple[str, str]], schema: Mapping[str, Any]) -> list[str]:
    """Why the values could have been meant in another way."""
    declared = set(schema.get("properties") or ())
    values = {key: {v for k, v in pairs if k == key} for key, _ in pairs}
    reasons = [f"parameter {key} comes twice" for key in values if len(values[key]) > 1]
    for key, value in pairs:
        inner = {found for found in PARAMETER.findall(value) if found in declared}
        reasons += [f"the value of {key} holds <parameter={found}>" for found in sorted(inner)]
        reasons += swallowed([(key, value)], _BEGUN, FUNCTION_CLOSE)
        if value.rstrip().endswith(PARAMETER_CLOSE):
            reasons.append(f"{PARAMETER_CLOSE} stands twice behind {key}")
    return reasons


def _write(call: Call) -> str:
    lines = [CALL_OPEN, f"<function={call.name}>"]
    for key, value in parse_strict(call.arguments).items():
        text = value if isinstance(value, str) else to_text(value)
        if tag := next((tag for tag in TAGS if tag in text), None):
            raise Unwritable(f"{call.name}: {key} holds {tag}, where parsers would cut the call")
        lines += [f"<parameter={key}>", text, PARAMETER_CLOSE]
    return "\n".join([*lines, FUNCTION_CLOSE, CALL_CLOSE])


QWEN_XML = CallFormat(
    "qwen3-coder-xml",
    doc="`<tool_call><function=f><parameter=x>1</parameter></function></tool_call>`",
    openings=(Opening(CALL_OPEN, _read, close=CALL_CLOSE, begins="<function=…>"),),
    markup=TAGS,
    closers=(CALL_CLOSE, FUNCTION_CLOSE, PARAMETER_CLOSE),
    write=_write,
    template="qwen3-coder",
    parsers=("qwen3_coder",),
)
BARE_FUNCTION = CallFormat(
    "bare-function",
    doc="`<function=f><parameter=x>1</parameter></function>`",
    openings=(Opening("<function=", _read_bare),),
    markup=("<function=",),
)
