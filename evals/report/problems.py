"""The failed cases of a run that a person should look at, worst first."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from evals.report.comparison import Comparison
from evals.results import Record, Status, Verdict


class Why(StrEnum):
    """Why a case is worth a look; in the order of the reports."""

    NEW = "newly failing"
    VIOLATION = "violation"
    ERROR = "error"
    MISS = "miss"


@dataclass(frozen=True)
class Problem:
    """A case that failed in one profile, with the record that shows it best."""

    why: Why
    record: Record
    lanes: tuple[str, ...]
    """The lanes in which it failed."""

    @property
    def verdict(self) -> Verdict | None:
        """What is worst about it: a violation before a miss."""
        return self.record.cause

    @property
    def reason(self) -> str:
        """`lost_call (parser): the call …`; it can hold a model's text."""
        return self.record.why


def problems(records: Sequence[Record], comparison: Comparison | None = None) -> list[Problem]:
    """One problem for each case and profile that failed; without `comparison` none is new."""
    new = {
        (profile.name, case)
        for profile in (comparison.profiles if comparison else ())
        for case in profile.newly_failing
    }
    found = [_problem(mine, new=place in new) for place, mine in _failed(records).items()]
    return sorted(found, key=_urgency)


def _urgency(problem: Problem) -> tuple[int, int, str, str, int]:
    order, record = list(Why), problem.record
    urgency = order.index(problem.why), order.index(_why(record))
    return *urgency, record.profile, record.case.path, record.case.line


def _failed(records: Sequence[Record]) -> Mapping[tuple[str, str], list[Record]]:
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.status in (Status.FAIL, Status.ERROR):
            groups.setdefault((record.profile, record.case.node), []).append(record)
    return groups


def _problem(records: Sequence[Record], *, new: bool) -> Problem:
    worst = min(records, key=lambda record: list(Why).index(_why(record)))
    lanes = tuple(dict.fromkeys(record.lane for record in records))
    return Problem(Why.NEW if new else _why(worst), worst, lanes)


def _why(record: Record) -> Why:
    return Why(record.outcome)


def counts_by_layer(records: Sequence[Record]) -> Iterator[tuple[str, str, str, int]]:
    """Profile, layer, kind and the number of answers whose worst verdict it is; most first."""
    counts = Counter(
        (record.profile, str(record.blame), str(record.cause.kind))
        for record in records
        if record.cause and record.status in (Status.FAIL, Status.ERROR)
    )
    for key, count in sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0])):
        yield *key, count
