"""Kimi K2: a section of calls, each a name with a number and a JSON object."""

import re
from collections.abc import Sequence

from evals.case import Tool
from evals.formats.call_format import Broken, CallFormat, Opening, Section, skip_space
from evals.formats.json_object import json_at
from evals.formats.reading import ReadCall, json_call

OPEN, CLOSE = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"

_NAME = re.compile(
    r"\s*<\|tool_call_begin\|>\s*(?:functions\.)?([\w.-]+):\d+\s*<\|tool_call_argument_begin\|>\s*"
)
_BEGIN, _END = "<|tool_call_begin|>", "<|tool_call_end|>"


def _read(body: str, start: int, tools: Sequence[Tool]) -> Section:
    calls: list[ReadCall] = []
    position = start + len(OPEN)
    while name := _NAME.match(body, position):
        value, end = json_at(body, name.end(), CLOSE)
        end = skip_space(body, end)
        if not isinstance(value, dict) or not body.startswith(_END, end):
            reason = f"the arguments of {name[1]} are not an object that {_END} follows"
            raise Broken.within(body, position, reason, CLOSE)
        calls.append(json_call(name[1], value, KIMI.name, tools))
        position = end + len(_END)
    position = skip_space(body, position)
    if not calls or not body.startswith(CLOSE, position):
        raise Broken.within(body, position, f"neither a call nor {CLOSE} follows", CLOSE)
    return Section(calls, position + len(CLOSE))


def _read_alone(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
    """A call without the tags of its section, which parsers look for: it is malformed."""
    name = _NAME.match(body, start)
    if name is None:
        return None
    _, end = json_at(body, name.end(), _END)
    close = body.find(_END, end)
    raise Broken(f"{_BEGIN} without {OPEN}", len(body) if close < 0 else close + len(_END))


KIMI = CallFormat(
    "kimi",
    doc="`<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"
    "<|tool_call_argument_begin|>{…}<|tool_call_end|><|tool_calls_section_end|>`",
    openings=(Opening(OPEN, _read), Opening(_BEGIN, _read_alone)),
    markup=(OPEN, CLOSE),
    template="kimi",
    parsers=("kimi_k2",),
)
