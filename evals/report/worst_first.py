"""The order in which a page lists answers that has no room for all of them."""

from collections import Counter
from collections.abc import Sequence

from evals.report.comparison import Comparison
from evals.report.headline import Headline
from evals.results import Record

_IN_TURN = 50
"""Answers of one kind of failure, before others have their turn."""
_WORST = ("error", "violation", "miss", "known", "pass")


def worst_first(
    records: Sequence[Record], first: Headline, comparison: Comparison | None = None
) -> list[int]:
    """The places of the records as such a page lists them; `first` is its first screen.

    First the cases that the first screen begins with, then some of each kind of failure in turn,
    so that no link of the first screen finds nothing; what passed, as it did before, comes last.
    """
    begin = {fault.first.key for fault in first.faults}
    changes = changed(comparison)
    seen = Counter[tuple[object, ...]]()
    order = []
    for place, record in enumerate(records):
        kind = record.cause.kind if record.cause else None
        change = changes.get((record.profile, record.case.node))
        alike = record.profile, record.outcome, record.blame, kind, change
        turn, worst = seen[alike] // _IN_TURN, _WORST.index(record.outcome)
        seen[alike] += 1
        quiet = record.outcome == "pass" and not change
        order.append((record.key not in begin, quiet, turn, worst, place))
    return [place for *_, place in sorted(order)]


def changed(comparison: Comparison | None) -> dict[tuple[str, str], str]:
    """`newly failing` or `fixed` by profile and case."""
    profiles = comparison.profiles if comparison else ()
    return {
        (profile.name, case): what
        for profile in profiles
        for what, cases in (("newly failing", profile.newly_failing), ("fixed", profile.fixed))
        for case in cases
    }
