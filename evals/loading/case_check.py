"""Checks of a case itself: what it expects must be possible, and a perfect answer must pass.

A case that its own perfect answer would fail blames every model for the mistake of its author.
"""

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from evals import patterns
from evals.case import Case, ExpectedAnswer, ExpectedCall, Tool
from evals.expect import Alternative
from evals.json_text import to_text
from evals.judging.checks import (
    Finding,
    Said,
    check_answer,
    check_arguments,
    check_call_or_answer,
    check_markup,
    check_tool_choice,
    check_tool_name,
    schema_problem,
)
from evals.judging.comparison import whole_matcher
from evals.judging.matchers import check_arguments as check_matchers_of
from evals.judging.matchers import examples, find, object_examples
from evals.judging.pattern_words import NotKnownError, word
from evals.judging.request_keys import asks, check_request_keys
from evals.judging.schema_values import Found, Where, sample
from evals.observation import Call, Observation

_MORE_PROPERTIES = ("additionalProperties", "patternProperties", "allOf", "anyOf", "oneOf", "$ref")
"""Keywords beside `properties` that may declare a parameter."""


def check_case(case: Case) -> Iterator[str]:
    """What is wrong with `case`, a sentence each, with the remedy."""
    try:
        with patterns.time_limit():
            found = list(_problems(case))
    except patterns.PatternTimeout as error:
        found = [f"expect: {error}"]
    yield from found


def _problems(case: Case) -> Iterator[str]:
    problems = [*_check_request(case), *_check_expect(case)]
    examples = _Examples(case)
    for calls in case.expect.alternatives:
        for call in calls:
            problems += _check_call(case, call, examples)
    yield from problems
    if not problems:
        if not _is_literal(case):
            yield from _check_perfect(case, examples)
        yield from _check_choice(case, examples)


def _is_literal(case: Case) -> bool:
    """Whether one call of plain, flat values is expected, which is its own perfect answer."""
    call = case.expect.call
    if call is None or case.expect.answer is not None or asks(case):
        return False
    return all(
        not key.startswith("$")
        and (isinstance(value, str | int | None) or (isinstance(value, float) and isfinite(value)))
        for key, value in call.arguments.items()
    )


class _Examples:
    """Arguments that the expected calls of a case accept; looked for once for each call."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._found: dict[int, Found] = {}

    def of(self, call: ExpectedCall) -> Found:
        """As `argument_examples`; none where the call is of no available tool."""
        if id(call) not in self._found:  # the case keeps the call alive
            tool = self._case.tool(call.name)
            self._found[id(call)] = argument_examples(tool, call) if tool else Found()
        return self._found[id(call)]


def _check_request(case: Case) -> Iterator[str]:
    names = [tool.name for tool in case.tools]
    for name in sorted({name for name in names if names.count(name) > 1}):
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


def _check_expect(case: Case) -> Iterator[str]:
    expect = case.expect
    for name in expect.not_call or ():
        if case.tool(name) is None:
            yield f"expect: not_call: {_unavailable(case, name)}"
    allowed = {tool.name for tool in case.tools} - set(expect.not_call or ())
    if expect.some_call and not allowed:
        yield "expect: some_call: no tool is left to call; add one to tools"
    named = {call.name for calls in expect.alternatives for call in calls}
    for name in sorted(named & set(expect.not_call or ())):
        yield f"expect: {name!r} is expected and in not_call; remove one of the two"
    for answer in [way.answer for way in expect.ways if way.answer]:
        if answer.regex is not None and (problem := _regex_problem(answer.regex)):
            yield f"expect: answer: regex: {problem}"
        for key in ("contains", "not_contains", "any_of"):
            if not all(text.strip() for text in getattr(answer, key) or ()):
                yield f"expect: answer: {key}: an empty text is part of every answer; remove it"


def _regex_problem(pattern: str) -> str | None:
    try:
        patterns.check(pattern)
    except patterns.PatternError as error:
        return f"{pattern!r} is not a regular expression: {error}"
    return None


def _unavailable(case: Case, name: str) -> str:
    offered = ", ".join(tool.name for tool in case.tools) or "none"
    return f"{name!r} is not an available tool; tools of this case: {offered}"


def _check_call(case: Case, call: ExpectedCall, examples: _Examples) -> Iterator[str]:
    tool = case.tool(call.name)
    if tool is None:
        yield f"expect: {_unavailable(case, call.name)}"
        return
    problems = check_matchers_of(call.arguments)
    yield from (f"expect: {call.name}: {problem}" for problem in problems)
    if not problems:
        found = _check_values(tool, call, examples.of(call))
        yield from (f"expect: {call.name}: {problem}" for problem in found)
    if any(tool.parameters.get(keyword) for keyword in _MORE_PROPERTIES):
        return
    known = tool.parameters.get("properties", {})
    for key in sorted(_named(call.arguments).keys() - known.keys()):
        yield f"expect: {call.name}: it has no parameter {key!r}; it has: {', '.join(known)}"


def _named(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments by name, also those within a matcher that stands for all of them."""
    matcher = find(whole_matcher(arguments))
    inside = arguments[matcher.name] if matcher is not None and matcher.whole else arguments
    return inside if isinstance(inside, Mapping) else {}


def _check_values(tool: Tool, call: ExpectedCall, found: Found) -> Iterator[str]:
    """Matchers that nothing can satisfy, and values that the schema forbids."""
    if found.values:
        # Every example counts: each option of a matcher stands in one.
        problems = (schema_problem(tool, each) for each in found.values)
        shown = next((problem for problem in problems if problem), None)
        yield from [f"not what the tool's own schema allows: {shown}"] if shown else []
        yield from _impossible_options(tool, call)
        return
    yield from _impossible(tool, call)


def _impossible(tool: Tool, call: ExpectedCall) -> Iterator[str]:
    """Arguments for which no value is left, or else values that do not go together."""
    where = Where(tool.parameters, tool.parameters)
    each = {key: examples(value, where.at(key)) for key, value in _named(call.arguments).items()}
    impossible = [key for key, found in each.items() if found.impossible]
    for key in impossible:
        yield (
            f"$.{key}: no value that the schema allows can match "
            f"{to_text(_named(call.arguments)[key])}; the schema says "
            f"{to_text(where.at(key).schema)}: change one of the two"
        )
    known = {key: found.values[0] for key, found in each.items() if found.values}
    if not impossible and (problem := schema_problem(tool, known, whole=False)):
        yield f"not what the tool's own schema allows: {problem}"


def _impossible_options(tool: Tool, call: ExpectedCall) -> Iterator[str]:
    """Options of `$any_of` that nothing can match, beside others that something can."""
    where = Where(tool.parameters, tool.parameters)
    for key, value in _named(call.arguments).items():
        options = value.get("$any_of") if isinstance(value, Mapping) else None
        for option in options if isinstance(options, list | tuple) else ():
            if examples(option, where.at(key)).impossible:
                yield (
                    f"$.{key}: no value that the schema allows can match {to_text(option)}, an "
                    "option of $any_of; change or remove it"
                )


def argument_examples(tool: Tool, call: ExpectedCall) -> Found:
    """Arguments that an expected call accepts; each option of a matcher stands in one."""
    where = Where(tool.parameters, tool.parameters)
    matcher = find(whole_matcher(call.arguments))
    if matcher is not None and matcher.whole:
        return examples(call.arguments, where)
    return object_examples(call.arguments, where)


def perfect_answer(case: Case) -> Observation | None:
    """The plain answer that this case asks for first; None where it cannot be made."""
    return next(perfect_answers(case), None)


def perfect_answers(case: Case, examples: _Examples | None = None) -> Iterator[Observation]:
    """A plain answer for each alternative of the case; none where one cannot be made."""
    expect, examples = case.expect, examples or _Examples(case)
    if expect.some_call:
        barred = expect.not_call or ()
        tools = (tool for tool in case.tools if tool.name not in barred)
        ways = (Alternative(call=ExpectedCall(name=t.name, arguments={})) for t in tools)
        for way in ways:
            found = sample(Where(_parameters(case, way), _parameters(case, way)))
            if found.values:
                yield _observed([(way.wanted[0].name, found.values[0])], None)
                return
    for way in (
        expect.ways or () if expect.some_call else expect.ways or (Alternative(answer=_ANY),)
    ):
        text = _text(way.answer) if way.answer else None
        found_calls = [_made(call, examples) for call in way.wanted]
        if (way.answer and text is None) or any(made is None for made in found_calls):
            continue
        yield _observed([made for made in found_calls if made], text)


_ANY = ExpectedAnswer()


def _parameters(case: Case, way: Alternative) -> Any:
    tool = case.tool(way.wanted[0].name)
    return tool.parameters if tool else {}


def _made(call: ExpectedCall, examples: _Examples) -> tuple[str, Any] | None:
    values = examples.of(call).values
    return (call.name, values[0]) if values else None


def _observed(calls: list[tuple[str, Any]], text: str | None) -> Observation:
    made = tuple(
        Call(name, to_text(arguments), id=f"call_{number}")
        for number, (name, arguments) in enumerate(calls)
    )
    finish = "tool_calls" if made else "stop"
    return Observation("server", status=200, calls=made, content=text, finish_reason=finish)


def _text(answer: ExpectedAnswer) -> str | None:
    """A text that the answer accepts; None where its pattern does not show one."""
    # Numbers with a mere space between them would be read as one.
    numbers = ["; ".join(map(str, answer.numbers))] if answer.numbers else []
    parts = [*answer.contains, *(answer.any_of or ())[:1], *numbers]
    if answer.regex is None:
        # Three dots are words that no case forbids.
        return " ".join(parts) or "..."
    wanted = [answer.regex, *(f"(?i){re.escape(part)}" for part in answer.contains)]
    if answer.any_of:
        wanted.append(f"(?i){'|'.join(map(re.escape, answer.any_of))}")
    wanted += [rf"(^|\s){re.escape(str(number))}($|\s)" for number in answer.numbers]
    try:
        found = word([*wanted, r"\S"])
    except NotKnownError:
        return None
    if found is None and not answer.numbers:
        return " ".join(parts) or "..."
    barred = any(part.casefold() in (found or "").casefold() for part in answer.not_contains)
    return None if barred else found


def _check_perfect(case: Case, examples: _Examples) -> Iterator[str]:
    for answer in perfect_answers(case, examples):
        if found := next(_faults(case, answer), None):
            yield f"expect: even its own perfect answer fails: {found.reason}"
            return


def _check_choice(case: Case, examples: _Examples) -> Iterator[str]:
    """A `tool_choice` that every expected answer would break, if the server honours it."""
    if case.tool_choice == "auto":
        return
    named, expect = isinstance(case.tool_choice, dict), case.expect
    if not expect.ways and (named or not expect.some_call):
        return  # whichever call is named or made may be right
    answers = [Said.of(answer) for answer in perfect_answers(case, examples)]
    found = [check_tool_choice(case, said) for said in answers]
    if found and all(found):
        choice = case.tool_choice["function"]["name"] if named else case.tool_choice  # type: ignore[index]
        came = ", ".join(call.name for call in answers[0].calls) or "an answer without a call"
        yield f"tool_choice: it is {choice}, and expected is {came}; change one of the two"


def _faults(case: Case, answer: Observation) -> Iterator[Finding]:
    """What any judgement of the answer would find, whatever the lane and the model.

    Its arguments satisfy the schema: `_check_values` and `sample` have seen to that.
    """
    said = Said.of(answer)
    checks = [check_call_or_answer, check_answer]
    if said.calls:
        checks += [check_tool_name, check_arguments]
    found = [*(check(case, said) for check in checks), check_request_keys(case, said)]
    yield from (finding for finding in [*found, check_markup(case, answer)] if finding)
