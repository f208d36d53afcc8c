"""Checks: what is wrong with an answer, apart from who is to blame.

Those of what a case expects hold it against what was `Said`. They are put to the response and again
to what the model wrote, so that the two can be told apart; see `evals.judging.registry`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jsonschema.exceptions import SchemaError

from evals import schema as schemas
from evals.case import Case, ExpectedAnswer, ExpectedCall, Tool
from evals.expect import Alternative
from evals.formats.model_text import read_model_text
from evals.formats.registry import find_format, syntax
from evals.json_text import parse_strict, to_text
from evals.judging import answers
from evals.judging.call_matching import CallsMatch, match_calls
from evals.observation import Call, Observation
from evals.patterns import PatternTimeout
from evals.results import Difference, Kind

_STRANGE = re.compile(r"[\s<>\"'{}=]|</")


@dataclass(frozen=True)
class Finding:
    """Something wrong, before anybody is blamed for it."""

    kind: Kind
    reason: str
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Said:
    """What is held against a case: the calls and the text of a response, or of raw model text."""

    calls: tuple[Call, ...]
    text: str
    _kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What was found once for a case, for the checks that ask for it again."""

    @classmethod
    def of(cls, observation: Observation) -> "Said":
        """What a lane delivered."""
        return cls(observation.calls, observation.content or "")


def match_expected(case: Case, said: Said) -> CallsMatch:
    """The calls held against those alternatives of the case that they are nearest to."""
    return nearest(case, said)[1]


def nearest(case: Case, said: Said) -> tuple[Alternative, CallsMatch]:
    """The alternative with calls that is nearest to those that came, and how they match it.

    Where calls are right and none is named, it is one of no calls, with all others allowed.
    """
    of, found = said._kept.get("nearest", (None, None))
    if of is not case or found is None:
        found = _nearest(case, said)
        said._kept["nearest"] = (case, found)
    way, match = found
    return way, match


def _nearest(case: Case, said: Said) -> tuple[Alternative, CallsMatch]:
    got = [(call.name, parse_arguments(call)) for call in said.calls]
    ways = [way for way in case.expect.ways if way.wanted] or [Alternative.model_construct()]
    return min(
        [(way, _match_way(case, way, got)) for way in ways],
        key=lambda pair: (
            not pair[1].ok,
            pair[1].faults,
            pair[0].answer is not None and answers.problem(pair[0].answer, said.text) is not None,
        ),
    )


def _match_way(case: Case, way: Alternative, got: list[tuple[str, Any]]) -> CallsMatch:
    expect = case.expect
    match = match_calls(way.wanted, got, expect.order, case.tools, others=expect.extra)
    return replace(match, extra=(), allowed=match.extra) if case.expect.allows_others else match


def parse_arguments(call: Call) -> Any:
    """A call's arguments as a mapping, or a ValueError (returned, not raised) that says why not."""
    try:
        value = parse_strict(call.arguments)
    except ValueError as error:
        return ValueError(f"not strict JSON: {error}")
    if not isinstance(value, dict):
        return ValueError("the arguments are JSON, but not an object")
    return value


def check_call_or_answer(case: Case, said: Said) -> Finding | None:
    """A call where one must come, none where an answer must."""
    if case.expect.needs_call and not said.calls:
        return Finding(Kind.MISSING_CALL, f"a call was expected, not: {show(said.text)}")
    if case.expect.needs_answer and said.calls:
        names = ", ".join(show(call.name) for call in said.calls)
        return Finding(Kind.SPURIOUS_CALL, f"an answer was expected, not a call of {names}")
    return None


def answers_wanted(case: Case, said: Said) -> tuple[ExpectedAnswer, ...]:
    """What the text may be: an answer by itself, or the text beside the calls that came."""
    if not said.calls:
        return case.expect.answers
    if not case.expect.alternatives:
        return ()
    beside = nearest(case, said)[0].answer
    return (beside,) if beside else ()


def check_answer(case: Case, said: Said) -> Finding | None:
    """Text that is not empty and has what one of the expected answers wants in it."""
    problems = [answers.problem(each, said.text) for each in answers_wanted(case, said)]
    if not problems or None in problems:
        return None
    missing = [problem for problem in problems if problem]
    reason = "; nor: ".join(missing)
    if not said.calls and case.expect.alternatives:
        reason = f"neither a call nor the answer that is expected: {reason}"
    return Finding(Kind.WRONG_ANSWER, reason)


def check_tool_name(case: Case, said: Said) -> Finding | None:
    """Exactly the expected names, byte for byte, each of an available tool, none forbidden."""
    forbidden = [call.name for call in said.calls if call.name in (case.expect.not_call or ())]
    if forbidden:
        reason = f"{', '.join(map(show, forbidden))} must not be called"
        return Finding(Kind.FORBIDDEN_CALL, reason)
    for call in said.calls:
        if case.tool(call.name) is None:
            kind = Kind.CORRUPT_NAME if _STRANGE.search(call.name) else Kind.WRONG_TOOL
            offered = ", ".join(tool.name for tool in case.tools) or "none"
            return Finding(
                kind, f"{show(call.name)} is not an available tool (choose from {offered})"
            )
    match = match_expected(case, said)
    expected = [call.expected.name for call in match.calls]
    got = [call.name for i, call in enumerate(said.calls) if i not in match.allowed]
    if sorted(expected) == sorted(got) and all(call.name_ok for call in match.calls):
        return None
    if len(got) < len(expected):
        kind = Kind.MISSING_CALL
    else:
        kind = Kind.SPURIOUS_CALL if len(got) > len(expected) else Kind.WRONG_TOOL
    return Finding(kind, f"expected {', '.join(expected)}, got {', '.join(got)}")


def check_arguments(case: Case, said: Said) -> Finding | None:
    """Each call's arguments are a strict JSON object and match; wrong names are left out."""
    if invalid := invalid_arguments(said.calls):
        return invalid
    match = match_expected(case, said)
    several = len(match.calls) > 1
    differences = [
        Difference(
            f"$[{i}]{leaf.path[1:]}" if several else leaf.path, leaf.expected, leaf.got, leaf.how
        )
        for i, call in enumerate(match.calls)
        if call.name_ok
        for leaf in call.arguments.wrong
    ]
    if not differences:
        return None
    coerced = all(difference.how == "coerced" for difference in differences)
    first = differences[0]
    reason = f"{first.path}: expected {_cut(first.expected)}, got {_cut(first.got)}"
    if len(differences) > 1:
        reason += f", and {len(differences) - 1} more"
    return Finding(Kind.WRONG_TYPE if coerced else Kind.WRONG_VALUE, reason, tuple(differences))


def invalid_arguments(calls: Sequence[Call]) -> Finding | None:
    """The first call whose arguments are not a strict JSON object."""
    for call in calls:
        problem = parse_arguments(call)
        if isinstance(problem, ValueError):
            reason = f"the arguments of {show(call.name)} are {problem}: {show(call.arguments)}"
            return Finding(Kind.INVALID_ARGUMENTS, reason)
    return None


def check_schema(case: Case, said: Said) -> Finding | None:
    """Each call's arguments satisfy the schema that its tool declares."""
    for call in said.calls:
        tool = case.tool(call.name)
        arguments = parse_arguments(call)
        if tool is None or isinstance(arguments, ValueError):
            continue
        if problem := schema_problem(tool, arguments):
            return Finding(Kind.SCHEMA, f"{tool.name}: {problem}")
    return None


def schema_problem(tool: Tool, arguments: Any, *, whole: bool = True) -> str | None:
    """The first way in which arguments break their tool's schema, or None.

    Without `whole` some are left out, and only what is wrong with the others counts.
    """
    try:
        found = schemas.Validator(tool.parameters, format_checker=schemas.FORMATS).iter_errors(
            arguments
        )
        errors = sorted((e for e in found if whole or e.path), key=lambda e: e.json_path)
    except PatternTimeout:
        raise
    except (SchemaError, ValueError, TypeError, RecursionError) as error:
        return f"the tool's schema cannot be used: {show(str(error))}"
    except Exception as error:  # a schema's unresolvable $ref has no public type of its own
        return f"the tool's schema cannot be used: {type(error).__name__}: {show(str(error))}"
    return f"{errors[0].json_path}: {show(errors[0].message)}" if errors else None


def is_cut_off(case: Case, observation: Observation) -> bool:
    """Whether the answer ran into max_tokens: `length` says so, and usage does not contradict it.

    A server may count the end token or not, so one token less is no contradiction.
    """
    used = observation.usage
    early = used is not None and used.completion + 1 < case.max_tokens
    return observation.finish_reason == "length" and not early


def check_finish_reason(case: Case, observation: Observation) -> Finding | None:
    """`tool_calls` exactly with calls, `stop` for an answer, `length` at max_tokens alone."""
    reason = observation.finish_reason
    if is_cut_off(case, observation):
        return Finding(Kind.TRUNCATED, "the answer was cut off at max_tokens")
    if reason == "length":
        used = observation.usage.completion if observation.usage else None
        said = f"finish_reason is length after {used} of {case.max_tokens} tokens"
        return Finding(Kind.FINISH_REASON, said)
    if reason == "tool_calls" and not observation.calls:
        return Finding(Kind.LOST_CALL, "finish_reason is tool_calls, but there is no call")
    wanted = "tool_calls" if observation.calls else "stop"
    if reason != wanted:
        return Finding(Kind.FINISH_REASON, f"finish_reason is {reason}, not {wanted}")
    return None


def check_markup(case: Case, observation: Observation) -> Finding | None:
    """No markup of calls or reasoning in the text, but for what the question itself has."""
    text = observation.content or ""
    for mark in leaked_marks(case, text):
        return Finding(Kind.LEAKED_MARKUP, f"{mark} is in the text: {show(text)}")
    reading = read_model_text(text, case.tools)
    if reading.format and find_format(reading.format).whole:
        return Finding(Kind.LEAKED_MARKUP, f"a call is in the text: {show(text)}")
    return None


def leaked_marks(case: Case, text: str) -> list[str]:
    """The tags in a text that the question does not have."""
    return [mark for mark in syntax().markup if mark in text and mark not in case.question]


def check_stream(observation: Observation, plain: Observation) -> Finding | None:
    """A stream says what the plain response says: calls, text and finish reason."""
    differences = [
        Difference(f"$.{name}", show(one), show(other), "wrong")
        for name, one, other in (
            ("calls", _comparable(plain.calls), _comparable(observation.calls)),
            ("content", plain.content or "", observation.content or ""),
            ("finish_reason", plain.finish_reason, observation.finish_reason),
        )
        if one != other
    ]
    if not differences:
        return None
    names = ", ".join(difference.path[2:] for difference in differences)
    reason = f"stream and plain response differ in {names}"
    return Finding(Kind.STREAM_MISMATCH, reason, tuple(differences))


def _comparable(calls: Sequence[Call]) -> str:
    """Calls as text that is equal where they are: the order of keys does not count, types do."""
    parsed = [(call, parse_arguments(call)) for call in calls]
    return ", ".join(
        f"{call.name}({call.arguments if isinstance(value, ValueError) else _sorted_text(value)})"
        for call, value in parsed
    )


def _sorted_text(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{to_text(k)}: {_sorted_text(value[k])}" for k in sorted(value)) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_sorted_text, value)) + "]"
    return to_text(int(value) if isinstance(value, float) and value.is_integer() else value)


def check_prompt(observation: Observation, rendered: int) -> Finding | None:
    """The server's prompt has as many tokens as the one rendered here."""
    usage = observation.usage
    if usage is None or usage.prompt == rendered:
        return None
    reason = f"the server's prompt has {usage.prompt} tokens, rendered here it has {rendered}"
    return Finding(Kind.PROMPT_DRIFT, reason)


def check_tool_choice(case: Case, said: Said) -> Finding | None:
    """The response honours `tool_choice`; only for cases that set it."""
    choice = case.tool_choice
    names = [call.name for call in said.calls]
    if choice == "none" and names:
        reason = f"tool_choice is none, and yet {', '.join(map(show, names))} was called"
    elif choice == "required" and not names:
        reason = "tool_choice is required, and yet there is no call"
    elif isinstance(choice, dict):
        named = choice.get("function", {}).get("name")
        if names and all(name == named for name in names):
            return None
        reason = f"tool_choice names {named}, and yet {', '.join(names) or 'nothing'} was called"
    else:
        return None
    return Finding(Kind.TOOL_CHOICE_IGNORED, f"server ignores tool_choice: {reason}")


def literal_calls(calls: Sequence[Call]) -> list[ExpectedCall]:
    """Calls as expected ones, to match with `matchers=False`; invalid arguments become {}."""
    values = [parse_arguments(call) for call in calls]
    return [
        ExpectedCall(name=call.name, arguments={} if isinstance(value, ValueError) else value)
        for call, value in zip(calls, values, strict=True)
    ]


def show(value: Any, limit: int = 160) -> str:
    """A value in one line, quoted, cut where it is long."""
    return _cut(to_text(value), limit)


def _cut(text: str, limit: int = 160) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
