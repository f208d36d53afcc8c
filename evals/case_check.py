"""Checks of a case itself: what it expects must be possible, and a perfect answer must pass.

A case that its own perfect answer would fail blames every model for the mistake of its author.
"""

from collections.abc import Iterator
from typing import Any

from evals.case import Case, ExpectedCall
from evals.checks import schema_problem
from evals.diagnosis import judge
from evals.json_text import to_text
from evals.matching import check_matchers, matcher_name
from evals.observation import Call, Observation

_UNKNOWN = object()


def check_case(case: Case) -> Iterator[str]:
    """What is wrong with `case`, a sentence each, with the remedy."""
    names = [tool.name for tool in case.tools]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"tools: {name!r} is on offer twice; remove one"
    if case.repeat > 1 and case.temperature == 0:
        yield f"repeat: {case.repeat} answers at temperature 0 are one answer; set temperature"
    before = False
    for calls in case.expect.alternatives:
        for call in calls:
            for problem in _check_call(case, call):
                before = True
                yield problem
    if not before and (imperfect := _check_perfect(case)):
        yield imperfect


def _check_call(case: Case, call: ExpectedCall) -> Iterator[str]:
    tool = case.tool(call.name)
    if tool is None:
        offered = ", ".join(tool.name for tool in case.tools) or "none"
        yield f"expect: {call.name!r} is not on offer; tools of this case: {offered}"
        return
    problems = [
        problem
        for key, value in call.arguments.items()
        for problem in check_matchers(value, f"$.{key}", argument=True)
    ]
    yield from (f"expect: {call.name}: {problem}" for problem in problems)
    arguments = _example(call.arguments)
    if not problems and arguments is not _UNKNOWN and (problem := schema_problem(tool, arguments)):
        yield f"expect: {call.name}: not what the tool's own schema allows: {problem}"
    known = tool.parameters.get("properties", {})
    if tool.parameters.get("additionalProperties", True) is True:
        for key in call.arguments.keys() - known.keys():
            yield f"expect: {call.name}: it has no parameter {key!r}; it has: {', '.join(known)}"


def _example(expected: Any) -> Any:
    """A value that `expected` accepts, or `_UNKNOWN` where a matcher does not show one."""
    name = matcher_name(expected)
    if name in ("$regex", "$ignore"):
        return _UNKNOWN
    if name == "$any_of":
        return _example(expected[name][0])
    if name is not None:
        return _example(expected[name])
    if isinstance(expected, dict):
        values = {key: _example(value) for key, value in expected.items()}
        return _UNKNOWN if _UNKNOWN in values.values() else values
    if isinstance(expected, list):
        items = [_example(value) for value in expected]
        return _UNKNOWN if any(item is _UNKNOWN for item in items) else items
    return expected


def perfect_answer(case: Case) -> Observation | None:
    """The plain answer that this case asks for; None where its matchers do not show one."""
    if not case.expect.alternatives:
        words = case.expect.answer.contains if case.expect.answer else ()
        return Observation(
            "server", status=200, content=" ".join(words) or "An answer.", finish_reason="stop"
        )
    calls = case.expect.alternatives[0]
    arguments = [_example(call.arguments) for call in calls]
    if any(value is _UNKNOWN for value in arguments):
        return None
    made = tuple(
        Call(call.name, to_text(value), id=f"call_{number}")
        for number, (call, value) in enumerate(zip(calls, arguments, strict=True))
    )
    return Observation("server", status=200, calls=made, finish_reason="tool_calls")


def _check_perfect(case: Case) -> str | None:
    answer = perfect_answer(case)
    if answer is None:
        return None
    judgement = judge(case, answer)
    failed = [verdict for verdict in judgement.verdicts if not verdict.passed]
    if not failed:
        return None
    return f"expect: even its own perfect answer fails: {failed[0].reason}"
