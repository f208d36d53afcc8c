"""The figures of `report.html`, ready for its template: rates, matrix, what broke, what changed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from evals.judging.scoring import RATES
from evals.report.comparison import Comparison, ProfileChange, compare_profiles, p_text
from evals.report.headline import headline, served_lines
from evals.report.html.record import expected_form, got_form, list_entry, one_line
from evals.report.pictures import pictures, started
from evals.report.summary import Baseline, ProfileFigures, Summary
from evals.report.text import TRAINING, change_text
from evals.results import Record, Status

_LISTED = 12


@dataclass(frozen=True)
class Compared:
    """The other run of a comparison: what changed, its summary, and its records by key.

    The records may be missing, as they are of most baseline files. `same_texts` says, by key,
    whether the model wrote the very same in both runs.
    """

    comparison: Comparison
    summary: Summary | Baseline
    records: Mapping[str, Record] = field(default_factory=dict)
    same_texts: Mapping[str, bool] = field(default_factory=dict)


def figures(
    summary: Summary,
    records: Sequence[Record],
    earlier: Sequence[Summary],
    compared: Compared | None,
) -> dict[str, Any]:
    """All that the template shows, by the names that it uses."""
    return {
        "run": summary.run,
        "started": started(summary),
        "gate_text": summary.gate_text,
        "passed": summary.passed,
        "reasons": summary.gate.reasons if summary.is_gated else (),
        "first": headline(
            summary,
            records,
            compared.comparison if compared else None,
            earlier,
            compared.same_texts if compared else {},
        ),
        "served": list(served_lines(summary)),
        "counts": Counter(record.outcome for record in records),
        "rate_names": list(RATES),
        "profiles": [
            _profile(name, profile, [r for r in records if r.profile == name])
            for name, profile in summary.profiles.items()
        ],
        "side_by_side": _side_by_side(summary),
        "broke": list(_broke(records)),
        "compared": _comparison(compared, summary, records) if compared else None,
        "pictures": pictures(summary, records, earlier),
        "fingerprint": list(_flat(asdict(summary.fingerprint))),
        "cases_link": cases_link,
        "case_link": case_link,
    }


# --- rates, the matrix, what broke --------------------------------------------------------------


def _profile(name: str, profile: ProfileFigures, records: Sequence[Record]) -> dict[str, Any]:
    parts = [
        ("all", "", profile),
        *((TRAINING[kind], "training", part) for kind, part in profile.tools.items()),
        *((lane, "lane", part) for lane, part in profile.lanes.items()),
        *((category, "category", part) for category, part in profile.categories.items()),
    ]
    return {
        "name": name,
        "rows": [
            {
                "name": part,
                "kind": kind,
                "link": cases_link(
                    profile=name, **({kind: part} if kind in ("lane", "category") else {})
                ),
                "scored": figures.scored,
                "errors": figures.errors,
                "rates": figures.rates,
            }
            for part, kind, figures in parts
        ],
        "figures": profile,
        "outcomes": {"violation": 0, "miss": 0, **Counter(record.outcome for record in records)},
        "matrix": _matrix(name, records),
        "confusions": list(_confusions(name, records)),
    }


def _side_by_side(summary: Summary) -> dict[str, Any] | None:
    """Each profile against the first, case by case; None where there is only one."""
    if len(summary.profiles) < 2:
        return None
    first, changes = compare_profiles(summary)
    return {"first": first, "paired": {change.name: change_text(change) for change in changes}}


def cases_link(**filters: str) -> str:
    """The page's own link to its list, filtered."""
    return f"#/cases?{urlencode(filters, quote_via=quote)}"


def case_link(key: str) -> str:
    """The page's own link to a record."""
    return f"#/case/{quote(key, safe='')}"


def _matrix(profile: str, records: Sequence[Record]) -> dict[str, Any]:
    """Answers by what was expected and what came; known defects are in no rate, nor here."""
    counted = [record for record in records if record.status != Status.KNOWN]
    counts = Counter((expected_form(record.case), got_form(record)) for record in counted)
    columns = ["call", "answer"]
    columns += [c for c in ("lost call", "unclear", "error") if any(g == c for _, g in counts)]
    return {
        "columns": columns,
        "rows": [
            (
                expected,
                [
                    (
                        counts[expected, got],
                        got == expected,
                        cases_link(profile=profile, expected=expected, got=got, outcome="counted"),
                    )
                    for got in columns
                ],
            )
            for expected in ("call", "answer")
        ],
    }


def _confusions(profile: str, records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """Which tools were called in place of which, the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[str, str] = {}
    for record in records:
        if record.status == Status.FAIL and record.scores and record.scores.tool_name is False:
            sets = record.case.expect.alternatives
            named = (", ".join(call.name for call in calls) for calls in sets)
            expected = " or ".join(named) or "another tool"
            first[expected] = sets[0][0].name if sets else ""
            got = ", ".join(call.name for call in record.observation.calls) or "no call"
            counts[expected, one_line(got, 80)] += 1
    for (expected, got), count in counts.most_common(_LISTED):
        link = cases_link(profile=profile, outcome="failed", q=first[expected])
        yield {"expected": expected, "got": got, "count": count, "link": link}


_WORST = ("error", "violation", "miss", "known")


def _broke(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """Failed answers by outcome, layer and kind, each counted once, by what explains it."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for entry in (list_entry(record) for record in records if record.status != Status.PASS):
        place = entry["outcome"], entry["layer"], entry["kind"]
        found[place].append(entry["id"].rpartition("[")[0])
    for place in sorted(found, key=lambda place: (_WORST.index(place[0]), -len(found[place]))):
        outcome, layer, kind = place
        yield {
            "outcome": outcome,
            "layer": layer,
            "kind": kind,
            "answers": len(found[place]),
            "cases": len(set(found[place])),
            "link": cases_link(outcome=outcome, layer=layer, kind=kind),
        }


# --- the comparison -----------------------------------------------------------------------------


def _comparison(compared: Compared, summary: Summary, records: Sequence[Record]) -> dict[str, Any]:
    comparison = compared.comparison
    return {
        "before": comparison.before,
        "notes": [one_line(note, 300) for note in comparison.notes],
        "profiles": [
            _profile_change(change, compared.summary, summary, records)
            for change in comparison.profiles
        ],
    }


def _profile_change(
    change: ProfileChange,
    before: Summary | Baseline,
    after: Summary,
    records: Sequence[Record],
) -> dict[str, Any]:
    worst = sorted(
        (record for record in records if record.profile == change.name),
        key=lambda record: record.status == Status.PASS,
        reverse=True,
    )
    keys = {record.case.node: record.key for record in worst}
    rates = [side.profiles[change.name].rates for side in (before, after)]
    return {
        "change": change,
        "p_value": p_text(change.p_value),
        "adjusted": p_text(change.adjusted),
        "lists": [
            (
                title.replace("_", " "),
                [(case, case_link(keys[case]) if case in keys else "") for case in cases[:_LISTED]],
                len(cases) - _LISTED,
                cases_link(profile=change.name, change=title.replace("_", " ")),
            )
            for title in ("newly_failing", "fixed", "flaky", "new", "removed", "unscored")
            if (cases := getattr(change, title))
        ],
        "rates": [(name, rates[0][name], rates[1][name]) for name in RATES if name in rates[0]],
    }


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", "unknown" if value is None else one_line(str(value))
