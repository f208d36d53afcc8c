"""Checks of a case itself: what it expects must be possible, and a perfect answer must pass.

A case that its own perfect answer would fail blames every model for the mistake of its author.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from evals.case import Case, ExpectedAnswer, ExpectedCall, Tool
from evals.json_text import to_text
from evals.judging.checks import schema_problem
from evals.judging.comparison import matcher_name
from evals.judging.diagnosis import judge
from evals.judging.matchers import check_matchers, find
from evals.observation import PLAIN, Call, Observation
from evals.results import Answer

_MORE_PROPERTIES = ("additionalProperties", "patternProperties", "allOf", "anyOf", "oneOf", "$ref")
"""Keywords beside `properties` that may declare a parameter."""


def check_case(case: Case) -> Iterator[str]:
    """What is wrong with `case`, a sentence each, with the remedy."""
    problems = [*_check_request(case)]
    for calls in case.expect.alternatives:
        for call in calls:
            problems += _check_call(case, call)
    yield from problems
    if not problems and (imperfect := _check_perfect(case)):
        yield imperfect


def _check_request(case: Case) -> Iterator[str]:
    names = [tool.name for tool in case.tools]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"tools: {name!r} is given twice; remove one"
    if case.repeat > 1 and case.temperature == 0:
        yield f"repeat: {case.repeat} answers at temperature 0 are one answer; set temperature"
    if isinstance(case.tool_choice, dict):
        function = case.tool_choice.get("function")
        if not isinstance(function, dict) or function.get("name") not in names:
            yield (
                "tool_choice: a mapping names a tool of the case: {type: function, function: "
                f"{{name: {names[0] if names else 'NAME'}}}}}"
            )
    for number, message in enumerate(case.messages):
        if message.get("role") == "user" and not message.get("content"):
            yield f"messages[{number}]: a message of the user needs content"


def _check_call(case: Case, call: ExpectedCall) -> Iterator[str]:
    tool = case.tool(call.name)
    if tool is None:
        offered = ", ".join(tool.name for tool in case.tools) or "none"
        yield f"expect: {call.name!r} is not an available tool; tools of this case: {offered}"
        return
    problems = [
        problem
        for key, value in call.arguments.items()
        for problem in check_matchers(value, f"$.{key}", argument=True)
    ]
    yield from (f"expect: {call.name}: {problem}" for problem in problems)
    if not problems and (problem := _against_schema(tool, call)):
        yield f"expect: {call.name}: not what the tool's own schema allows: {problem}"
    known = tool.parameters.get("properties", {})
    if not any(tool.parameters.get(keyword) for keyword in _MORE_PROPERTIES):
        for key in call.arguments.keys() - known.keys():
            yield f"expect: {call.name}: it has no parameter {key!r}; it has: {', '.join(known)}"


def _against_schema(tool: Tool, call: ExpectedCall) -> str | None:
    """How a value that is expected breaks the tool's schema; every example of a matcher counts."""
    shown = {key: value for key, value in call.arguments.items() if _examples(value)}
    whole = len(shown) == len(call.arguments)
    problems = (schema_problem(tool, e, whole=whole) for e in _arguments(shown))
    return next((problem for problem in problems if problem), None)


def _arguments(expected: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Objects that `expected` accepts, which is no matcher itself: each option stands in one."""
    each = {key: _examples(value) for key, value in expected.items()}
    if not all(each.values()):
        return []
    first = {key: values[0] for key, values in each.items()}
    return [first, *({**first, key: other} for key in each for other in each[key][1:])]


def _examples(expected: Any) -> list[Any]:
    """Values that `expected` accepts: all options, or none where a matcher does not show any."""
    if (name := matcher_name(expected)) is not None:
        matcher = find(name)
        return matcher.examples(expected, _examples) if matcher else []
    if isinstance(expected, Mapping):
        return list(_arguments(expected))
    if isinstance(expected, list):
        numbered = {str(number): item for number, item in enumerate(expected)}
        return [list(items.values()) for items in _arguments(numbered)]
    return [expected]


def perfect_answer(case: Case) -> Observation | None:
    """The plain answer that this case asks for; None where its matchers do not show one."""
    if not case.expect.alternatives:
        wanted = case.expect.answer or ExpectedAnswer()
        words = (*wanted.contains, *wanted.any_of[:1])
        # Three dots are words that no case forbids.
        return Observation(
            "server", status=200, content=" ".join(words) or "...", finish_reason="stop"
        )
    calls = case.expect.alternatives[0]
    arguments = [_arguments(call.arguments) for call in calls]
    if not all(arguments):
        return None
    made = tuple(
        Call(call.name, to_text(examples[0]), id=f"call_{number}")
        for number, (call, examples) in enumerate(zip(calls, arguments, strict=True))
    )
    return Observation("server", status=200, calls=made, finish_reason="tool_calls")


def _check_perfect(case: Case) -> str | None:
    answer = perfect_answer(case)
    if answer is None:
        return None
    asked = Answer(case=case, profile="", traits=PLAIN, request={}, observation=answer)
    failed = judge(asked).failed
    if not failed:
        return None
    return f"expect: even its own perfect answer fails: {failed[0].reason}"
