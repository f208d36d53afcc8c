"""Readers of formats that one family of models writes: GLM, Kimi K2 and Gemma 4.

Each takes the whole text and where a call begins; it returns what it read and where that ends, or
raises `Broken`. GLM's values are text and typed by the tool's schema, the others' have their type.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evals.case import Tool
from evals.formats.qwen_xml import CALL_CLOSE, Broken, skip_space
from evals.formats.reading import ReadCall, json_call, typed_call
from evals.json_text import parse_strict, parse_strict_at

KIMI_OPEN, KIMI_CLOSE = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
GEMMA_OPEN, GEMMA_CLOSE = "<|tool_call>", "<tool_call|>"

_GLM_NAME = re.compile(r"([\w.-]+)\s*(?=<arg_key>|</tool_call>)")
_GLM_KEY = re.compile(r"<arg_key>([^<>]+)</arg_key>\s*<arg_value>")
_GLM_VALUE_CLOSE = "</arg_value>"
_KIMI_NAME = re.compile(
    r"\s*<\|tool_call_begin\|>\s*(?:functions\.)?([\w.-]+):\d+\s*<\|tool_call_argument_begin\|>\s*"
)
_KIMI_END = "<|tool_call_end|>"
_GEMMA_NAME = re.compile(r"\s*call:([\w.-]+)(?=\{)")
_GEMMA_KEY = re.compile(r"\s*([^\s:{}\[\],<][^:{}\[\],<]*):")
_GEMMA_TEXT = '<|"|>'
_GEMMA_LITERAL = re.compile(r"\s*([^\s,}\]<]+)\s*")


def json_at(body: str, start: int, closer: str) -> tuple[Any, int]:
    """The strict JSON value at `start`, and where it ends.

    Raises:
        Broken: there is none; it is broken up to the next `closer`.
    """
    try:
        return parse_strict_at(body, start)
    except ValueError as error:
        raise Broken.within(body, start, f"not JSON: {error}", closer) from None


def is_glm(body: str, position: int, tools: Sequence[Tool]) -> bool:
    """Whether GLM's name of a call stands at `position`; one without arguments is a tool's."""
    name = _GLM_NAME.match(body, position)
    if name is None:
        return False
    return body.startswith("<arg_key>", name.end()) or name[1] in {tool.name for tool in tools}


def read_glm(body: str, start: int, tools: Sequence[Tool]) -> tuple[ReadCall, int]:
    """The call whose name is at `start`, and the place after its `</tool_call>`."""
    name = _GLM_NAME.match(body, start)
    if name is None:
        raise Broken.within(body, start, "no name follows <tool_call>")
    values: dict[str, str] = {}
    position = name.end()
    while not body.startswith(CALL_CLOSE, position):
        key = _GLM_KEY.match(body, position)
        if key is None:
            raise Broken.within(body, position, f"neither <arg_key> nor {CALL_CLOSE} follows")
        close = _glm_close(body, key.end())
        if close is None:
            raise Broken.within(body, position, f"the value of {key[1]} is not closed")
        if key[1] in values:
            raise Broken.within(body, position, f"{key[1]} is given twice")
        values[key[1]] = body[key.end() : close]
        position = skip_space(body, close + len(_GLM_VALUE_CLOSE))
    return replace(typed_call(name[1], values, tools), format="glm"), position + len(CALL_CLOSE)


def _glm_close(body: str, position: int) -> int | None:
    """The first `</arg_value>` from `position` on that the format's next tag follows."""
    close = body.find(_GLM_VALUE_CLOSE, position)
    while close >= 0:
        after = skip_space(body, close + len(_GLM_VALUE_CLOSE))
        if body.startswith((CALL_CLOSE, "<arg_key>"), after):
            return close
        close = body.find(_GLM_VALUE_CLOSE, close + 1)
    return None


def read_kimi(body: str, start: int, tools: Sequence[Tool]) -> tuple[list[ReadCall], int]:
    """The calls of the section at `start`, and the place after it."""
    calls: list[ReadCall] = []
    position = start + len(KIMI_OPEN)
    while name := _KIMI_NAME.match(body, position):
        value, end = json_at(body, name.end(), KIMI_CLOSE)
        end = skip_space(body, end)
        if not isinstance(value, dict) or not body.startswith(_KIMI_END, end):
            reason = f"the arguments of {name[1]} are no object that {_KIMI_END} follows"
            raise Broken.within(body, position, reason, KIMI_CLOSE)
        calls.append(json_call(name[1], value, "kimi", tools))
        position = end + len(_KIMI_END)
    position = skip_space(body, position)
    if not calls or not body.startswith(KIMI_CLOSE, position):
        raise Broken.within(body, position, f"neither a call nor {KIMI_CLOSE} follows", KIMI_CLOSE)
    return calls, position + len(KIMI_CLOSE)


def read_gemma(body: str, start: int, tools: Sequence[Tool]) -> tuple[ReadCall, int]:
    """The call at `start`, and the place after its closing tag."""
    name = _GEMMA_NAME.match(body, start + len(GEMMA_OPEN))
    if name is None:
        raise Broken.within(body, start, f"no call: follows {GEMMA_OPEN}", GEMMA_CLOSE)
    try:
        value, end = _gemma_value(body, name.end())
    except (ValueError, RecursionError) as error:
        raise Broken.within(body, start, str(error), GEMMA_CLOSE) from None
    end = skip_space(body, end)
    if not body.startswith(GEMMA_CLOSE, end):
        raise Broken.within(body, start, f"the call is not followed by {GEMMA_CLOSE}", GEMMA_CLOSE)
    return json_call(name[1], value, "gemma", tools), end + len(GEMMA_CLOSE)


def _gemma_value(body: str, position: int) -> tuple[Any, int]:
    """A value: text between its own marks, an object with bare keys, a list, or a JSON literal."""
    position = skip_space(body, position)
    if body.startswith(_GEMMA_TEXT, position):
        close = body.index(_GEMMA_TEXT, position + len(_GEMMA_TEXT))
        return body[position + len(_GEMMA_TEXT) : close], close + len(_GEMMA_TEXT)
    if body.startswith("{", position):
        pairs, end = _gemma_items(body, position + 1, "}")
        return dict(pairs), end
    if body.startswith("[", position):
        pairs, end = _gemma_items(body, position + 1, "]")
        return [value for _, value in pairs], end
    literal = _GEMMA_LITERAL.match(body, position)
    if literal is None:
        raise ValueError("a value is missing")
    return parse_strict(literal[1]), literal.end()


def _gemma_items(body: str, position: int, closer: str) -> tuple[list[tuple[str, Any]], int]:
    """Pairs of an object up to `}`, or items of a list up to `]`, which have no keys."""
    pairs: list[tuple[str, Any]] = []
    position = skip_space(body, position)
    while not body.startswith(closer, position):
        key = _GEMMA_KEY.match(body, position) if closer == "}" else None
        if closer == "}" and key is None:
            raise ValueError("a key is missing")
        if key and key[1] in (name for name, _ in pairs):
            raise ValueError(f"{key[1]} is given twice")
        value, position = _gemma_value(body, key.end() if key else position)
        pairs.append((key[1] if key else "", value))
        position = skip_space(body, position)
        if body.startswith(",", position):
            position = skip_space(body, position + 1)
        elif not body.startswith(closer, position):
            raise ValueError(f"neither a comma nor {closer} follows a value")
    return pairs, position + 1
