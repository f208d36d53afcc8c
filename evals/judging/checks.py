"""Checks: what is wrong with an answer, apart from who is to blame.

Those of what a case expects hold it against what was `Said`. They are put to the response and again
to what the model wrote, so that the two can be told apart; see `evals.judging.registry`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jsonschema.exceptions import SchemaError

from evals import schema as schemas
from evals.case import Case, ExpectedAnswer, ExpectedCall, Tool
from evals.expect import Alternative
from evals.formats.model_text import read_model_text
from evals.formats.naming import CodeMarks, is_named
from evals.formats.registry import find_format, syntax
from evals.json_text import parse_strict, read_once, to_text
from evals.judging import answers
from evals.judging.call_matching import CallsMatch, match_calls
from evals.judging.looks import apart, cut, one_line
from evals.observation import Call, Observation
from evals.patterns import PatternTimeout
from evals.results import Difference, Kind

_STRANGE = re.compile(r"[\s<>\"'{}=]|</|\A\Z")


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


def match_expected(
    case: Case, said: Said, order: Literal["any", "given"] | None = None
) -> CallsMatch:
    """The calls held against those alternatives of the case that they are nearest to.

    `order` takes the place of the case's own.
    """
    return nearest(case, said, order)[1]


def nearest(
    case: Case, said: Said, order: Literal["any", "given"] | None = None
) -> tuple[Alternative, CallsMatch]:
    """The alternative with calls that is nearest to those that came, and how they match it.

    Where calls are right and none is named, it is one of no calls, with all others allowed.
    """
    order = order or case.expect.order
    of, found = said._kept.get(order, (None, None))
    if of is not case or found is None:
        found = _nearest(case, said, order)
        said._kept[order] = (case, found)
    way, match = found
    return way, match


def _nearest(
    case: Case, said: Said, order: Literal["any", "given"]
) -> tuple[Alternative, CallsMatch]:
    got = [(call.name, parse_arguments(call)) for call in said.calls]
    ways = [way for way in case.expect.ways if way.wanted] or [Alternative.model_construct()]
    return min(
        [(way, _match_way(case, way, got, order)) for way in ways],
        key=lambda pair: (
            not pair[1].ok,
            pair[1].faults,
            pair[0].answer is not None and answers.problem(pair[0].answer, said.text) is not None,
        ),
    )


def _match_way(
    case: Case, way: Alternative, got: list[tuple[str, Any]], order: Literal["any", "given"]
) -> CallsMatch:
    match = match_calls(way.wanted, got, order, case.tools, others=case.expect.extra)
    return replace(match, extra=(), allowed=match.extra) if case.expect.allows_others else match


def parse_arguments(call: Call) -> Any:
    """A call's arguments as a mapping, or a ValueError (returned, not raised) that says why not."""
    try:
        value = read_once(parse_strict, call.arguments)
    except ValueError as error:
        return ValueError(f"not strict JSON: {error}")
    if not isinstance(value, dict):
        return ValueError("JSON, but not an object")
    return value


def check_call_or_answer(case: Case, said: Said) -> Finding | None:
    """A call where one must come, none where an answer must."""
    if case.expect.needs_call and not said.calls:
        came = f"not: {show(said.text)}" if said.text else "and nothing came"
        return Finding(Kind.MISSING_CALL, f"a call was expected, {came}")
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
    if in_another_order(case, said):
        names = ", ".join(call.name for call in said.calls)
        reason = f"the calls are in another order than expected: {names}"
        return Finding(Kind.ANOTHER_ORDER, reason)
    match = match_expected(case, said)
    expected = [call.expected.name for call in match.calls]
    got = [call.name for i, call in enumerate(said.calls) if i not in match.allowed]
    if sorted(expected) == sorted(got) and all(call.name_ok for call in match.calls):
        return None
    return Finding(
        _name_kind(expected, got), f"expected {', '.join(expected)}, got {', '.join(got)}"
    )


def _name_kind(expected: Sequence[str], got: Sequence[str]) -> Kind:
    """What is wrong with names that differ: some are missing, some too many, or they are others."""
    missing, extra = Counter(expected) - Counter(got), Counter(got) - Counter(expected)
    if missing and extra:
        return Kind.WRONG_TOOL
    if missing:
        return Kind.MISSING_CALL
    return Kind.SPURIOUS_CALL if extra else Kind.WRONG_TOOL


def in_another_order(case: Case, said: Said) -> bool:
    """Whether the calls would all match if their order did not count, and do not as it does."""
    if case.expect.order == "any" or match_expected(case, said).ok:
        return False
    return match_expected(case, said, "any").ok


def check_arguments(case: Case, said: Said) -> Finding | None:
    """Each call's arguments are a strict JSON object and match; wrong names are left out."""
    if invalid := invalid_arguments(said.calls):
        return invalid
    # Of calls in another order each is held against the one that it is.
    match = match_expected(case, said, "any" if in_another_order(case, said) else None)
    several = len(match.calls) > 1
    differences = [
        Difference(
            f"$[{i}]{leaf.path[1:]}" if several else leaf.path,
            *apart(leaf.expected, leaf.got),
            leaf.how,
        )
        for i, call in enumerate(match.calls)
        if call.name_ok
        for leaf in call.arguments.wrong
    ]
    if not differences:
        return None
    coerced = all(difference.how == "coerced" for difference in differences)
    first = differences[0]
    reason = f"{first.path}: expected {cut(first.expected)}, got {cut(first.got)}"
    if len(differences) > 1:
        reason += f", and {len(differences) - 1} more"
    return Finding(Kind.WRONG_TYPE if coerced else Kind.WRONG_VALUE, reason, tuple(differences))


def invalid_arguments(calls: Sequence[Call]) -> Finding | None:
    """The first call whose arguments are not a strict JSON object."""
    for call in calls:
        problem = parse_arguments(call)
        if isinstance(problem, ValueError):
            reason = f"the arguments of {show(call.name)} are {problem}: {one_line(call.arguments)}"
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
        found = schemas.errors(arguments, tool.parameters)
        errors = sorted((e for e in found if whole or e.path), key=lambda e: e.json_path)
    except PatternTimeout:
        raise
    except (SchemaError, ValueError, TypeError, RecursionError) as error:
        return f"the tool's schema cannot be used: {show(str(error))}"
    except Exception as error:  # a schema's unresolvable $ref has no public type of its own
        return f"the tool's schema cannot be used: {type(error).__name__}: {show(str(error))}"
    return f"{errors[0].json_path}: {show(errors[0].message)}" if errors else None


def check_markup(case: Case, observation: Observation) -> Finding | None:
    """No markup of calls or reasoning in the text, but for what the question itself has."""
    text = observation.content or ""
    if not text:
        return None
    for mark in leaked_marks(case, text):
        return Finding(Kind.LEAKED_MARKUP, f"{mark} is in the text: {show(text)}")
    examples = case.expect.needs_answer
    reading = read_model_text(text, case.tools, told=case.told, examples=examples)
    if reading.format and find_format(reading.format).whole:
        return Finding(Kind.LEAKED_MARKUP, f"a call is in the text: {show(text)}")
    return None


def leaked_marks(case: Case, text: str) -> list[str]:
    """The markup in a text, but for what the text names or quotes from what the model was told."""
    marks, told = CodeMarks(text), case.told
    return [
        tag
        for found in syntax().marks.finditer(text)
        for tag in [found.group()]
        if not (tag in case.question or (tag in told and tag not in syntax().markup))
        and not marks.around(found.start())
        and not is_named(text, *found.span(), told)
    ]


def check_stream(observation: Observation, plain: Observation) -> Finding | None:
    """A stream says what the plain response says: calls, text, reasoning and finish reason."""
    differences = [
        Difference(f"$.{name}", *apart(cut(one), cut(other)), "wrong")
        for name, one, other, differs in (
            (
                "calls",
                shown_calls(plain.calls),
                shown_calls(observation.calls),
                _comparable(plain.calls) != _comparable(observation.calls),
            ),
            (
                "content",
                to_text(plain.content),
                to_text(observation.content),
                (plain.content or "") != (observation.content or ""),
            ),
            (
                "reasoning",
                to_text(plain.reasoning),
                to_text(observation.reasoning),
                (plain.reasoning or "") != (observation.reasoning or ""),
            ),
            (
                "finish_reason",
                to_text(plain.finish_reason),
                to_text(observation.finish_reason),
                plain.finish_reason != observation.finish_reason,
            ),
        )
        if differs
    ]
    if not differences:
        return None
    names = ", ".join(difference.path[2:] for difference in differences)
    reason = f"stream and plain response differ in {names}"
    if names == "calls" and _same_calls_mixed(plain.calls, observation.calls):
        reason = "the stream has the calls of the plain response in another order"
    return Finding(Kind.STREAM_MISMATCH, reason, tuple(differences))


def shown_calls(calls: Sequence[Call]) -> str:
    """Calls in one line; their arguments are JSON text and not quoted once more."""
    return ", ".join(one_line(f"{call.name}({call.arguments})") for call in calls) or "(none)"


def _same_calls_mixed(calls: Sequence[Call], others: Sequence[Call]) -> bool:
    one, other = ([_comparable([call]) for call in each] for each in (calls, others))
    return sorted(one) == sorted(other)


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
    """A value in one line, cut where it is long; text is quoted and otherwise as it is."""
    if isinstance(value, str):
        return f'"{one_line(value, limit)}"'
    return one_line(to_text(value), limit)
