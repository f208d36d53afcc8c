"""Calls as JSON objects with a name and arguments, which several formats put between their tags."""

from collections.abc import Sequence
from typing import Any

from evals.formats.call_format import Broken
from evals.json_text import parse_strict_at, to_text
from evals.observation import Call


def json_at(body: str, start: int, closer: str) -> tuple[Any, int]:
    """The strict JSON value at `start`, and where it ends.

    Raises:
        Broken: there is none; it is broken up to the next `closer`.
    """
    try:
        return parse_strict_at(body, start)
    except ValueError as error:
        raise Broken.within(body, start, f"not JSON: {error}", closer) from None


def call_problem(value: Any, keys: Sequence[str] = ("arguments",)) -> str | None:
    """Why a JSON value is no call with its arguments under one of `keys`; None if it is one."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        return 'the JSON is not an object with a "name"'
    arguments = next((value[key] for key in keys if key in value), None)
    if not isinstance(arguments, dict):
        return '"arguments" is not an object'
    if extra := set(value) - {"name", "id", "type", *keys}:
        return f"the call has {to_text(min(extra))} beside name and arguments"
    return None


def call_text(call: Call) -> str:
    """The call as a JSON object with `name` and `arguments`."""
    return f'{{"name": {to_text(call.name)}, "arguments": {call.arguments}}}'
