"""Pairing of expected calls with those that came."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from evals.case import ExpectedCall, Tool
from evals.json_text import to_text
from evals.judging.assignment import MOST_CELLS, assign, assign_equal, assign_in_order
from evals.judging.comparison import NOTHING, Leaf, Match
from evals.judging.matching import match_arguments

_WRONG_NAME = 10_000


@dataclass(frozen=True)
class CallMatch:
    """An expected call and the call that was taken for it: its index, or None for none."""

    expected: ExpectedCall
    index: int | None
    name_ok: bool
    arguments: Match

    @property
    def ok(self) -> bool:
        """Whether name and arguments match."""
        return self.index is not None and self.name_ok and self.arguments.ok


@dataclass(frozen=True)
class CallsMatch:
    """All expected calls in their order, and the indices of calls that nobody expected.

    Where other calls may come beside those expected, they are `allowed` and not `extra`.
    """

    calls: tuple[CallMatch, ...]
    extra: tuple[int, ...]
    allowed: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether exactly the expected calls came."""
        return not self.extra and all(call.ok for call in self.calls)

    @property
    def faults(self) -> tuple[int, int, int]:
        """Calls missing or extra, names wrong, leaves wrong: less is nearer to a match."""
        missing = sum(call.index is None for call in self.calls) + len(self.extra)
        names = sum(call.index is not None and not call.name_ok for call in self.calls)
        return missing, names, sum(len(call.arguments.wrong) for call in self.calls)


def match_calls(
    expected: Sequence[ExpectedCall],
    got: Sequence[tuple[str, Any]],
    order: Literal["any", "given"] = "any",
    tools: Sequence[Tool] = (),
    *,
    matchers: bool = True,
    others: bool = False,
) -> CallsMatch:
    """Pair expected calls with those that came, each as (name, parsed arguments or ValueError).

    Order `given` pairs them one by one; where `others` may stand between them, it takes the best
    pairing that keeps the order. Order `any` takes the assignment with the fewest wrong
    names, and among those the fewest wrong leaves. A pair may have different names: that reads
    better than one call missing and another extra.
    """
    schema = {tool.name: tool.parameters for tool in tools}

    @cache
    def cell(i: int, j: int) -> Match:
        return _match_arguments(expected[i], got[j][1], schema, matchers)

    pairs = _pairs(expected, got, order, cell, others=others)
    calls = []
    for i, call in enumerate(expected):
        index = pairs.get(i)
        if index is None:
            absent = Leaf("$", "missing", to_text(call.arguments), NOTHING)
            calls.append(CallMatch(call, None, False, Match((absent,))))
        else:
            calls.append(CallMatch(call, index, call.name == got[index][0], cell(i, index)))
    return CallsMatch(tuple(calls), tuple(sorted(set(range(len(got))) - set(pairs.values()))))


def _pairs(
    expected: Sequence[ExpectedCall],
    got: Sequence[tuple[str, Any]],
    order: Literal["any", "given"],
    cell: Callable[[int, int], Match],
    *,
    others: bool,
) -> dict[int, int]:
    """The index of each expected call's partner."""
    many = len(expected) * len(got) > MOST_CELLS
    if order == "given" and (many or not (others and len(got) > len(expected))):
        return {i: i for i in range(min(len(expected), len(got)))}
    if many:
        wanted = [call.name + to_text(call.arguments) for call in expected]
        return assign_equal(wanted, [name + to_text(arguments) for name, arguments in got])
    # Among equals the order as it came: the places count less than any one fault.
    fault = len(expected) * len(got) + 1
    costs = [
        [fault * _faults(call, name, cell(i, j)) + abs(i - j) for j, (name, _) in enumerate(got)]
        for i, call in enumerate(expected)
    ]
    return assign(costs) if order == "any" else assign_in_order(costs)


def _faults(call: ExpectedCall, name: str, arguments: Match) -> int:
    wrong = min(len(arguments.wrong), _WRONG_NAME - 1)
    return wrong if call.name == name else _WRONG_NAME + wrong


def _match_arguments(
    call: ExpectedCall, arguments: Any, schema: Mapping[str, Any], matchers: bool
) -> Match:
    if isinstance(arguments, ValueError):
        return Match((Leaf("$", "wrong", to_text(call.arguments), str(arguments)),))
    known = schema.get(call.name)
    return match_arguments(call.arguments, arguments, schema=known, matchers=matchers)
