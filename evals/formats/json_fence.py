"""JSON objects in a code fence, or as the whole text: what is written by models without tags.

Without tags only names of the tools count: else an example in an answer were a call.
"""

import re
from collections.abc import Sequence

from evals.case import Tool
from evals.formats.call_format import FENCE, CallFormat, Opening, Section, skip_space
from evals.formats.json_object import call_problem, call_text
from evals.formats.reading import ReadCall, json_call
from evals.json_text import parse_strict_at
from evals.observation import Call

_FENCE = re.compile(r"```(json|tool_call|tool_code)?[ \t]*\r?\n", re.IGNORECASE)
_KEYS = ("arguments", "parameters")


def _read(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
    fence = _FENCE.match(body, start)
    if fence is None:
        return None
    calls, end = _calls(body, fence.end(), tools)
    end = skip_space(body, end)
    return Section(calls, end + len(FENCE)) if calls and body.startswith(FENCE, end) else None


def _read_whole(text: str, tools: Sequence[Tool]) -> list[ReadCall]:
    calls, end = _calls(text, 0, tools)
    return calls if skip_space(text, end) == len(text) else []


def _calls(text: str, start: int, tools: Sequence[Tool]) -> tuple[list[ReadCall], int]:
    """The calls of declared tools that begin at `start`, one by one or in a list; their end."""
    names = {tool.name for tool in tools}
    calls: list[ReadCall] = []
    end = start
    while text.startswith(("{", "["), skip_space(text, end)):
        try:
            value, after = parse_strict_at(text, skip_space(text, end))
        except ValueError:
            break
        values = value if isinstance(value, list) else [value]
        if any(call_problem(v, _KEYS) or v["name"] not in names for v in values):
            break
        calls += [
            json_call(v["name"], v[next(k for k in _KEYS if k in v)], JSON_FENCE.name, tools)
            for v in values
        ]
        end = after
    return calls, end


def _write(call: Call) -> str:
    return f"{FENCE}json\n{call_text(call)}\n{FENCE}"


JSON_FENCE = CallFormat(
    "json-fence",
    doc='a code fence with `{"name": …, "arguments": {…}}`, or that JSON as the whole text',
    openings=(Opening(FENCE, _read),),
    whole=_read_whole,
    write=_write,
    template="llama",
)
