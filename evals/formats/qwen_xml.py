"""The XML of Qwen3-Coder: `<function=NAME>`, `<parameter=KEY>`, values as plain text.

Values are not escaped, so a value may hold the format's own tags. Structure decides: a closing tag
counts only where the next tag of the format follows it.
"""

import re
from collections.abc import Sequence
from typing import Self

from evals import schema as schemas
from evals.case import Tool
from evals.formats.reading import ReadCall, typed_call

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
FUNCTION_CLOSE, PARAMETER_CLOSE = "</function>", "</parameter>"
FUNCTION = re.compile(r"<function=([^\s<>\"'{}]+)>")
PARAMETER = re.compile(r"<parameter=([^\s<>](?:[^<>\n]*[^\s<>])?)>")


class Broken(Exception):  # noqa: N818
    """Markup that begins a call and goes wrong; `end` is where reading goes on."""

    def __init__(self, reason: str, end: int, *, cut: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.end = end
        self.cut = cut

    @classmethod
    def within(cls, body: str, start: int, reason: str, closer: str = CALL_CLOSE) -> Self:
        """Broken from `start` to the next `closer`, or to the end of the text."""
        close = body.find(closer, start) if closer else -1
        if close < 0:
            return cls(reason, len(body), cut=True)
        return cls(reason, close + len(closer))


def skip_space(body: str, position: int) -> int:
    """The first position from `position` on that is not white space."""
    while position < len(body) and body[position].isspace():
        position += 1
    return position


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
        ambiguous += _ambiguities(opening.group(1), pairs, tools)
        call = typed_call(opening.group(1), dict(pairs), tools)
        calls.append(
            call if wrapped else ReadCall(call.call, "bare-function", call.unfit, call.either)
        )
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
        return "the name in <function=…> is not closed by > or is no name"
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
        if PARAMETER.match(body, after):
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
    return value.removeprefix("\n").removesuffix("\n")


def _ambiguities(name: str, pairs: Sequence[tuple[str, str]], tools: Sequence[Tool]) -> list[str]:
    """Why the values could have been meant in another way."""
    tool = next((tool for tool in tools if tool.name == name), None)
    properties = schemas.resolve(tool.parameters, tool.parameters) if tool else {}
    declared = set(properties.get("properties") or ())
    keys = [key for key, _ in pairs]
    reasons = [f"parameter {k} comes twice" for k in dict.fromkeys(keys) if keys.count(k) > 1]
    for key, value in pairs:
        inner = {found for found in PARAMETER.findall(value) if found in declared}
        reasons += [f"the value of {key} holds <parameter={found}>" for found in sorted(inner)]
        if value.rstrip().endswith(PARAMETER_CLOSE):
            reasons.append(f"{PARAMETER_CLOSE} stands twice behind {key}")
    return reasons
