"""Gemma 4: `<|tool_call>call:f{x:1,y:<|"|>text<|"|>}<tool_call|>`, objects with bare keys."""

import re
from collections.abc import Sequence
from typing import Any

from evals.case import Tool
from evals.formats.call_format import Broken, CallFormat, Opening, Section, skip_space
from evals.formats.reading import json_call
from evals.json_text import parse_strict

OPEN, CLOSE = "<|tool_call>", "<tool_call|>"

_NAME = re.compile(r"\s*call:([\w.-]+)(?=\{)")
_KEY = re.compile(r"\s*([^\s:{}\[\],<][^:{}\[\],<]*):")
_TEXT = '<|"|>'
_LITERAL = re.compile(r"\s*([^\s,}\]<]+)\s*")


def _read(body: str, start: int, tools: Sequence[Tool]) -> Section:
    name = _NAME.match(body, start + len(OPEN))
    if name is None:
        raise Broken.within(body, start, f"no call: follows {OPEN}", CLOSE)
    try:
        value, end = _value(body, name.end())
    except (ValueError, RecursionError) as error:
        raise Broken.within(body, start, str(error), CLOSE) from None
    end = skip_space(body, end)
    if not body.startswith(CLOSE, end):
        raise Broken.within(body, start, f"the call is not followed by {CLOSE}", CLOSE)
    return Section([json_call(name[1], value, GEMMA.name, tools)], end + len(CLOSE))


def _value(body: str, position: int) -> tuple[Any, int]:
    """A value: text between its own marks, an object with bare keys, a list, or a JSON literal."""
    position = skip_space(body, position)
    if body.startswith(_TEXT, position):
        close = body.index(_TEXT, position + len(_TEXT))
        return body[position + len(_TEXT) : close], close + len(_TEXT)
    if body.startswith("{", position):
        pairs, end = _items(body, position + 1, "}")
        return dict(pairs), end
    if body.startswith("[", position):
        pairs, end = _items(body, position + 1, "]")
        return [value for _, value in pairs], end
    literal = _LITERAL.match(body, position)
    if literal is None:
        raise ValueError("a value is missing")
    return parse_strict(literal[1]), literal.end()


def _items(body: str, position: int, closer: str) -> tuple[list[tuple[str, Any]], int]:
    """Pairs of an object up to `}`, or items of a list up to `]`, which have no keys."""
    pairs: list[tuple[str, Any]] = []
    position = skip_space(body, position)
    while not body.startswith(closer, position):
        key = _KEY.match(body, position) if closer == "}" else None
        if closer == "}" and key is None:
            raise ValueError("a key is missing")
        if key and key[1] in (name for name, _ in pairs):
            raise ValueError(f"{key[1]} is given twice")
        value, position = _value(body, key.end() if key else position)
        pairs.append((key[1] if key else "", value))
        position = skip_space(body, position)
        if body.startswith(",", position):
            position = skip_space(body, position + 1)
        elif not body.startswith(closer, position):
            raise ValueError(f"neither a comma nor {closer} follows a value")
    return pairs, position + 1


GEMMA = CallFormat(
    "gemma",
    doc='`<|tool_call>call:f{x:1,y:<|"|>text<|"|>}<tool_call|>`',
    openings=(Opening(OPEN, _read),),
    markup=(OPEN, CLOSE),
    template="gemma",
    parsers=("gemma4",),
)
