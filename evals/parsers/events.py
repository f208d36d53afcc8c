"""What a parser finds in model text."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from evals.json_text import parse_strict

MALFORMED = "malformed_tool_call"
"""The name under which a client gets a call that cannot be read."""


@dataclass(frozen=True)
class Content:
    """Text that is no part of a call; adjacent pieces belong together."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """A call of a declared tool; `arguments` is a JSON object as text, typed by the schema."""

    name: str
    arguments: str


@dataclass(frozen=True)
class MalformedCall:
    """A call that cannot be read, as it was written. `cut`: the text ended in it."""

    raw: str
    reason: str
    cut: bool = False


ParserEvent = Content | ToolCall | MalformedCall


def merged(events: Iterable[ParserEvent]) -> list[ParserEvent]:
    """The events with adjacent content joined, which makes them the same for every split."""
    result: list[ParserEvent] = []
    parts: list[str] = []
    for event in events:
        if isinstance(event, Content):
            parts.append(event.text)
            continue
        if parts:
            result.append(Content("".join(parts)))
            parts = []
        result.append(event)
    return [*result, Content("".join(parts))] if parts else result


def as_calls(events: Sequence[ParserEvent]) -> list[dict[str, Any]]:
    """The calls as `mlx_lm` takes them: name and arguments as an object."""
    return [as_call(event) for event in events if not isinstance(event, Content)]


def as_call(event: ToolCall | MalformedCall) -> dict[str, Any]:
    """One call as `mlx_lm` takes it; one that cannot be read is named `malformed_tool_call`."""
    if isinstance(event, MalformedCall):
        return {"name": MALFORMED, "arguments": {"raw": event.raw}}
    try:
        arguments = parse_strict(event.arguments)
        # The server writes the arguments outside its error handling: one that it cannot write
        # (an integer of more than 4300 digits) would cost the whole response.
        json.dumps(arguments)
    except ValueError:
        return {"name": MALFORMED, "arguments": {"raw": f"{event.name}({event.arguments})"}}
    return {"name": event.name, "arguments": arguments}
