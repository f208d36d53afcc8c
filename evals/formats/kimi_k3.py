"""Kimi K3: a section of calls whose values say their type, or have one JSON object together."""

import re
from collections.abc import Sequence
from typing import Any

from evals.case import Tool
from evals.formats.call_format import (
    Broken,
    CallFormat,
    Opening,
    Section,
    skip_space,
    swallowed,
)
from evals.formats.reading import ReadCall, json_call
from evals.json_text import parse_strict

OPEN, CLOSE = "<|open|>tools<|sep|>", "<|close|>tools<|sep|>"

_CALL = re.compile(r'<\|open\|>call tool="([^"<>]+)"(?: index="\d+")?<\|sep\|>')
_ARGUMENT = re.compile(r'<\|open\|>argument key="([^"]+)" type="(\w+)"<\|sep\|>')
_OBJECT = re.compile(r'<\|open\|>json(?: type="object")?<\|sep\|>')
_CALL_CLOSE = "<|close|>call<|sep|>"
_ARGUMENT_CLOSE = "<|close|>argument<|sep|>"
_OBJECT_CLOSE = "<|close|>json<|sep|>"
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"))


def _read(body: str, start: int, tools: Sequence[Tool]) -> Section:
    calls: list[ReadCall] = []
    ambiguous: list[str] = []
    position = skip_space(body, start + len(OPEN))
    while head := _CALL.match(body, position):
        arguments, end, reasons = _arguments(body, skip_space(body, head.end()))
        ambiguous += reasons
        calls.append(json_call(_plain(head[1]), arguments, KIMI_K3.name, tools))
        position = skip_space(body, end)
    if not calls or not body.startswith(CLOSE, position):
        raise Broken.within(body, position, f"neither a call nor {CLOSE} follows", CLOSE)
    return Section(calls, position + len(CLOSE), ambiguous)


def _arguments(body: str, position: int) -> tuple[dict[str, Any], int, list[str]]:
    """The arguments of the call whose inside begins at `position`, and where the call ends.

    And why they can be read in another way.
    """
    arguments: dict[str, Any] = {}
    ambiguous: list[str] = []
    if head := _OBJECT.match(body, position):
        close = _closing(body, head.end(), _OBJECT_CLOSE)
        arguments = _json(body, head.end(), close, "the JSON block")
        if not isinstance(arguments, dict):
            raise Broken.within(body, position, "the JSON block is not an object", CLOSE)
        position = skip_space(body, close + len(_OBJECT_CLOSE))
    while head := _ARGUMENT.match(body, position):
        key, kind = _plain(head[1]), head[2]
        if key in arguments:
            raise Broken.within(body, position, f"{key} is given twice", CLOSE)
        close = _closing(body, head.end(), _ARGUMENT_CLOSE)
        text = body[head.end() : close]
        ambiguous += swallowed([(key, text)], _CALL, _CALL_CLOSE)
        arguments[key] = text if kind == "string" else _json(body, head.end(), close, key)
        position = skip_space(body, close + len(_ARGUMENT_CLOSE))
    if not body.startswith(_CALL_CLOSE, position):
        reason = f"neither an argument nor {_CALL_CLOSE} follows"
        raise Broken.within(body, position, reason, CLOSE)
    return arguments, position + len(_CALL_CLOSE), ambiguous


def _closing(body: str, position: int, closer: str) -> int:
    """The first `closer` from `position` on that the next tag of a call follows."""
    close = body.find(closer, position)
    while close >= 0:
        after = skip_space(body, close + len(closer))
        if body.startswith(_CALL_CLOSE, after) or _ARGUMENT.match(body, after):
            return close
        close = body.find(closer, close + 1)
    raise Broken.within(body, position, f"a value is not followed by {closer}", CLOSE)


def _json(body: str, start: int, end: int, what: str) -> Any:
    try:
        return parse_strict(body[start:end])
    except ValueError as error:
        raise Broken.within(body, start, f"{what} is not JSON: {error}", CLOSE) from None


def _plain(attribute: str) -> str:
    for entity, letter in _ENTITIES:
        attribute = attribute.replace(entity, letter)
    return attribute


KIMI_K3 = CallFormat(
    "kimi-k3",
    doc='`<|open|>tools<|sep|><|open|>call tool="f" index="1"<|sep|><|open|>argument key="x" '
    'type="number"<|sep|>1<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|>`',
    openings=(Opening(OPEN, _read),),
    markup=(OPEN, CLOSE),
    frame=(r"<\|(?:open|close)\|>response<\|sep\|>", r"<\|close\|>message<\|sep\|>"),
    parsers=("kimi_k3",),
)
